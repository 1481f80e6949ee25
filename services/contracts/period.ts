/**
 * Billing periods: calendar months of a time zone as half-open ranges of UTC time (BILLING, Time).
 *
 * Fails  an unknown zone or a label that is no month throws a RangeError with the remedy in it.
 */
import { TZDate } from '@date-fns/tz'

/** `[from, upto)`, e.g. label `2026-11`. */
export type Period = { label: string; from: Date; upto: Date; timeZone: string }

export function calendarMonth(label: string, timeZone: string): Period {
  const match = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(label)
  if (match === null) throw new RangeError(`"${label}" is no period: write year and month, like 2026-11`)
  if (!isTimeZone(timeZone)) throw new RangeError(`"${timeZone}" is no IANA time zone: write one like Europe/Berlin`)
  const year = Number(match[1])
  const month = Number(match[2]) - 1
  return { label, from: startOfMonth(year, month, timeZone), upto: startOfMonth(year, month + 1, timeZone), timeZone }
}

/** The label of the month that holds a time. */
export function monthLabelAt(time: Date, timeZone: string): string {
  const local = new TZDate(time.getTime(), timeZone)
  return `${local.getFullYear()}-${String(local.getMonth() + 1).padStart(2, '0')}`
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** First instant of a month: where a zone skips midnight of the 1st, the first time that exists. */
function startOfMonth(year: number, month: number, timeZone: string): Date {
  return new Date(new TZDate(year, month, 1, 0, 0, 0, timeZone).getTime())
}
