/**
 * Tax of a statement: per rate on the subtotal of its lines, rounded once, and shared to the lines by largest remainder,
 * ties by line number (BILLING, Quantities).
 */
import { decimal, fraction, minus, over, rounded, times, type Fraction } from './fraction.ts'
import type { TaxTotal } from './rate-usage.ts'

/** `taxMinors`: the share of each line, in their order. Rates come in the order in which they first appear. */
export function sharedTax(lines: readonly { amountMinor: bigint; taxPercent: string }[]): { taxes: TaxTotal[]; taxMinors: bigint[] } {
  const taxMinors: bigint[] = lines.map(() => 0n)
  const rates = [...new Set(lines.map(({ taxPercent }) => plainPercent(taxPercent)))]
  const taxes = rates.map((percent): TaxTotal => {
    const own = lines.flatMap(({ amountMinor, taxPercent }, index) => (plainPercent(taxPercent) === percent ? [{ index, amountMinor }] : []))
    const netMinor = own.reduce((sum, { amountMinor }) => sum + amountMinor, 0n)
    const taxMinor = rounded(times(fraction(netMinor), over(decimal(percent), fraction(100n))))
    const shares = own.map(({ index, amountMinor }) => ({ index, exact: netMinor === 0n ? fraction(0n) : fraction(taxMinor * amountMinor, netMinor) }))
    for (const { index, exact } of shares) taxMinors[index] = floor(exact)
    const left = Number(taxMinor - shares.reduce((sum, { index }) => sum + taxMinors[index]!, 0n))
    const byRemainder = shares
      .map(({ index, exact }) => ({ index, remainder: minus(exact, fraction(floor(exact))) }))
      .sort((a, b) => compare(b.remainder, a.remainder) || a.index - b.index)
    for (const { index } of byRemainder.slice(0, left)) taxMinors[index]! += 1n
    return { percent, netMinor, taxMinor }
  })
  return { taxes, taxMinors }
}

/** `19` of `19.00`: one rate, however it is written. */
function plainPercent(text: string): string {
  return text.replace(/^0+(?=\d)/, '').replace(/\.0*$|(?<=\.\d*[1-9])0+$/, '')
}

function floor({ numerator, denominator }: Fraction): bigint {
  const whole = numerator / denominator
  return numerator < 0n && whole * denominator !== numerator ? whole - 1n : whole
}

function compare(left: Fraction, right: Fraction): number {
  const difference = left.numerator * right.denominator - right.numerator * left.denominator
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}
