/** Spans of the trace that hold what a usage line counts. */
import { zoneOffsetMs } from '../../chart/axis-ticks.ts'

/** A calendar day of a zone as half-open UTC times; a day with a clock change is 23 or 25 hours long. */
export function daySpan(day: string, timeZone: string): { from: Date; upto: Date } {
  const [year, month, date] = day.split('-').map(Number) as [number, number, number]
  return { from: startOfDay(year, month, date, timeZone), upto: startOfDay(year, month, date + 1, timeZone) }
}

function startOfDay(year: number, month: number, date: number, timeZone: string): Date {
  const wall = Date.UTC(year, month - 1, date)
  // The offset is looked up where midnight is in UTC, then once more where it turned out to be.
  const near = wall - zoneOffsetMs(wall, timeZone)
  return new Date(wall - zoneOffsetMs(near, timeZone))
}
