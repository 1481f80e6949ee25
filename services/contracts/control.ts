/**
 * The control interface of a gateway as schemas: what an operator may ask of it beside SMTP (docs/quarantine.md).
 *
 * Limits  lists come in pages of at most `maxControlPage`, newest first, continued by the last id; texts of strangers
 *         are cut, and what would act on a terminal or hide in them stands as an escape.
 */
import { Type, type Static, type TSchema } from 'typebox'
import { Attachment, LoggedHeader } from './event.ts'

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const time = Type.String()
const count = Type.Integer({ minimum: 0 })
const strict = { additionalProperties: false }

export const controlPrefix = '/control/v1'
export const maxControlPage = 200
/** Recipients of a message that a list shows; their number stands beside them. */
export const maxListedRecipients = 20

export const controlErrorCodes = {
  'bad-request': 400,
  'not-found': 404,
  /** It is there, and at the moment this cannot be done to it. */
  busy: 409,
  'too-large': 413,
  unavailable: 503,
  internal: 500,
} as const
export type ControlErrorCode = keyof typeof controlErrorCodes

export const ControlError = Type.Object({
  error: Type.Object({ code: Type.Enum(Object.keys(controlErrorCodes) as [ControlErrorCode, ...ControlErrorCode[]]), message: Type.String() }),
})
export type ControlError = Static<typeof ControlError>

/** Queue ids and nothing else: an id never becomes part of a path or a pattern. */
export const QueueId = Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$' })
export const QueueIdParams = Type.Object({ id: QueueId }, strict)

/** Who asks; it stands in the event. */
export const ControlActor = Type.Object({ by: Type.String({ minLength: 1, maxLength: 200 }) }, strict)

const page = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: maxControlPage, default: 50 })),
  /** The last id of the page before. */
  cursor: Type.Optional(QueueId),
}

export const GatewayFigures = Type.Object({
  node: Type.String(),
  tenantId: Type.String(),
  version: Type.String(),
  startedAt: time,
  pid: Type.Integer(),
  sessionCount: count,
  queue: Type.Object({ queuedCount: count, deferredCount: count, heldCount: count, connectionCount: count }),
  routes: Type.Array(
    Type.Object({
      name: Type.String(),
      host: Type.String(),
      port: Type.Integer(),
      waitingCount: count,
      connectionCount: count,
      downBecause: orNull(Type.String()),
    }),
  ),
  /** Of the file system that holds spool and event log. */
  disk: Type.Object({ freeBytes: count, totalBytes: count }),
})
export type GatewayFigures = Static<typeof GatewayFigures>

export const QueueQuery = Type.Object({ ...page, status: Type.Optional(Type.Enum(['active', 'deferred'])) }, strict)
export type QueueQuery = Static<typeof QueueQuery>

export const QueuedMessage = Type.Object({
  queueId: QueueId,
  sender: Type.String(),
  sizeBytes: count,
  acceptedAt: time,
  status: Type.Enum(['active', 'deferred']),
  recipientCount: count,
  /** The first of those with nothing final yet. */
  recipients: Type.Array(Type.Object({ address: Type.String(), lastError: orNull(Type.String()) })),
  attemptCount: count,
  nextTryAt: orNull(time),
})
export type QueuedMessage = Static<typeof QueuedMessage>
export const QueueList = Type.Object({ messages: Type.Array(QueuedMessage), nextCursor: orNull(QueueId) })
export type QueueList = Static<typeof QueueList>

export const heldReasons = ['rule', 'undeliverable'] as const
const address = Type.String({ minLength: 1, maxLength: 500 })

export const QuarantineQuery = Type.Object(
  {
    ...page,
    /** Part of the address, in any case. */
    sender: Type.Optional(address),
    recipient: Type.Optional(address),
    /** Id of the rule that holds it. */
    rule: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
    reason: Type.Optional(Type.Enum([...heldReasons])),
    /** Held at or after, and before. */
    after: Type.Optional(Type.String({ format: 'date-time' })),
    before: Type.Optional(Type.String({ format: 'date-time' })),
  },
  strict,
)
export type QuarantineQuery = Static<typeof QuarantineQuery>

export const HeldRecipient = Type.Object({
  address: Type.String(),
  reason: Type.Enum([...heldReasons]),
  /** `null` where it is undeliverable, and where weight alone decided. */
  ruleId: orNull(Type.String()),
})
export type HeldRecipient = Static<typeof HeldRecipient>

const heldMessage = {
  queueId: QueueId,
  sender: Type.String(),
  /** From and Subject of the header, decoded; `null` where it has none, or cannot be read. */
  from: orNull(Type.String()),
  subject: orNull(Type.String()),
  sizeBytes: count,
  acceptedAt: time,
  heldAt: time,
  /** When it is deleted by itself; `null`: never. */
  expiresAt: orNull(time),
  /** Others of its recipients are still being delivered: these can be released, and not yet deleted. */
  isDelivering: Type.Boolean(),
  recipientCount: count,
}
export const HeldMessage = Type.Object({ ...heldMessage, recipients: Type.Array(HeldRecipient) })
export type HeldMessage = Static<typeof HeldMessage>
export const QuarantineList = Type.Object({ messages: Type.Array(HeldMessage), nextCursor: orNull(QueueId), heldCount: count })
export type QuarantineList = Static<typeof QuarantineList>

/** Safe to show: text only, nothing of it is fetched or run. */
export const HeldMessageView = Type.Object({
  ...heldMessage,
  /** All of them. */
  recipients: Type.Array(HeldRecipient),
  headers: Type.Array(LoggedHeader),
  /** There are more, or longer ones, than are shown. */
  areHeadersCut: Type.Boolean(),
  text: orNull(Type.String()),
  textOf: Type.Enum(['plain', 'html', 'none']),
  isTextCut: Type.Boolean(),
  attachments: Type.Array(Attachment),
})
export type HeldMessageView = Static<typeof HeldMessageView>

export const ReleaseRequest = Type.Object(
  {
    by: Type.String({ minLength: 1, maxLength: 200 }),
    /** Held recipients, by address; absent: all of them. */
    recipients: Type.Optional(Type.Array(address, { minItems: 1, maxItems: 1_000 })),
  },
  strict,
)
export const ReleaseReport = Type.Object({ recipients: Type.Array(Type.String()) })
export type ReleaseReport = Static<typeof ReleaseReport>
export const Done = Type.Object({ done: Type.Literal(true) })
