/** Money as whole minor units (cents) and as decimal text; never a Number. */

/** Digits behind the point: JPY 0, EUR 2, KWD 3 (ISO 4217). Throws a RangeError for what is no currency code. */
export function minorDigitsOf(currency: string): number {
  if (!/^[A-Z]{3}$/.test(currency)) throw new RangeError(`"${currency}" is no currency: write its ISO 4217 code, like EUR`)
  const known = digitsSeen.get(currency)
  if (known !== undefined) return known
  const digits = new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits ?? 2
  digitsSeen.set(currency, digits)
  return digits
}

/** Asking Intl takes longer than the rest. */
const digitsSeen = new Map<string, number>()

/** `-12.05` of `-1205n` and 2 digits. */
export function moneyText(minor: bigint, digits: number): string {
  const sign = minor < 0n ? '-' : ''
  const text = String(minor < 0n ? -minor : minor).padStart(digits + 1, '0')
  return digits === 0 ? sign + text : `${sign}${text.slice(0, -digits)}.${text.slice(-digits)}`
}

/** Whole minor units of a text; throws a RangeError for one with more digits than the currency has. */
export function parseMoney(text: string, digits: number): bigint {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (match === null) throw new RangeError(`"${text}" is no amount: write one like 12${digits === 0 ? '' : `.${'50'.padEnd(digits, '0')}`}`)
  const [, sign, whole, places = ''] = match
  if (places.length > digits) throw new RangeError(`"${text}" has more than ${digits} digits behind the point, which this currency has not`)
  return BigInt(`${sign}${whole}${places.padEnd(digits, '0')}`)
}
