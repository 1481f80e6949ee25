/**
 * The event log: what a gateway writes, one JSON object a line (DESIGN §3).
 *
 * Owns    the schema of every event; types and validation come from this one definition.
 * Limits  a line is at most `maxLineBytes`; header values and matched text are cut, recipients never.
 * Why     wide events: billing, trace, rule analytics, savings and backtest are each computable from one
 *         `transaction.ended` line alone.
 *
 * A field is never renamed or re-meant. Units stand in the names; `null` means unknown, and no field is missing.
 * Times are ISO 8601 in UTC with milliseconds.
 */
import { Type, type Static, type TSchema } from 'typebox'
import { directions, networkClasses, outcomes, reasons, recipientOutcomes, sources, stages } from './vocabulary.ts'

export const eventSchemaVersion = 1
export const maxLineBytes = 1_048_576
export const maxHeaderValueBytes = 1_000
export const maxMatchedTextBytes = 64

const oneOf = <const Words extends string[]>(words: readonly [...Words]) => Type.Enum<Words>(words)
const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])

const uuid = Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' })
const uuidV7 = Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' })
const time = Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$' })
const octets = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const micros = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })
const hash = Type.String({ pattern: '^[0-9a-f]{64}$' })
/** A decimal with at most three places; sums are made in thousandths, so that their order does not matter. */
const weight = Type.Number({ minimum: -1_000_000, maximum: 1_000_000 })

const envelope = {
  tenantId: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,31}$' }),
  node: Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' }),
  /** Identity of one life of the gateway process. */
  boot: uuid,
  /** Gap-free within (node, boot), from 1. */
  seq: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
  /** When the line was written. */
  at: time,
}

export const Reply = Type.Object({
  code: Type.Integer({ minimum: 200, maximum: 599 }),
  /** Enhanced status code (RFC 3463), e.g. `5.1.1`. */
  enhanced: orNull(Type.String()),
  text: Type.String(),
})
export type Reply = Static<typeof Reply>

export const Remote = Type.Object({
  ip: orNull(Type.String()),
  port: orNull(Type.Integer({ minimum: 0, maximum: 65535 })),
  /** PTR name, and whether it resolves back to the ip; `null` where nobody looked. */
  reverseName: orNull(Type.String()),
  forwardConfirmed: orNull(Type.Boolean()),
  country: orNull(Type.String()),
  networkClass: oneOf(networkClasses),
  networkName: orNull(Type.String()),
})
export type Remote = Static<typeof Remote>

export const Tls = Type.Object({ version: Type.String(), cipher: Type.String() })
export type Tls = Static<typeof Tls>

export const LoggedRecipient = Type.Object({
  /** As the remote wrote it. */
  address: Type.String(),
  normalized: Type.String(),
  direction: oneOf(directions),
  outcome: oneOf(recipientOutcomes),
  reason: orNull(oneOf(reasons)),
  reply: Reply,
  /** The client that the gateway acted on; billing finds the owner itself. */
  clientId: orNull(Type.String()),
  /** What the sender wants to be told (NOTIFY and ORCPT of RFC 3461); absent where it said nothing. */
  notify: Type.Optional(Type.Array(Type.Enum(['never', 'success', 'failure', 'delay']))),
  originalRecipient: Type.Optional(Type.String()),
})
export type LoggedRecipient = Static<typeof LoggedRecipient>

export const LoggedHeader = Type.Object({ name: Type.String(), value: Type.String() })
export type LoggedHeader = Static<typeof LoggedHeader>

export const Attachment = Type.Object({ name: orNull(Type.String()), type: Type.String(), sizeBytes: octets })
export type Attachment = Static<typeof Attachment>

export const ruleActions = [
  'none',
  'reject',
  'defer',
  'discard',
  'quarantine',
  'redirect',
  'copy',
  'accept',
  'stop',
] as const
export type RuleAction = (typeof ruleActions)[number]

/** One rule that hit (its `then` branch), or took its `else` or `unknown` branch with an effect. */
export const RuleHit = Type.Object({
  ruleId: Type.String(),
  revision: Type.Integer({ minimum: 1 }),
  branch: Type.Enum(['then', 'else', 'unknown']),
  attribute: orNull(Type.String()),
  /** At most 64 octets of the text that matched. */
  matchedText: orNull(Type.String()),
  weight,
  /** Marks set: `subject:[SPAM]`, `header:X-Spam: yes`. */
  marks: Type.Array(Type.String()),
  action: oneOf(ruleActions),
  shadow: Type.Boolean(),
})
export type RuleHit = Static<typeof RuleHit>

export const Evaluation = Type.Object({
  stage: oneOf(stages),
  /** Position in `recipients` for stage rcpt, else `null`. */
  recipient: orNull(Type.Integer({ minimum: 0 })),
  weightBefore: weight,
  weightAfter: weight,
  hits: Type.Array(RuleHit),
  durationUs: micros,
})
export type Evaluation = Static<typeof Evaluation>

