/**
 * Rating: what a quantity of traffic costs under a tariff (BILLING, Tariffs). Pure; the one function behind statements,
 * corrections and simulations.
 *
 * Why   amounts are exact until a line, then rounded once, half away from zero; a total is the sum of its lines.
 *       Two versions of a tariff within a period are rated apart, each on its own quantity: what is fixed for a whole
 *       period (flat fee, included amount, ends of tiers, minimum) then counts by days over days of the period.
 * Fails a tariff in another currency than the period is a RangeError.
 */
import type { PricedDirection, TariffComponent, TariffComponentKind, TariffDefinition } from '../../contracts/tariff.ts'
import { minorDigitsOf } from '../../contracts/money.ts'
import { ceiling, decimal, fraction, isLess, larger, minus, over, rounded, smaller, times, zero, type Fraction } from './fraction.ts'
import { sharedTax } from './shared-tax.ts'

/** Billed octets of a span, counted as its messages are. */
export type Quantities = { inbound: bigint; outbound: bigint }

export type RatedSpan = {
  tariffId: string
  version: number
  definition: TariffDefinition
  /** Calendar days that the version is in force within the period. */
  days: number
  quantities: Quantities
}

export type RatingInput = { currency: string; unitBytes: number; periodDays: number; spans: readonly RatedSpan[] }

export type RatedLine = {
  tariffId: string
  version: number
  /** Position in the components of the tariff. */
  component: number
  kind: TariffComponentKind
  /** `null` for what no traffic is counted for. */
  direction: PricedDirection | null
  /** Position of the tier; `null` without tiers. */
  tier: number | null
  /** What is priced, in octets; `null` for a flat fee and a minimum. */
  quantity: Fraction | null
  /** Of a unit, or of a package, or of the fee for a whole period; as it stands in the tariff. */
  price: string
  /** Units, packages, or the share of the period. */
  count: Fraction
  amount: Fraction
  /** The amount in minor units of the currency. */
  amountMinor: bigint
  taxPercent: string
  taxMinor: bigint
}

export type RatedUsage = { lines: RatedLine[]; netMinor: bigint; taxes: TaxTotal[]; taxMinor: bigint; totalMinor: bigint }
export type TaxTotal = { percent: string; netMinor: bigint; taxMinor: bigint }

type UntaxedLine = Omit<RatedLine, 'taxMinor'>

export function rateUsage(input: RatingInput): RatedUsage {
  const untaxed = input.spans.flatMap((span) => linesOfSpan(span, input))
  const { taxes, taxMinors } = sharedTax(untaxed)
  const lines = untaxed.map((line, index) => ({ ...line, taxMinor: taxMinors[index]! }))
  const netMinor = sumOf(lines.map(({ amountMinor }) => amountMinor))
  const taxMinor = sumOf(taxes.map((tax) => tax.taxMinor))
  return { lines, netMinor, taxes, taxMinor, totalMinor: netMinor + taxMinor }
}

function linesOfSpan(span: RatedSpan, input: RatingInput): UntaxedLine[] {
  const { definition } = span
  if (definition.currency !== input.currency) {
    throw new RangeError(`the tariff ${span.tariffId} is in ${definition.currency}, the period in ${input.currency}`)
  }
  const share = fraction(BigInt(span.days), BigInt(input.periodDays))
  const minorPerMajor = fraction(10n ** BigInt(minorDigitsOf(input.currency)))
  const lines: UntaxedLine[] = []
  const add = (index: number, part: LinePart): void => {
    const component = definition.components[index]!
    lines.push({
      tariffId: span.tariffId,
      version: span.version,
      component: index,
      kind: component.kind,
      ...part,
      amountMinor: rounded(times(part.amount, minorPerMajor)),
      taxPercent: component.taxPercent ?? definition.taxPercent ?? '0',
    })
  }
  // The minimum looks at what all others came to, wherever it stands.
  const isMinimum = ({ kind }: TariffComponent): boolean => kind === 'minimum'
  definition.components.forEach((component, index) => {
    if (isMinimum(component)) return
    for (const part of partsOf(component, span.quantities, share, BigInt(input.unitBytes))) add(index, part)
  })
  const index = definition.components.findIndex(isMinimum)
  if (index >= 0) {
    const { amount } = definition.components[index] as { amount: string }
    const leastMinor = rounded(times(times(decimal(amount), share), minorPerMajor))
    const missingMinor = leastMinor - sumOf(lines.map(({ amountMinor }) => amountMinor))
    // Out of rounded lines, so that the sum is the minimum and not a cent beside it.
    const missing = over(fraction(missingMinor), minorPerMajor)
    if (missingMinor > 0n) add(index, { direction: null, tier: null, quantity: null, price: amount, count: share, amount: missing })
  }
  return lines
}

type LinePart = Pick<RatedLine, 'direction' | 'tier' | 'quantity' | 'price' | 'count' | 'amount'>

function partsOf(component: Exclude<TariffComponent, { kind: 'minimum' }> | TariffComponent, quantities: Quantities, share: Fraction, unitBytes: bigint): LinePart[] {
  if (component.kind === 'flat' || component.kind === 'minimum') {
    const amount = times(decimal(component.amount), share)
    return [{ direction: null, tier: null, quantity: null, price: component.amount, count: share, amount }]
  }
  const direction = component.direction ?? 'inbound'
  const octets = octetsOf(quantities, direction)
  if (octets === 0n) return []
  const units = (quantity: Fraction): Fraction => over(quantity, fraction(unitBytes))
  const octetsPer = (amount: string): Fraction => times(decimal(amount), fraction(unitBytes))
  const priced = (quantity: Fraction, price: string, tier: number | null): LinePart => {
    const count = units(quantity)
    return { direction, tier, quantity, price, count, amount: times(count, decimal(price)) }
  }
  const whole = fraction(octets)
  switch (component.kind) {
    case 'per-unit':
      return [priced(whole, component.price, null)]
    case 'graduated': {
      let from = zero
      return component.tiers.flatMap(({ upto, price }, tier): LinePart[] => {
        const end = upto === null ? whole : smaller(whole, times(octetsPer(upto), share))
        const within = minus(end, from)
        from = larger(from, end)
        return isLess(zero, within) ? [priced(within, price, tier)] : []
      })
    }
    case 'volume': {
      // The end belongs to the tier: exactly so much is still in it.
      const tier = component.tiers.findIndex(({ upto }) => upto === null || !isLess(times(octetsPer(upto), share), whole))
      return [priced(whole, component.tiers[tier]!.price, tier)]
    }
    case 'package': {
      const beyond = minus(whole, times(octetsPer(component.included), share))
      const started = fraction(isLess(zero, beyond) ? ceiling(over(beyond, octetsPer(component.size))) : 0n)
      return [{ direction, tier: null, quantity: whole, price: component.price, count: started, amount: times(started, decimal(component.price)) }]
    }
  }
}

export function octetsOf({ inbound, outbound }: Quantities, direction: PricedDirection): bigint {
  return direction === 'inbound' ? inbound : direction === 'outbound' ? outbound : inbound + outbound
}

function sumOf(amounts: readonly bigint[]): bigint {
  return amounts.reduce((sum, amount) => sum + amount, 0n)
}
