/**
 * Tariffs: what traffic costs (BILLING, Tariffs). Amounts are decimal texts in the currency, quantities decimal texts
 * in units of the billing policy; nothing is ever a Number.
 */
import { Type, type Static } from 'typebox'

/** At most twelve digits behind the point: prices of one octet have a place in it. */
const Decimal = Type.String({ pattern: '^\\d{1,15}(\\.\\d{1,12})?$' })
/** Percent, like `19` or `7.7`. */
const TaxPercent = Type.String({ pattern: '^\\d{1,3}(\\.\\d{1,4})?$' })

export const pricedDirections = ['inbound', 'outbound', 'both'] as const
export type PricedDirection = (typeof pricedDirections)[number]

const strict = { additionalProperties: false }
/** Outbound is priced only where a component says so. */
const direction = Type.Optional(Type.Enum([...pricedDirections]))
/** In place of the one of the tariff. */
const taxPercent = Type.Optional(TaxPercent)
/** The upper end belongs to the tier; `null`: the last one has none. */
const Tier = Type.Object({ upto: Type.Union([Decimal, Type.Null()]), price: Decimal }, strict)

export const tariffComponents = {
  flat: Type.Object({ kind: Type.Literal('flat'), amount: Decimal, taxPercent }, strict),
  'per-unit': Type.Object({ kind: Type.Literal('per-unit'), direction, price: Decimal, taxPercent }, strict),
  /** Each tier's price for what lies in it. */
  graduated: Type.Object({ kind: Type.Literal('graduated'), direction, tiers: Type.Array(Tier, { minItems: 1, maxItems: 50 }), taxPercent }, strict),
  /** The price of the tier that holds the whole quantity, for all of it. */
  volume: Type.Object({ kind: Type.Literal('volume'), direction, tiers: Type.Array(Tier, { minItems: 1, maxItems: 50 }), taxPercent }, strict),
  /** Nothing up to `included`, then `price` for each package of `size` that is started. */
  package: Type.Object({ kind: Type.Literal('package'), direction, included: Decimal, size: Decimal, price: Decimal, taxPercent }, strict),
  /** What the other components do not come to is added in a line of its own. */
  minimum: Type.Object({ kind: Type.Literal('minimum'), amount: Decimal, taxPercent }, strict),
} as const
export const tariffComponentKinds = Object.keys(tariffComponents) as (keyof typeof tariffComponents)[]

export const TariffComponent = Type.Union([
  tariffComponents.flat, tariffComponents['per-unit'], tariffComponents.graduated, tariffComponents.volume, tariffComponents.package, tariffComponents.minimum,
])
export type TariffComponent = Static<typeof TariffComponent>
export type TariffComponentKind = TariffComponent['kind']

export const TariffDefinition = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200 }),
    currency: Type.String({ pattern: '^[A-Z]{3}$' }),
    /** Percent on every component that names none; default 0. */
    taxPercent: Type.Optional(TaxPercent),
    components: Type.Array(TariffComponent, { minItems: 1, maxItems: 50 }),
  },
  strict,
)
export type TariffDefinition = Static<typeof TariffDefinition>

/** A mistake that the schema cannot tell: where, and what to write instead. */
export type TariffFault = { path: string; message: string }

export function tariffFaults({ components }: TariffDefinition): TariffFault[] {
  const faults: TariffFault[] = []
  components.forEach((component, index) => {
    const at = `components[${index}]`
    if (component.kind === 'package' && /^0+(\.0+)?$/.test(component.size)) {
      faults.push({ path: `${at}.size`, message: 'is 0: write how many units a package holds' })
    }
    if (component.kind === 'minimum' && components.findIndex(({ kind }) => kind === 'minimum') !== index) {
      faults.push({ path: at, message: 'is a second minimum: write one' })
    }
    if (component.kind === 'graduated' || component.kind === 'volume') faults.push(...tierFaults(component.tiers, `${at}.tiers`))
  })
  return faults
}

function tierFaults(tiers: readonly Static<typeof Tier>[], at: string): TariffFault[] {
  return tiers.flatMap(({ upto }, index): TariffFault[] => {
    const path = `${at}[${index}].upto`
    if (index === tiers.length - 1) return upto === null ? [] : [{ path, message: 'is not null: the last tier has no upper end' }]
    if (upto === null) return [{ path, message: 'is null: only the last tier has no upper end' }]
    const before = index === 0 ? null : tiers[index - 1]!.upto
    const isAfter = before === null ? !/^0+(\.0+)?$/.test(upto) : scaled(upto) > scaled(before)
    return isAfter ? [] : [{ path, message: `is ${upto}: write more than ${before ?? '0'}, where the tier before it ends` }]
  })
}

/** As a whole number of 10^-12, the finest that a decimal has. */
function scaled(decimal: string): bigint {
  const [whole, places = ''] = decimal.split('.')
  return BigInt(whole! + places.padEnd(12, '0'))
}