export const CheckResult = Type.Object({
  name: Type.String(),
  stage: oneOf(stages),
  /** Every check and plug-in may answer `unknown`: it had no answer in time. */
  result: Type.String(),
  detail: orNull(Type.String()),
  /** Of a plug-in that gives one; absent elsewhere, and in logs of the first versions. */
  score: Type.Optional(Type.Number()),
  durationUs: micros,
  /** Position in `recipients` of the one that a check of stage rcpt was about; absent or `null` elsewhere. */
  recipient: Type.Optional(orNull(Type.Integer({ minimum: 0 }))),
})
export type CheckResult = Static<typeof CheckResult>

export const TransactionEnded = Type.Object({
  kind: Type.Literal('transaction.ended'),
  ...envelope,
  transactionId: uuidV7,
  sessionId: uuid,
  source: oneOf(sources),
  listener: orNull(Type.String()),
  startedAt: time,
  /** The time of the message for period, owner, mode and tariff; taken once, when the line is written. */
  endedAt: time,
  remote: Remote,
  helo: orNull(Type.String()),
  tls: orNull(Tls),
  authUser: orNull(Type.String()),
  /** Reverse-path as given; the empty string is `<>`; `null`: no MAIL was seen. */
  sender: orNull(Type.String()),
  /** SIZE= of MAIL (RFC 1870). */
  declaredSizeBytes: orNull(octets),
  recipients: Type.Array(LoggedRecipient),
  headers: Type.Array(LoggedHeader),
  /** Decoded (RFC 2047). */
  subject: orNull(Type.String()),
  messageId: orNull(Type.String()),
  attachments: Type.Array(Attachment),
  /** Octets of the message as received, without the final dot line and dot-stuffing (RFC 1870); `null`: no end of data. */
  messageBytes: orNull(octets),
  sizeSource: Type.Enum(['data', 'queue']),
  /** Message octets received, also where the end of data never came. */
  dataBytes: octets,
  /** Octets of the commands of this transaction. */
  commandBytes: octets,
  evaluations: Type.Array(Evaluation),
  checks: Type.Array(CheckResult),
  plugins: Type.Array(CheckResult),
  weight,
  marks: Type.Array(Type.String()),
  outcome: oneOf(outcomes),
  /** The stage at which it ended. */
  stage: oneOf(stages),
  reason: orNull(oneOf(reasons)),
  /** The rule that decided, where `reason` is `rule`. */
  decidingRuleId: orNull(Type.String()),
  /** The final reply as sent; `null` where none could be. */
  reply: orNull(Reply),
  /** Equal to `transactionId` where the message was queued. */
  queueId: orNull(uuidV7),
  /** sha256 of the message as received. */
  digest: orNull(hash),
  duplicateOf: orNull(uuidV7),
  /** RET and ENVID of MAIL (RFC 3461); absent where neither was given. */
  dsn: Type.Optional(
    Type.Object({ return: orNull(Type.Enum(['full', 'headers'])), envelopeId: orNull(Type.String()) }),
  ),
  timings: Type.Object({
    connectUs: orNull(micros),
    heloUs: orNull(micros),
    mailUs: orNull(micros),
    rcptUs: orNull(micros),
    headerUs: orNull(micros),
    completeUs: orNull(micros),
    spoolUs: orNull(micros),
  }),
  rulesetHash: orNull(hash),
  directoryVersion: orNull(Type.String()),
  /** Names of the fields that were cut to keep the line within bounds. */
  truncated: Type.Array(Type.String()),
})
export type TransactionEnded = Static<typeof TransactionEnded>

export const DeliveryResult = Type.Object({
  address: Type.String(),
  outcome: Type.Enum(['delivered', 'deferred', 'failed']),
  reply: orNull(Reply),
  /** What went wrong where no reply tells it. */
  error: orNull(Type.String()),
})
export type DeliveryResult = Static<typeof DeliveryResult>

export const DeliveryAttempted = Type.Object({
  kind: Type.Literal('delivery.attempted'),
  ...envelope,
  transactionId: uuidV7,
  queueId: uuidV7,
  /** From 1, per next hop. */
  attempt: Type.Integer({ minimum: 1 }),
  startedAt: time,
  endedAt: time,
  nextHop: Type.Object({ route: Type.String(), host: Type.String(), port: Type.Integer({ minimum: 0, maximum: 65535 }) }),
  tls: orNull(Tls),
  recipients: Type.Array(DeliveryResult),
  /** Message octets sent to the next hop, the gateway's own headers included. */
  sentBytes: octets,
  durationUs: micros,
  /** Who asked, since the try before, for this one at once; absent where nobody did. */
  requestedBy: Type.Optional(Type.String()),
})
export type DeliveryAttempted = Static<typeof DeliveryAttempted>

export const MessageFinished = Type.Object({
  kind: Type.Literal('message.finished'),
  ...envelope,
  transactionId: uuidV7,
  queueId: uuidV7,
  deliveredCount: count,
  failedCount: count,
  expiredCount: count,
  ageMs: count,
  /** Queue id of the report that tells the sender what became of it (RFC 3464); absent where none was due. */
  reportId: Type.Optional(uuidV7),
})
export type MessageFinished = Static<typeof MessageFinished>

