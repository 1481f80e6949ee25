/** Tariffs, who carries them, and what they would cost, as the API tells them. */
import { Type, type Static, type TSchema } from 'typebox'
import { PeriodLabel } from './statement.ts'
import { TariffDefinition } from './tariff.ts'

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Union([schema, Type.Null()])
const time = Type.String({ format: 'date-time' })
const Day = Type.String({ pattern: '^\\d{4}-\\d{2}-\\d{2}$' })
const TariffId = Type.String({ pattern: '^[a-z0-9][a-z0-9._-]{0,62}$' })

export const TariffView = Type.Object({
  tariffId: Type.String(),
  versions: Type.Array(
    Type.Object({
      version: Type.Integer(),
      /** `null`: from the beginning of time. */
      validFrom: orNull(time),
      definition: TariffDefinition,
      createdBy: Type.String(),
      createdAt: time,
    }),
  ),
})
export type TariffView = Static<typeof TariffView>

export const TariffAssignment = Type.Object({ clientId: Type.String(), tariffId: Type.String(), from: orNull(time), upto: orNull(time) })
export type TariffAssignment = Static<typeof TariffAssignment>

export const TariffList = Type.Object({ tariffs: Type.Array(TariffView), assignments: Type.Array(TariffAssignment) })
export type TariffList = Static<typeof TariffList>

export const NewTariff = Type.Object({ tariffId: TariffId, definition: TariffDefinition })
export const NewTariffVersion = Type.Object({
  definition: TariffDefinition,
  /** The day in the tenant's zone from whose start it holds. */
  from: Day,
})
export const TariffAssignmentRequest = Type.Object({
  /** `null`: no tariff of its own. */
  tariffId: orNull(TariffId),
  /** May be left out for a client that never carried one: then from the first open period on. */
  from: Type.Optional(Day),
})

export const SimulationRequest = Type.Object({
  period: PeriodLabel,
  /** The newest version of this one, or a definition that is not stored. */
  tariffId: Type.Optional(TariffId),
  definition: Type.Optional(TariffDefinition),
  /** Only for this client; else for every client without a parent. */
  clientId: Type.Optional(Type.String()),
})

const SimulatedAmounts = Type.Object({
  net: Type.String(),
  tax: Type.String(),
  total: Type.String(),
  lines: Type.Array(
    Type.Object({
      tariffId: Type.String(),
      version: Type.Integer(),
      kind: Type.String(),
      direction: orNull(Type.String()),
      tier: orNull(Type.Integer()),
      quantity: orNull(Type.String()),
      price: Type.String(),
      amount: Type.String(),
      tax: Type.String(),
    }),
  ),
})
export type SimulatedAmounts = Static<typeof SimulatedAmounts>

export const SimulationResult = Type.Object({
  period: PeriodLabel,
  currency: Type.String(),
  unitBytes: Type.Integer(),
  clients: Type.Array(
    Type.Object({
      clientId: Type.String(),
      now: orNull(SimulatedAmounts),
      then: orNull(SimulatedAmounts),
      /** Of the totals, `then` less `now`. */
      difference: Type.String(),
    }),
  ),
  totalNow: Type.String(),
  totalThen: Type.String(),
})
export type SimulationResult = Static<typeof SimulationResult>
