/** Periods, statements and corrections as the API tells them. Money is decimal text in the currency, octets are text. */
import { Type, type Static, type TSchema } from 'typebox'

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const time = Type.String({ format: 'date-time' })
/** `2026-11`. */
export const PeriodLabel = Type.String({ pattern: '^\\d{4}-(0[1-9]|1[0-2])$' })
const money = Type.String({ pattern: '^-?\\d+(\\.\\d+)?$' })
/** Exact: `n` or `n/d`. */
const exact = Type.String({ pattern: '^-?\\d+(/\\d+)?$' })

export const periodStates = ['open', 'closing', 'closed'] as const

export const CloseBlocker = Type.Object({
  name: Type.String(),
  text: Type.String(),
  remedy: Type.String(),
  /** Whether closing may go on over it, by its name. */
  isAcceptable: Type.Boolean(),
})
export type CloseBlocker = Static<typeof CloseBlocker>

export const BillingPeriod = Type.Object({
  label: PeriodLabel,
  from: time,
  upto: time,
  timeZone: Type.String(),
  unitBytes: Type.Integer(),
  currency: Type.String(),
  state: Type.Enum([...periodStates]),
  cutOffAt: orNull(time),
  cutOffBy: orNull(Type.String()),
  closedAt: orNull(time),
  /** Of its statements, in their order. */
  hash: orNull(Type.String()),
  /** What was missing and taken as it is. */
  accepted: Type.Array(Type.Object({ name: Type.String(), text: Type.String() })),
})
export type BillingPeriod = Static<typeof BillingPeriod>

export const PeriodList = Type.Object({ periods: Type.Array(BillingPeriod) })
export type PeriodList = Static<typeof PeriodList>

export const PeriodDetail = Type.Object({
  period: BillingPeriod,
  /** What keeps it from being closed now; empty for one that is closed. */
  blockers: Type.Array(CloseBlocker),
  /** Entries that came late and will be shown in the statements of this period, by the period that they are for. */
  late: Type.Array(Type.Object({ period: PeriodLabel, entryCount: Type.String() })),
})
export type PeriodDetail = Static<typeof PeriodDetail>

export const ClosePeriodRequest = Type.Object({ accept: Type.Optional(Type.Array(Type.String({ maxLength: 300 }), { maxItems: 1_000 })) })

export const statementLineKinds = ['usage', 'reversal', 'replacement'] as const

export const StatementLine = Type.Object({
  line: Type.Integer({ minimum: 1 }),
  kind: Type.Enum([...statementLineKinds]),
  /** For `reversal` and `replacement`: the period that was rated again. */
  ofPeriod: orNull(PeriodLabel),
  tariffId: orNull(Type.String()),
  tariffVersion: orNull(Type.Integer()),
  /** Position in the components of the tariff. */
  component: orNull(Type.Integer()),
  componentKind: orNull(Type.String()),
  direction: orNull(Type.String()),
  tier: orNull(Type.Integer()),
  /** Octets. */
  quantity: orNull(exact),
  price: orNull(Type.String()),
  /** Units, started packages, or the share of the period. */
  count: orNull(exact),
  amount: money,
  taxPercent: orNull(Type.String()),
  tax: money,
})
export type StatementLine = Static<typeof StatementLine>

export const StatementHead = Type.Object({
  statementId: Type.String(),
  period: PeriodLabel,
  clientId: Type.String(),
  clientName: orNull(Type.String()),
  currency: Type.String(),
  net: money,
  tax: money,
  total: money,
  hash: Type.String(),
})
export type StatementHead = Static<typeof StatementHead>

export const StatementList = Type.Object({ statements: Type.Array(StatementHead) })
export type StatementList = Static<typeof StatementList>

export const Statement = Type.Object({
  ...StatementHead.properties,
  from: time,
  upto: time,
  timeZone: Type.String(),
  unitBytes: Type.Integer(),
  closedAt: orNull(time),
  /** Some sizes are those of another mail server's queue. */
  hasQueueSizes: Type.Boolean(),
  lines: Type.Array(StatementLine),
  /** Tax by rate on the lines of the period itself; reversals and replacements carry the tax of theirs. */
  taxes: Type.Array(Type.Object({ percent: Type.String(), net: money, tax: money })),
  /** Octets by department and direction, as they were rated. */
  usage: Type.Array(Type.Object({ clientId: Type.String(), direction: Type.String(), octets: Type.String() })),
})
export type Statement = Static<typeof Statement>

export const statementFormats = ['json', 'csv', 'xlsx', 'html'] as const

export const StatementMessages = Type.Object({
  rows: Type.Array(
    Type.Object({
      transactionId: Type.String(),
      endedAt: time,
      recipient: Type.String(),
      clientId: Type.String(),
      direction: Type.String(),
      octets: Type.String(),
      correction: Type.String(),
    }),
  ),
  nextCursor: orNull(Type.String()),
})
export type StatementMessages = Static<typeof StatementMessages>

/** The lines of statements that a message is in: those that price its traffic, and those that took its month back. */
export const MessageStatementLines = Type.Object({
  lines: Type.Array(Type.Object({ statementId: Type.String(), line: Type.Integer(), kind: Type.Enum([...statementLineKinds]), clientId: Type.String() })),
})
export type MessageStatementLines = Static<typeof MessageStatementLines>

export const correctionKinds = ['cancel', 'reassign', 'bill'] as const

/** Which messages, what is done to what they are billed with, and why. */
export const CorrectionRequest = Type.Object({
  kind: Type.Enum([...correctionKinds]),
  why: Type.String({ minLength: 3, maxLength: 1000 }),
  /** One message, else a range of time together with an address or a client. */
  transactionId: Type.Optional(Type.String()),
  from: Type.Optional(time),
  upto: Type.Optional(time),
  /** Only entries of this address. */
  recipient: Type.Optional(Type.String()),
  /** Only entries of this client; `house` for what nobody holds. */
  clientId: Type.Optional(Type.String()),
  /** For `reassign`: who pays; `house` for nobody. */
  toClientId: Type.Optional(Type.String()),
  /** Only tells what would change. */
  dryRun: Type.Optional(Type.Boolean()),
})
export type CorrectionRequest = Static<typeof CorrectionRequest>

export const Correction = Type.Object({
  /** `null` for one that was only tried. */
  correctionId: orNull(Type.String()),
  at: orNull(time),
  by: Type.String(),
  why: Type.String(),
  kind: Type.Enum([...correctionKinds]),
  wanted: Type.Record(Type.String(), Type.Unknown()),
  /** Messages and recipients that it concerns. */
  entryCount: Type.String(),
  /** Periods whose statements will show it, by the closed one that it is for. */
  shownIn: Type.Record(Type.String(), Type.String()),
})
export type Correction = Static<typeof Correction>

export const CorrectionList = Type.Object({ corrections: Type.Array(Correction) })
export type CorrectionList = Static<typeof CorrectionList>
