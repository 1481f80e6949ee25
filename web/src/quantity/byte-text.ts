/**
 * Octets as text. Octets arrive as decimal strings or integers and never pass through floating point where they
 * are billed; the unit family (kB, MB or KiB, MiB) follows the tenant's unit.
 */
import { unitNameOf } from '../../../services/contracts/byte-unit.ts'

export type Octets = string | number | bigint

const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** `1.2 MB`: to read at a glance, two or three digits. */
export function shortByteText(locale: string, octets: Octets, unitBytes: number): string {
  const isBinary = unitNameOf(unitBytes) === 'MiB'
  const step = isBinary ? 1024 : 1000
  let value = Number(octets)
  let unit = 0
  while (Math.abs(value) >= step * 0.9995 && unit < 5) {
    value /= step
    unit += 1
  }
  const digits = unit === 0 || Math.abs(value) >= 99.95 ? 0 : 1
  const number = new Intl.NumberFormat(locale, { minimumFractionDigits: 0, maximumFractionDigits: digits }).format(value)
  return `${number} ${(isBinary ? binaryUnits : decimalUnits)[unit]}`
}

/** `1,234.567 MB`: in the tenant's own unit with three places, rounded half away from zero, exact before that. */
export function unitByteText(locale: string, octets: Octets, unitBytes: number): string {
  const unit = BigInt(unitBytes)
  const thousandths = (absolute(BigInt(octets)) * 2000n + unit) / (2n * unit)
  const sign = BigInt(octets) < 0n && thousandths > 0n ? '-' : ''
  const decimal = `${sign}${thousandths / 1000n}.${String(thousandths % 1000n).padStart(3, '0')}`
  const format = new Intl.NumberFormat(locale, { minimumFractionDigits: 3, maximumFractionDigits: 3 })
  return `${format.format(decimal as Intl.StringNumericLiteral)} ${unitNameOf(unitBytes)}`
}

/** `1,234,567 octets` without its word: for the title beside either. */
export function exactCountText(locale: string, count: Octets): string {
  return new Intl.NumberFormat(locale).format(BigInt(count))
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value
}
