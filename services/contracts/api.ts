/**
 * The HTTP API as schemas: routes validate by them, OpenAPI and the UI's types come from them (DESIGN §7).
 *
 * Counts, octets and money travel as decimal strings: they may pass 2^53. Times are ISO 8601 in UTC.
 */
import { Type, type Static, type TSchema } from 'typebox'
import { DeliveryAttempted, MessageFinished, TransactionEnded } from './event.ts'
import { exportFormats, exportProfiles, localePattern } from './export.ts'
import { directions, meteringModes, outcomes, roles, sources, stages } from './vocabulary.ts'

const oneOf = <const Words extends string[]>(words: readonly [...Words]) => Type.Enum<Words>(words)
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const time = Type.String({ format: 'date-time' })
/** Octets or a count as a decimal string. */
const bigCount = Type.String({ pattern: '^-?\\d+$' })

/** Every error code the API may answer; a test holds this list against docs/api.md. */
export const apiErrorCodes = {
  'bad-request': 400,
  'bad-query': 400,
  'bad-period': 400,
  'bad-rules': 400,
  'not-logged-in': 401,
  'wrong-login': 401,
  'not-allowed': 403,
  'csrf-rejected': 403,
  'not-found': 404,
  'already-running': 409,
  'gateway-busy': 409,
  conflict: 409,
  'rules-from-file': 409,
  'period-blocked': 409,
  'directory-from-file': 409,
  'too-many-attempts': 429,
  'too-many-streams': 429,
  'query-timeout': 503,
  'database-unavailable': 503,
  'gateway-unavailable': 503,
  internal: 500,
} as const
export type ApiErrorCode = keyof typeof apiErrorCodes

export const ApiError = Type.Object({
  error: Type.Object({
    code: Type.Enum(Object.keys(apiErrorCodes) as [ApiErrorCode, ...ApiErrorCode[]]),
    message: Type.String(),
    /** For `bad-query`: where in the query, in UTF-16 units, half-open, and what may have been meant. */
    position: Type.Optional(Type.Object({ from: Type.Integer(), upto: Type.Integer() })),
    suggestion: Type.Optional(Type.String()),
    /** For `bad-rules`: every fault of the text, lines and columns from 1. */
    faults: Type.Optional(
      Type.Array(
        Type.Object({
          line: Type.Integer(),
          column: Type.Integer(),
          path: Type.String(),
          message: Type.String(),
          remedy: Type.Optional(Type.String()),
        }),
      ),
    ),
  }),
})
export type ApiError = Static<typeof ApiError>

/** Up to where what is shown is complete: the sentence below every list. */
export const Completeness = Type.Object({
  /** Newest event time that is ingested from every known node with no gap before it; `null`: nothing yet. */
  completeUpto: orNull(time),
  gapCount: Type.Integer({ minimum: 0 }),
  rejectedLineCount: bigCount,
  nodes: Type.Array(
    Type.Object({
      node: Type.String(),
      newestAt: orNull(time),
      gapCount: Type.Integer({ minimum: 0 }),
    }),
  ),
  /** Other MTAs whose logs are ingested. They number no lines: whether one is missing cannot be known. */
  unnumberedSources: Type.Array(Type.Object({ source: oneOf(sources), host: Type.String(), newestAt: time })),
})
export type Completeness = Static<typeof Completeness>

/** One row of the trace. */
export const MessageRow = Type.Object({
  transactionId: Type.String(),
  endedAt: time,
  outcome: oneOf(outcomes),
  stage: oneOf(stages),
  reason: orNull(Type.String()),
  decidingRuleId: orNull(Type.String()),
  sender: orNull(Type.String()),
  /** The first three recipients in their order; `recipientCount` tells of the rest. */
  recipients: Type.Array(Type.Object({ address: Type.String(), outcome: Type.String() })),
  recipientCount: Type.Integer({ minimum: 0 }),
  acceptedCount: Type.Integer({ minimum: 0 }),
  subject: orNull(Type.String()),
  remoteIp: orNull(Type.String()),
  messageBytes: orNull(bigCount),
  declaredSizeBytes: orNull(bigCount),
  weight: Type.Number(),
  replyCode: orNull(Type.Integer()),
  replyText: orNull(Type.String()),
  /** Where delivery stands: `null` for what was never queued. */
  delivery: orNull(Type.Enum(['queued', 'delivered', 'partly', 'failed'])),
})
export type MessageRow = Static<typeof MessageRow>

export const HistogramBucket = Type.Object({
  from: time,
  upto: time,
  outcomes: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
})
export type HistogramBucket = Static<typeof HistogramBucket>

