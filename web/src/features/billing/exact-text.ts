/** Amounts and fractions as people read them: decimal text and `n/d` in, no digit through a Number. */

/** A fraction `n` or `n/d` as a decimal with at most so many places, rounded half away from zero. */
export function fractionDecimal(exact: string, places: number): string {
  const [over, under = '1'] = exact.split('/') as [string, string?]
  const numerator = BigInt(over)
  const absolute = numerator < 0n ? -numerator : numerator
  const denominator = BigInt(under)
  const scaled = (2n * absolute * 10n ** BigInt(places) + denominator) / (2n * denominator)
  const digits = String(scaled).padStart(places + 1, '0')
  const whole = digits.slice(0, digits.length - places)
  const rest = digits.slice(digits.length - places).replace(/0+$/, '')
  return `${numerator < 0n && scaled > 0n ? '-' : ''}${whole}${rest === '' ? '' : `.${rest}`}`
}

/** Whole octets of a quantity that a tier or a split may have made a fraction. */
export function wholeOctets(exact: string): bigint {
  return BigInt(fractionDecimal(exact, 0))
}

/** `12.00` and `-3.5` of the same currency: the first less the second. */
export function moneyDifference(one: string, other: string): string {
  const places = Math.max(placesOf(one), placesOf(other))
  const difference = minor(one, places) - minor(other, places)
  const digits = String(difference < 0n ? -difference : difference).padStart(places + 1, '0')
  const text = places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`
  return difference < 0n ? `-${text}` : text
}

export function moneyText(locale: string, amount: string, currency: string): string {
  return new Intl.NumberFormat(locale, { style: 'currency', currency }).format(amount as Intl.StringNumericLiteral)
}

/** With its sign, for what is more or less than before. */
export function changeText(locale: string, amount: string, currency: string): string {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency, signDisplay: 'exceptZero' })
  return format.format(amount as Intl.StringNumericLiteral)
}

/** The price of one unit may have more places than the currency. */
export function priceText(locale: string, price: string, currency: string): string {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency, maximumFractionDigits: 12 })
  return format.format(price as Intl.StringNumericLiteral)
}

export function decimalText(locale: string, decimal: string): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: 12 }).format(decimal as Intl.StringNumericLiteral)
}

function placesOf(decimal: string): number {
  return decimal.split('.')[1]?.length ?? 0
}

function minor(decimal: string, places: number): bigint {
  const [whole, rest = ''] = decimal.replace('-', '').split('.') as [string, string?]
  const value = BigInt(whole + rest.padEnd(places, '0'))
  return decimal.startsWith('-') ? -value : value
}
