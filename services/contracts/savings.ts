/** What refusing early saved. Octets and money are decimal texts; floor and estimate are never added. */
import { Type, type Static, type TSchema } from 'typebox'
import { Completeness } from './api.ts'

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const time = Type.String({ format: 'date-time' })
const octets = Type.String({ pattern: '^\\d+$' })

export const savingsGroupings = ['reason', 'rule', 'day'] as const
export type SavingsGrouping = (typeof savingsGroupings)[number]

/** Half-open; `period` in place of both. */
export const SavingsQuery = Type.Object({
  period: Type.Optional(Type.String({ pattern: '^\\d{4}-(0[1-9]|1[0-2])$' })),
  from: Type.Optional(time),
  upto: Type.Optional(time),
  by: Type.Optional(Type.Enum([...savingsGroupings], { default: 'reason' })),
  format: Type.Optional(Type.Enum(['json', 'csv', 'xlsx', 'ndjson'], { default: 'json' })),
})
export type SavingsQuery = Static<typeof SavingsQuery>

export const SavingsEstimate = Type.Object({
  /** Of messages that were received whole, of the same class of networks, and declared no size. */
  sampleCount: Type.Integer({ minimum: 0 }),
  /** `null`: under 30 samples are not enough data. */
  bytes: orNull(octets),
  /** 95 %. */
  fromBytes: orNull(octets),
  uptoBytes: orNull(octets),
})
export type SavingsEstimate = Static<typeof SavingsEstimate>

export const SavingsFigures = Type.Object({
  /** Groups of tries, each once, and the tries in them. */
  groupCount: Type.Integer({ minimum: 0 }),
  attemptCount: Type.Integer({ minimum: 0 }),
  declaredCount: Type.Integer({ minimum: 0 }),
  /** Sum of the declared sizes: at least so much was not sent. */
  floorBytes: octets,
  /** Groups that declared no size. */
  undeclaredCount: Type.Integer({ minimum: 0 }),
})
export type SavingsFigures = Static<typeof SavingsFigures>

export const SavingsRow = Type.Object({ label: orNull(Type.String()), ...SavingsFigures.properties })
export type SavingsRow = Static<typeof SavingsRow>

export const SavingsReport = Type.Object({
  from: time,
  upto: time,
  timeZone: Type.String(),
  unitBytes: Type.Integer(),
  by: Type.Enum([...savingsGroupings]),
  total: SavingsFigures,
  /** For what declared no size, over all classes of networks that have enough data. */
  estimate: Type.Object({ ...SavingsEstimate.properties, estimatedCount: Type.Integer(), notEnoughDataCount: Type.Integer() }),
  rows: Type.Array(SavingsRow),
  /** Share of the groups that declared a size, as text with four digits. */
  coverage: orNull(Type.String()),
  /** Received over declared size among accepted mail of the period. */
  calibration: orNull(Type.Object({ sampleCount: Type.Integer(), median: Type.String(), p05: Type.String(), p95: Type.String() })),
  /** Put off with 4xx, and 48 h have not passed: nothing is counted yet. */
  pending: SavingsFigures,
  acceptedLater: SavingsFigures,
  tooLarge: SavingsFigures,
  /** Refused after their octets had come: nothing saved. */
  receivedAndRefused: Type.Object({ count: Type.Integer(), bytes: octets }),
  /** Recipients refused of messages that others did receive: nothing saved on the link. */
  deliveriesAvoided: Type.Integer(),
  /** What mode `known` would have refused of what was taken; sizes are measured. */
  ifKnown: Type.Object({ messageCount: Type.Integer(), bytes: octets, deliveriesAvoided: Type.Integer() }),
  /** At the tenant's own cost price; `null` where none is configured. */
  money: orNull(Type.Object({ currency: Type.String(), costPrice: Type.String(), floor: Type.String(), estimate: orNull(Type.String()), ifKnown: Type.String() })),
  completeness: Completeness,
})
export type SavingsReport = Static<typeof SavingsReport>