export const MessageListQuery = Type.Object({
  /** The query language of DESIGN §6. */
  q: Type.Optional(Type.String({ maxLength: 4000 })),
  /** From `nextCursor`; opaque. */
  cursor: Type.Optional(Type.String({ maxLength: 200 })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 100 })),
  /** IANA zone in which dates of the query are meant; default: the tenant's. */
  zone: Type.Optional(Type.String({ maxLength: 100 })),
})
export type MessageListQuery = Static<typeof MessageListQuery>

/** Newest first; keyset pages, stable under new arrivals. */
export const MessageList = Type.Object({
  rows: Type.Array(MessageRow),
  nextCursor: orNull(Type.String()),
  completeness: Completeness,
  tookMs: Type.Number(),
})
export type MessageList = Static<typeof MessageList>

export const MessageHistogramQuery = Type.Object({
  q: Type.Optional(Type.String({ maxLength: 4000 })),
  /** As in `MessageListQuery`. */
  zone: Type.Optional(Type.String({ maxLength: 100 })),
})

/** Counts by outcome over the time the query names, else the last 24 hours; at most 120 buckets. */
export const MessageHistogram = Type.Object({
  from: time,
  upto: time,
  bucketMs: Type.Integer({ minimum: 1 }),
  buckets: Type.Array(HistogramBucket),
  matchedCount: bigCount,
})
export type MessageHistogram = Static<typeof MessageHistogram>

export const LiveQuery = Type.Object({
  q: Type.Optional(Type.String({ maxLength: 4000 })),
  /** As in `MessageListQuery`. */
  zone: Type.Optional(Type.String({ maxLength: 100 })),
  /** The id of the last event seen, for who cannot send the header `Last-Event-ID`. */
  lastEventId: Type.Optional(Type.String({ maxLength: 4000 })),
})

/** The event `row` of a live view. */
export const LiveRow = Type.Object({
  ...MessageRow.properties,
  ingestedAt: time,
  /** It ended long before it was ingested. */
  isLate: Type.Boolean(),
})
export type LiveRow = Static<typeof LiveRow>

/** The event `skipped`: so many that match are not told, to keep the stream readable. */
export const LiveSkipped = Type.Object({ count: bigCount })
export type LiveSkipped = Static<typeof LiveSkipped>

export const UsageEntry = Type.Object({
  recipient: Type.String(),
  direction: oneOf(directions),
  clientId: orNull(Type.String()),
  clientName: orNull(Type.String()),
  fullBytes: bigCount,
  splitBytes: bigCount,
  billable: Type.Boolean(),
  reason: orNull(Type.String()),
  /** 0: from the log; else the number of the correction. */
  correction: bigCount,
})
export type UsageEntry = Static<typeof UsageEntry>

export const ruleResults = ['hit', 'else', 'missed', 'unknown', 'not-run'] as const

/** One rule of the rule set that judged a message, in the order in which they run, also where it did not hit. */
export const RuleStep = Type.Object({
  ruleId: Type.String(),
  revision: Type.Integer(),
  name: Type.String(),
  mode: Type.String(),
  stage: oneOf(stages),
  /** Position in `recipients` for a rule of `rcpt`, else `null`. */
  recipient: orNull(Type.Integer()),
  result: oneOf(ruleResults),
  attribute: orNull(Type.String()),
  matchedText: orNull(Type.String()),
  action: Type.String(),
  marks: Type.Array(Type.String()),
  weight: Type.Number(),
  weightBefore: Type.Number(),
  weightAfter: Type.Number(),
  /** For `not-run`: a sentence that says why. */
  whyNot: orNull(Type.String()),
})
export type RuleStep = Static<typeof RuleStep>

/**
 * Why the rules that did not hit are not told: the source logs no rule set; its content was never logged; this version
 * cannot read it; it does not lead to what was logged (a long list is logged by its hash alone); not for this role.
 */
export const rulesUnknownReasons = ['not-logged', 'no-content', 'not-readable', 'not-reproducible', 'not-shown'] as const
export type RulesUnknown = (typeof rulesUnknownReasons)[number]

export const timelineKinds = [
  'connected', 'stage', 'ended', 'queued', 'attempted', 'finished', 'released', 'deleted', 'closed',
] as const

