/**
 * Exact fractions, for money and quantities until they are rounded once (BILLING, Quantities).
 *
 * Why    our own: it needs seven operations on BigInt, and no kept library of decimals divides exactly.
 * Fails  a text that is no decimal, and a division by zero, are RangeErrors.
 */

/** In lowest terms, the denominator positive. */
export type Fraction = { readonly numerator: bigint; readonly denominator: bigint }

export function fraction(numerator: bigint, denominator = 1n): Fraction {
  if (denominator === 0n) throw new RangeError('a fraction has no denominator 0')
  const divisor = greatestCommonDivisor(numerator, denominator)
  return denominator < 0n
    ? { numerator: -numerator / divisor, denominator: -denominator / divisor }
    : { numerator: numerator / divisor, denominator: denominator / divisor }
}

export const zero = fraction(0n)

/** From a decimal like `-12.345`. */
export function decimal(text: string): Fraction {
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text)
  if (match === null) throw new RangeError(`"${text}" is no decimal number: write one like 12.50`)
  const [, sign, whole, places = ''] = match
  return fraction(BigInt(`${sign}${whole}${places}`), 10n ** BigInt(places.length))
}

export function plus(left: Fraction, right: Fraction): Fraction {
  return fraction(left.numerator * right.denominator + right.numerator * left.denominator, left.denominator * right.denominator)
}

export function minus(left: Fraction, right: Fraction): Fraction {
  return plus(left, { numerator: -right.numerator, denominator: right.denominator })
}

export function times(left: Fraction, right: Fraction): Fraction {
  return fraction(left.numerator * right.numerator, left.denominator * right.denominator)
}

export function over(left: Fraction, right: Fraction): Fraction {
  return fraction(left.numerator * right.denominator, left.denominator * right.numerator)
}

export function isLess(left: Fraction, right: Fraction): boolean {
  return left.numerator * right.denominator < right.numerator * left.denominator
}

export function smaller(left: Fraction, right: Fraction): Fraction {
  return isLess(right, left) ? right : left
}

export function larger(left: Fraction, right: Fraction): Fraction {
  return isLess(left, right) ? right : left
}

/** To a whole number, halves away from zero. */
export function rounded({ numerator, denominator }: Fraction): bigint {
  const magnitude = numerator < 0n ? -numerator : numerator
  const whole = (2n * magnitude + denominator) / (2n * denominator)
  return numerator < 0n ? -whole : whole
}

/** The smallest whole number that is not less. */
export function ceiling({ numerator, denominator }: Fraction): bigint {
  const whole = numerator / denominator
  return numerator > 0n && whole * denominator !== numerator ? whole + 1n : whole
}

/** `3` or `1/3`. */
export function fractionText({ numerator, denominator }: Fraction): string {
  return denominator === 1n ? String(numerator) : `${numerator}/${denominator}`
}

/** Of a text of `fractionText`. */
export function parseFraction(text: string): Fraction {
  const match = /^(-?\d+)(?:\/(\d+))?$/.exec(text)
  if (match === null) throw new RangeError(`"${text}" is no fraction`)
  return fraction(BigInt(match[1]!), BigInt(match[2] ?? '1'))
}

function greatestCommonDivisor(left: bigint, right: bigint): bigint {
  let [a, b] = [left < 0n ? -left : left, right < 0n ? -right : right]
  while (b !== 0n) [a, b] = [b, a % b]
  return a
}

/** Rounded to so many digits behind the point, without zeros at its end. */
export function decimalText(value: Fraction, places: number): string {
  const scaled = rounded(times(value, fraction(10n ** BigInt(places))))
  const digits = String(scaled < 0n ? -scaled : scaled).padStart(places + 1, '0')
  const text = places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`.replace(/\.?0+$/, '')
  return scaled < 0n ? `-${text}` : text
}
