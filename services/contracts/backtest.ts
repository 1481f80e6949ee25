/**
 * A rule set tried against stored mail: what is asked for, and the figures that come back.
 *
 * Why  counts and octets are numbers here: those of one backtest stay far below 2^53.
 */
import { Type, type Static, type TSchema } from 'typebox'
import { MessageRow } from './api.ts'
import { outcomes, stages } from './vocabulary.ts'

const oneOf = <const Words extends string[]>(words: readonly [...Words]) => Type.Enum<Words>(words)
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const count = Type.Integer({ minimum: 0 })
const time = Type.String({ format: 'date-time' })

/**
 * `newly-refused` and `newly-accepted` also where only some of the recipients are. `ending-changed`: refused or taken
 * as before, and yet otherwise: deferred in place of refused, at another stage (octets are saved there or not), with
 * other codes (machines act on them; the text of an answer is for people, and no difference), quarantined in place of
 * delivered, redirected or copied by other rules.
 */
export const replayDifferences = [
  'same',
  'newly-refused',
  'newly-accepted',
  'ending-changed',
  'mark-or-weight-changed',
  'not-decidable',
] as const
export type ReplayDifference = (typeof replayDifferences)[number]

export const backtestStates = ['running', 'done', 'cancelled', 'failed', 'interrupted'] as const

export const BacktestCell = Type.Object({
  /** Names the cell to those who open its messages: `newly-refused:accepted:refused`. */
  cell: Type.String(),
  difference: oneOf(replayDifferences),
  before: oneOf(outcomes),
  /** `null`: not decidable. */
  after: orNull(oneOf(outcomes)),
  transactionCount: count,
  /** Octets received then. */
  receivedBytes: count,
  /** Ids of the first ones. */
  sampleIds: Type.Array(Type.String()),
})
export type BacktestCell = Static<typeof BacktestCell>

/** What a rule set made, or would have made, of the decidable transactions. */
export const BacktestTotals = Type.Object({
  acceptedCount: count,
  /** Of the accepted ones. */
  markedCount: count,
  refusedCount: count,
  deferredCount: count,
  /** Octets of messages that were taken, and recipients that were. */
  acceptedBytes: count,
  billedRecipientCount: count,
  /** Refused for good before any octet of the message: tries that belong together are not merged here. */
  refusedBeforeData: Type.Object({
    transactionCount: count,
    /** Octets that were received then and would not be: known. */
    knownBytes: count,
    /** SIZE= of those that were never sent: a floor. */
    declaredCount: count,
    declaredFloorBytes: count,
    /** Never sent, and without SIZE=: nobody knows. */
    unknownCount: count,
    /** Refused for their size: what they announce is no measure of what is saved, and is in none of the others. */
    sizeLimitCount: count,
  }),
  /** Refused behind the header or the message: the octets were transferred, nothing is saved. */
  refusedAfterData: Type.Object({ transactionCount: count, receivedBytes: count }),
})
export type BacktestTotals = Static<typeof BacktestTotals>

/** `ended-before`: of a stage that was never reached; `not-logged`: of an attribute that nobody looked up or logged. */
export const BacktestReason = Type.Object({
  reason: Type.Enum(['ended-before', 'not-logged']),
  of: Type.String(),
  transactionCount: count,
})
export type BacktestReason = Static<typeof BacktestReason>

/** Counts are of transactions. */
export const RuleEffect = Type.Object({
  ruleId: Type.String(),
  name: Type.String(),
  stage: oneOf(stages),
  mode: Type.Enum(['active', 'shadow', 'off']),
  /** `then`, or another branch that does something. 0: it never hit. */
  hitCount: count,
  thenCount: count,
  elseCount: count,
  unknownCount: count,
  /** Without it the transaction, or one of its recipients, would have ended otherwise. */
  soleCauseCount: count,
  /** Without it what came next would have been sent, and nobody knows what it was. */
  perhapsSoleCauseCount: count,
  /** It hit, and without it all would have ended the same. Of a shadow rule: all its hits. */
  redundantCount: count,
})
export type RuleEffect = Static<typeof RuleEffect>

/** Refused by weight where the threshold were this one. */
export const CurvePoint = Type.Object({ rejectAt: Type.Number(), refusedCount: count, refusedBytes: count })
export type CurvePoint = Static<typeof CurvePoint>

export const BacktestResult = Type.Object({
  transactionCount: count,
  /** Of the range, and not tried: retention has removed their details. */
  removedCount: count,
  counts: Type.Object({
    same: count,
    'newly-refused': count,
    'newly-accepted': count,
    'ending-changed': count,
    'mark-or-weight-changed': count,
    'not-decidable': count,
  }),
  cells: Type.Array(BacktestCell),
  undecidable: Type.Array(BacktestReason),
  /** Both of the decidable transactions alone, so that they can be compared. */
  before: BacktestTotals,
  after: BacktestTotals,
  rules: Type.Array(RuleEffect),
  curve: Type.Array(CurvePoint),
})
export type BacktestResult = Static<typeof BacktestResult>

export const BacktestRequest = Type.Object({
  /** A rule set as YAML or JSON. */
  rules: Type.String({ maxLength: 1_000_000 }),
  /** So many days back from now, by the time at which a transaction began. */
  days: Type.Integer({ minimum: 1, maximum: 3_660 }),
})
export type BacktestRequest = Static<typeof BacktestRequest>

export const Backtest = Type.Object({
  id: Type.String(),
  createdAt: time,
  createdBy: Type.String(),
  /** `interrupted`: its process ended before it did. */
  state: oneOf(backtestStates),
  from: time,
  upto: time,
  /** Of the rule set that is tried. */
  rulesetHash: Type.String(),
  /** Newest ingest batch that it saw; `null`: nothing was ingested, or it has not begun. */
  watermark: orNull(Type.String()),
  doneCount: count,
  totalCount: count,
  finishedAt: orNull(time),
  fault: orNull(Type.String()),
  /** Set where it is done, and `null` in lists. */
  result: orNull(BacktestResult),
})
export type Backtest = Static<typeof Backtest>

export const BacktestList = Type.Object({ backtests: Type.Array(Backtest) })
export type BacktestList = Static<typeof BacktestList>

export const BacktestMessagesQuery = Type.Object({
  /** As in the result. */
  cell: Type.String({ maxLength: 100, pattern: '^[a-z-]+:[a-z]+:[a-z]+$' }),
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 100 })),
})

/** Newest first. */
export const BacktestMessages = Type.Object({ rows: Type.Array(MessageRow), nextCursor: orNull(Type.String()) })
export type BacktestMessages = Static<typeof BacktestMessages>