/** One line of what happened to a message, in its order. */
export const TimelineEntry = Type.Object({
  kind: oneOf(timelineKinds),
  /** `null`: only its place in the order is known. */
  at: orNull(time),
  /** For `stage`. */
  stage: orNull(oneOf(stages)),
  durationUs: orNull(Type.Integer()),
  /** For `attempted`: position in `deliveries`. */
  delivery: orNull(Type.Integer()),
  /** Who released or deleted it, or who closed the connection. */
  by: orNull(Type.String()),
})
export type TimelineEntry = Static<typeof TimelineEntry>

/** The connection that brought the message. */
export const MessageSession = Type.Object({
  openedAt: time,
  closedAt: time,
  closedBy: Type.String(),
  receivedBytes: bigCount,
  sentBytes: bigCount,
  transactionCount: Type.Integer(),
  violations: Type.Array(Type.String()),
  /** Whether the final reply to this message reached the remote's side of the connection. */
  isReplyWritten: Type.Boolean(),
})
export type MessageSession = Static<typeof MessageSession>

export const MessageDetail = Type.Object({
  event: TransactionEnded,
  deliveries: Type.Array(DeliveryAttempted),
  finished: orNull(MessageFinished),
  /** From the connection to the last delivery. */
  timeline: Type.Array(TimelineEntry),
  /** `null`: not logged by this source, not closed yet, or not for this role. */
  session: orNull(MessageSession),
  usage: Type.Array(UsageEntry),
  /** How it is billed: the month of its entries, how recipients count in it; `isMetered` false: entries will follow. */
  billing: Type.Object({
    period: Type.String(),
    mode: orNull(oneOf(meteringModes)),
    isMetered: Type.Boolean(),
  }),
  /** Every rule of every stage, each recipient's for itself; `null`: see `rulesUnknown`. */
  rules: orNull(Type.Array(RuleStep)),
  rulesUnknown: orNull(oneOf(rulesUnknownReasons)),
  /** Names of the rules that hit, as they were when they did, where known. */
  ruleNames: Type.Record(Type.String(), Type.String()),
  /** Mark and reject thresholds of the rule set in force, `null` where it was not logged. */
  thresholds: orNull(Type.Object({ markAt: orNull(Type.Number()), rejectAt: orNull(Type.Number()) })),
  /** When retention removed the details (headers, checks, rules, timings) or the subject; `null`: it did not. */
  removed: Type.Object({ detailsAt: orNull(time), subjectAt: orNull(time) }),
  /** How many others there are within 7 days; each is opened by the query beside it. */
  near: Type.Array(Type.Object({ label: Type.String(), query: Type.String(), count: bigCount })),
})
export type MessageDetail = Static<typeof MessageDetail>

export const usageGroupings = ['client', 'recipient', 'day', 'domain', 'direction'] as const

export const UsageQuery = Type.Object({
  /** Calendar month in the tenant's time zone, e.g. `2026-11`. */
  period: Type.String({ pattern: '^\\d{4}-(0[1-9]|1[0-2])$' }),
  by: Type.Optional(Type.Enum([...usageGroupings], { default: 'client' })),
  mode: Type.Optional(Type.Enum([...meteringModes])),
  format: Type.Optional(Type.Enum([...exportFormats], { default: 'json' })),
  /** Of csv: `excel` writes what the Excel of `locale` opens as it stands. */
  profile: Type.Optional(Type.Enum([...exportProfiles])),
  locale: Type.Optional(Type.String({ pattern: localePattern })),
  /** Each row beside that of the month before. */
  compare: Type.Optional(Type.Enum(['previous'])),
  /** Only this client; `house` for addresses without an owner. */
  client: Type.Optional(Type.String()),
})
export type UsageQuery = Static<typeof UsageQuery>

/** One line of the usage report. Which of the keys is set depends on the grouping. */
export const UsageRow = Type.Object({
  /** `null` is the house bucket: recipients that no client holds. */
  clientId: orNull(Type.String()),
  clientName: orNull(Type.String()),
  recipient: orNull(Type.String()),
  domain: orNull(Type.String()),
  /** Calendar day in the tenant's time zone. */
  day: orNull(Type.String()),
  direction: oneOf(directions),
  messageCount: bigCount,
  billedBytes: bigCount,
  unbilledBytes: bigCount,
  /** Only with `compare=previous`: the same of the month before, and how many octets more are billed now. */
  previousMessageCount: Type.Optional(bigCount),
  previousBilledBytes: Type.Optional(bigCount),
  previousUnbilledBytes: Type.Optional(bigCount),
  billedBytesChange: Type.Optional(bigCount),
})
export type UsageRow = Static<typeof UsageRow>