export const SessionClosed = Type.Object({
  kind: Type.Literal('session.closed'),
  ...envelope,
  sessionId: uuid,
  listener: orNull(Type.String()),
  remote: Remote,
  helo: orNull(Type.String()),
  tls: orNull(Tls),
  openedAt: time,
  closedAt: time,
  verbs: Type.Array(Type.Object({ verb: Type.String(), acceptedCount: count, refusedCount: count })),
  receivedBytes: octets,
  sentBytes: octets,
  violations: Type.Array(Type.String()),
  closedBy: Type.Enum(['remote', 'gateway', 'timeout', 'error']),
  transactionCount: count,
  /** Transactions whose final reply could not be written to the remote. */
  unflushedTransactionIds: Type.Array(uuidV7),
})
export type SessionClosed = Static<typeof SessionClosed>

export const PolicyLoaded = Type.Object({
  kind: Type.Literal('policy.loaded'),
  ...envelope,
  part: Type.Enum(['ruleset', 'directory', 'policy']),
  hash,
  /** The whole content, or for a long list its hash and size alone. */
  content: Type.Unknown(),
})
export type PolicyLoaded = Static<typeof PolicyLoaded>

/** The header of a segment: its identity, whatever the file is called. */
export const SegmentOpened = Type.Object({
  kind: Type.Literal('segment.opened'),
  ...envelope,
  schemaVersion: Type.Integer({ minimum: 1 }),
  /** Boots are numbered per node, from 1. */
  bootNumber: Type.Integer({ minimum: 1 }),
  /** From 1 within a boot. */
  segment: Type.Integer({ minimum: 1 }),
  /** Last seq of the segment before, 0 for the first of a boot. */
  previousSeq: count,
})
export type SegmentOpened = Static<typeof SegmentOpened>

export const GatewayStarted = Type.Object({
  kind: Type.Literal('gateway.started'),
  ...envelope,
  version: Type.String(),
  bootNumber: Type.Integer({ minimum: 1 }),
  previousBoot: orNull(uuid),
  /** Last durable seq of the boot before, and whether it ended with `gateway.stopped`. */
  previousSeq: orNull(count),
  previousEndedCleanly: orNull(Type.Boolean()),
})
export type GatewayStarted = Static<typeof GatewayStarted>

export const GatewayStopped = Type.Object({ kind: Type.Literal('gateway.stopped'), ...envelope, reason: Type.String() })
export type GatewayStopped = Static<typeof GatewayStopped>

/** Written each minute in which nothing else was, so that silence is not mistaken for loss. */
export const GatewayAlive = Type.Object({ kind: Type.Literal('gateway.alive'), ...envelope, queuedCount: count })
export type GatewayAlive = Static<typeof GatewayAlive>

export const QuarantineReleased = Type.Object({
  kind: Type.Literal('quarantine.released'),
  ...envelope,
  transactionId: uuidV7,
  by: Type.String(),
  /** Tells this release from others of the same message; absent in logs of the first versions, as is `recipients`. */
  serial: Type.Optional(count),
  /** Those that were let go. */
  recipients: Type.Optional(Type.Array(Type.String())),
})
export type QuarantineReleased = Static<typeof QuarantineReleased>

export const QuarantineDeleted = Type.Object({
  kind: Type.Literal('quarantine.deleted'),
  ...envelope,
  transactionId: uuidV7,
  /** Who did it; `expiry`: its time was over. */
  by: Type.String(),
  /** Those that never got it; absent in logs of the first versions. */
  recipients: Type.Optional(Type.Array(Type.String())),
})
export type QuarantineDeleted = Static<typeof QuarantineDeleted>

/** Each kind of line with its schema: what the decoder compiles and the golden segments are held against. */
export const eventSchemas = {
  'segment.opened': SegmentOpened,
  'gateway.started': GatewayStarted,
  'gateway.stopped': GatewayStopped,
  'gateway.alive': GatewayAlive,
  'policy.loaded': PolicyLoaded,
  'session.closed': SessionClosed,
  'transaction.ended': TransactionEnded,
  'delivery.attempted': DeliveryAttempted,
  'message.finished': MessageFinished,
  'quarantine.released': QuarantineReleased,
  'quarantine.deleted': QuarantineDeleted,
} as const

export type TollgateEvent =
  | SegmentOpened
  | GatewayStarted
  | GatewayStopped
  | GatewayAlive
  | PolicyLoaded
  | SessionClosed
  | TransactionEnded
  | DeliveryAttempted
  | MessageFinished
  | QuarantineReleased
  | QuarantineDeleted

export type EventKind = TollgateEvent['kind']

/** An event before the log gave it its place: what the gateway's code makes, and the writer completes. */
export type EventBody<Event extends TollgateEvent = TollgateEvent> = Event extends TollgateEvent
  ? Omit<Event, 'tenantId' | 'node' | 'boot' | 'seq' | 'at'>
  : never
