/**
 * Billing periods: calendar months of a time zone as half-open ranges of UTC time (BILLING, Time).
 *
 * Why    a month begins at its first instant: where a zone skips midnight of the 1st, or the whole 1st, at the first
 *        time after it that exists; where midnight comes twice, at the first. So months tile time in every zone.
 * Fails  an unknown zone or a label that is no month throws a RangeError with the remedy in it.
 */
import { tzOffset } from '@date-fns/tz'

/** `[from, upto)`, e.g. label `2026-11`. */
export type Period = { label: string; from: Date; upto: Date; timeZone: string }

const minuteMs = 60_000
const dayMs = 86_400_000

export function calendarMonth(label: string, timeZone: string): Period {
  const { year, month } = yearAndMonth(label)
  if (!isTimeZone(timeZone)) throw new RangeError(`"${timeZone}" is no IANA time zone: write one like Europe/Berlin`)
  return {
    label,
    from: startOfDay(year, month, 1, timeZone),
    upto: startOfDay(year, month + 1, 1, timeZone),
    timeZone,
  }
}

/** The label of the month that holds a time. */
export function monthLabelAt(time: Date, timeZone: string): string {
  const local = localTime(time.getTime(), timeZone)
  const label = labelOf(local)
  if (new Date(local).getUTCDate() < 27) return label
  // A clock that went back over midnight shows the old month again; the month that has begun goes on.
  return time.getTime() >= calendarMonth(label, timeZone).upto.getTime() ? nextMonthLabel(label) : label
}

/** The days of a period, which they tile: the first begins with the period, also where its zone is new. */
export function calendarDays(period: Period): Period[] {
  const { year, month } = yearAndMonth(period.label)
  const days: Period[] = []
  for (let day = 1; new Date(Date.UTC(year, month, day)).getUTCMonth() === month; day += 1) {
    const from = day === 1 ? period.from : startOfDay(year, month, day, period.timeZone)
    const upto = startOfDay(year, month, day + 1, period.timeZone)
    // A day that the zone skipped has no time in it.
    if (from < upto) days.push({ label: `${period.label}-${twoDigits(day)}`, from, upto, timeZone: period.timeZone })
  }
  return days
}

export function nextMonthLabel(label: string): string {
  const { year, month } = yearAndMonth(label)
  return labelOf(Date.UTC(year, month + 1))
}

export function previousMonthLabel(label: string): string {
  const { year, month } = yearAndMonth(label)
  return labelOf(Date.UTC(year, month - 1))
}

export function isTimeZone(name: string): boolean {
  if (zonesSeen.has(name)) return true
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
  } catch {
    return false
  }
  zonesSeen.add(name)
  return true
}

/** Asking Intl takes longer than the rest of a period; only names that exist come in. */
const zonesSeen = new Set<string>()

function yearAndMonth(label: string): { year: number; month: number } {
  const match = /^([1-9]\d{3})-(0[1-9]|1[0-2])$/.exec(label)
  if (match === null) throw new RangeError(`"${label}" is no period: write year and month, like 2026-11`)
  return { year: Number(match[1]), month: Number(match[2]) - 1 }
}

/** First instant at which the clocks of a zone show this day or a later one; months and days count over. */
function startOfDay(year: number, month: number, day: number, timeZone: string): Date {
  const midnight = Date.UTC(year, month, day)
  // Clocks are between 12 h behind UTC and 14 h ahead of it, and changed less than a day before or after.
  const earliest = midnight - dayMs * 1.5
  const latest = midnight + dayMs * 1.5
  const offsetBefore = localTime(earliest, timeZone) - earliest
  const offsetAfter = localTime(latest, timeZone) - latest
  const candidate = midnight - offsetBefore
  if (offsetBefore === offsetAfter) return new Date(candidate)
  // The zone changes its clocks near this midnight. Before the change the old offset holds: if midnight came by
  // it, that was the first one. If it did not, the day began at the change, or at midnight by the new offset.
  const change = firstTimeWithOffsetAfter(earliest, latest, offsetBefore, timeZone)
  if (candidate < change) return new Date(candidate)
  return new Date(Math.max(change, midnight - offsetAfter))
}

/** When the offset stops being `offset`, to the minute. */
function firstTimeWithOffsetAfter(from: number, upto: number, offset: number, timeZone: string): number {
  let [low, high] = [Math.floor(from / minuteMs), Math.ceil(upto / minuteMs)]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (localTime(middle * minuteMs, timeZone) - middle * minuteMs === offset) low = middle
    else high = middle
  }
  return high * minuteMs
}

/** What the clocks of the zone show, as if it were UTC. */
function localTime(timeMs: number, timeZone: string): number {
  return timeMs + tzOffset(timeZone, new Date(timeMs)) * minuteMs
}

function labelOf(utcMs: number): string {
  const date = new Date(utcMs)
  return `${date.getUTCFullYear()}-${twoDigits(date.getUTCMonth() + 1)}`
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0')
}