const UsagePeriod = Type.Object({ label: Type.String(), from: time, upto: time, timeZone: Type.String() })
const UsageTotals = Type.Object({ fullBytes: bigCount, splitBytes: bigCount, messageCount: bigCount })

export const UsageReport = Type.Object({
  period: UsagePeriod,
  by: Type.Enum([...usageGroupings]),
  mode: oneOf(meteringModes),
  unitBytes: Type.Integer(),
  /** Both totals, whatever the mode, so that a switch can show what it changes. */
  totals: UsageTotals,
  /** Only with `compare=previous`. */
  previous: Type.Optional(Type.Object({ period: UsagePeriod, totals: UsageTotals })),
  rows: Type.Array(UsageRow),
  /** Messages ingested and not yet metered; the report is final for what is metered. */
  unmeteredBatchCount: Type.Integer({ minimum: 0 }),
  completeness: Completeness,
})
export type UsageReport = Static<typeof UsageReport>

/** The months that hold entries, newest first. */
export const UsagePeriods = Type.Object({ labels: Type.Array(Type.String()), timeZone: Type.String() })
export type UsagePeriods = Static<typeof UsagePeriods>

export const LoginRequest = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 100 }),
  password: Type.String({ minLength: 1, maxLength: 1000 }),
})
export type LoginRequest = Static<typeof LoginRequest>

export const Session = Type.Object({
  name: Type.String(),
  role: oneOf(roles),
  clientId: orNull(Type.String()),
  tenantId: Type.String(),
  /** To be sent as `x-csrf-token` with every request that changes something. */
  csrfToken: Type.String(),
  timeZone: Type.String(),
  unitBytes: Type.Integer(),
  currency: Type.String(),
  isDemo: Type.Boolean(),
  version: Type.String(),
})
export type Session = Static<typeof Session>

export const OverviewQuery = Type.Object({ hours: Type.Optional(Type.Integer({ minimum: 1, maximum: 24 * 92, default: 24 })) })

export const TopEntry = Type.Object({ label: Type.String(), query: Type.String(), count: bigCount, bytes: orNull(bigCount) })

export const Overview = Type.Object({
  from: time,
  upto: time,
  outcomes: Type.Record(Type.String(), Type.Integer({ minimum: 0 })),
  bucketMs: Type.Integer({ minimum: 1 }),
  buckets: Type.Array(HistogramBucket),
  queuedCount: bigCount,
  refusals: Type.Array(Type.Object({ stage: Type.String(), reason: Type.String(), query: Type.String(), count: bigCount })),
  topRules: Type.Array(TopEntry),
  topSenders: Type.Array(TopEntry),
  topRecipients: Type.Array(TopEntry),
  topClients: Type.Array(TopEntry),
  completeness: Completeness,
  warnings: Type.Array(Type.Object({ text: Type.String(), remedy: Type.String() })),
})
export type Overview = Static<typeof Overview>

const AnalyticsRange = {
  /** Half-open, whole UTC hours; default: the 7 days before `upto`, which is now by default. */
  from: Type.Optional(time),
  upto: Type.Optional(time),
  /** `all`: one row a group over the whole range. */
  by: Type.Optional(Type.Enum(['hour', 'day', 'all'], { default: 'day' })),
}

export const trafficGroups = ['outcome', 'stage', 'reason', 'country', 'networkClass'] as const

export const TrafficQuery = Type.Object({
  ...AnalyticsRange,
  group: Type.Optional(Type.Enum([...trafficGroups], { default: 'outcome' })),
})
export type TrafficQuery = Static<typeof TrafficQuery>

/** Counts of the rollups. `unrolledBatchCount`: batches that are ingested and not in them yet. */
export const Traffic = Type.Object({
  from: time,
  upto: time,
  rows: Type.Array(
    Type.Object({
      /** Begin of the hour or day (UTC); `null` for `all`. */
      at: orNull(time),
      /** `null`: none, or not known. */
      group: orNull(Type.String()),
      transactionCount: bigCount,
      recipientCount: bigCount,
      acceptedCount: bigCount,
      messageBytes: bigCount,
      dataBytes: bigCount,
    }),
  ),
  unrolledBatchCount: Type.Integer({ minimum: 0 }),
})
export type Traffic = Static<typeof Traffic>

export const RuleAnalyticsQuery = Type.Object({ ...AnalyticsRange, rule: Type.Optional(Type.String({ maxLength: 200 })) })
export type RuleAnalyticsQuery = Static<typeof RuleAnalyticsQuery>

export const RuleAnalytics = Type.Object({
  from: time,
  upto: time,
  rows: Type.Array(
    Type.Object({
      at: orNull(time),
      ruleId: Type.String(),
      /** Messages that it hit, each once; by how they ended. */
      transactionCount: bigCount,
      outcomes: Type.Record(Type.String(), bigCount),
      /** Once a recipient where it is a rule of RCPT; in shadow mode apart. */
      hitCount: bigCount,
      shadowHitCount: bigCount,
      /** Weight that it added, without shadow mode. */
      weight: Type.Number(),
    }),
  ),
  unrolledBatchCount: Type.Integer({ minimum: 0 }),
})
export type RuleAnalytics = Static<typeof RuleAnalytics>

export const ErasureRequest = Type.Object({
  address: Type.String({ minLength: 3, maxLength: 320 }),
  /** Only count what would be changed. */
  dryRun: Type.Optional(Type.Boolean({ default: false })),
})
export type ErasureRequest = Static<typeof ErasureRequest>

export const ErasureReport = Type.Object({
  /** What stands in place of the address from now on; `null` for a dry run. */
  replacement: orNull(Type.String()),
  /** Rows changed, by what they are. */
  counts: Type.Record(Type.String(), bigCount),
})
export type ErasureReport = Static<typeof ErasureReport>

export const ErasureList = Type.Object({
  erasures: Type.Array(
    Type.Object({
      replacement: Type.String(),
      erasedAt: time,
      erasedBy: Type.String(),
      /** `null`: it was interrupted; asking for it again finishes it. */
      finishedAt: orNull(time),
    }),
  ),
})
export type ErasureList = Static<typeof ErasureList>

export const Health = Type.Object({
  status: Type.Enum(['ok', 'degraded']),
  version: Type.String(),
  database: Type.Enum(['up', 'down']),
})
export type Health = Static<typeof Health>

/** Half-open range of sequence numbers of one boot. */
const seqRange = {
  node: Type.String(),
  boot: Type.String(),
  fromSeq: Type.Integer({ minimum: 1 }),
  uptoSeq: Type.Integer({ minimum: 2 }),
}

export const LogStatus = Type.Object({
  completeness: Completeness,
  /** Open ones, oldest boot first. */
  gaps: Type.Array(
    Type.Object({
      ...seqRange,
      bootNumber: orNull(Type.Integer()),
      kind: Type.Enum(['hole', 'lost-tail', 'missing-boot']),
    }),
  ),
  acceptedGaps: Type.Array(
    Type.Object({ ...seqRange, acceptedBy: Type.String(), acceptedAt: time, reason: Type.String() }),
  ),
  nodes: Type.Array(
    Type.Object({
      node: Type.String(),
      bootCount: Type.Integer(),
      newestAt: orNull(time),
      /** How far its newest segment is read; `null`: none was. */
      tail: orNull(
        Type.Object({
          boot: Type.String(),
          segment: Type.Integer(),
          fileName: Type.String(),
          positionBytes: bigCount,
          readAt: time,
        }),
      ),
    }),
  ),
  /** Lines that are no events, counted by reason. */
  rejected: Type.Record(Type.String(), bigCount),
})
export type LogStatus = Static<typeof LogStatus>

/** Why a line was rejected; the list of the table's constraint. */
export const rejectionReasons = [
  'torn',
  'not-utf8',
  'not-json',
  'too-long',
  'schema',
  'schema-version',
  'wrong-tenant',
  'no-header',
  'time-out-of-range',
  'conflict',
  'row',
  'not-understood',
] as const

export const RejectedLineQuery = Type.Object({
  reason: Type.Optional(Type.Enum([...rejectionReasons])),
  /** From `nextCursor`. */
  cursor: Type.Optional(Type.String({ pattern: '^\\d{1,18}$' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 500, default: 50 })),
})

export const RejectedLine = Type.Object({
  rejectedId: Type.String(),
  reason: Type.String(),
  detail: Type.String(),
  fileName: Type.String(),
  positionBytes: bigCount,
  rejectedAt: time,
  /** Its first 4 KiB; control characters and what is no UTF-8 stand as escapes. */
  line: Type.String(),
  /** Of the whole line. */
  lineBytes: Type.Integer(),
})
export type RejectedLine = Static<typeof RejectedLine>

export const RejectedLineList = Type.Object({ rows: Type.Array(RejectedLine), nextCursor: orNull(Type.String()) })
export type RejectedLineList = Static<typeof RejectedLineList>

export const AcceptGapRequest = Type.Object({
  ...seqRange,
  reason: Type.String({ minLength: 3, maxLength: 1000 }),
})
