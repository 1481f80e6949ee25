/**
 * Points in time as the trace query language writes them: `-7d`, `today`, `2026-11`, `2026-11-01T14:00+02:00`.
 *
 * Why  kept as written and resolved when the query runs: a saved search with `after:-7d` moves with the clock, and
 *      a link with `after:2026-11-01` means the day of whoever opens it, unless it names its zone.
 */
import { TZDate } from '@date-fns/tz'

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const
type TimeUnit = keyof typeof unitMs

export type TracePoint =
  /** Before now; a day is 24 hours. */
  | { ago: number; unit: TimeUnit }
  /** Start of the calendar day, in the zone of the one who asks. */
  | { day: 'today' | 'yesterday' }
  /** Wall-clock time in that zone, to the millisecond, e.g. `2026-11-01T00:00:00.000`; `written` is how it stood. */
  | { local: string; written: string }
  /** A time that named its offset. */
  | { instantMs: number; written: string }

export type TraceClock = { nowMs: number; timeZone: string }

/** What was meant, or the fault in words with what to write instead. */
export function parseTracePoint(text: string): TracePoint | { message: string; suggestion?: string } {
  const lower = text.toLowerCase()
  if (lower === 'now') return { ago: 0, unit: 'm' }
  if (lower === 'today' || lower === 'yesterday') return { day: lower }
  const relative = /^(-?)(\d{1,6})([a-z]+)$/.exec(lower)
  if (relative !== null) {
    const unit = relative[3]!
    if (!isTimeUnit(unit))
      return { message: `"${unit}" is no unit of time: m, h, d and w are minutes, hours, days and weeks` }
    if (relative[1] === '') return { message: 'A time before now begins with a minus', suggestion: `-${lower}` }
    return { ago: Number(relative[2]), unit }
  }
  const absolute = absolutePattern.exec(text)
  if (absolute === null) return { message: 'No time: write -7d, today, 2026-11-01 or 2026-11-01T14:00' }
  return absolutePoint(absolute, text)
}

const absolutePattern =
  /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?(Z|[+-]\d\d:?\d\d)?)?)?)?$/i

function absolutePoint(match: RegExpExecArray, text: string): TracePoint | { message: string } {
  const [year, month, day, hour, minute, second] = [1, 2, 3, 4, 5, 6].map((group, index) =>
    Number(match[group] ?? (index === 1 || index === 2 ? 1 : 0)),
  )
  const milliseconds = Number((match[7] ?? '').padEnd(3, '0'))
  const utc = Date.UTC(year!, month! - 1, day, hour, minute, second, milliseconds)
  const iso = new Date(utc).toISOString()
  // Date.UTC rolls 30 February over into March: what it gives back must be what was written.
  const parts = [year, month, day, hour, minute, second]
  const rolled = [
    iso.slice(0, 4),
    iso.slice(5, 7),
    iso.slice(8, 10),
    iso.slice(11, 13),
    iso.slice(14, 16),
    iso.slice(17, 19),
  ]
  if (year! < 1970 || parts.some((part, index) => part !== Number(rolled[index])))
    return { message: `There is no time ${text}` }
  const zone = match[8]
  if (zone === undefined) return { local: iso.slice(0, -1), written: text }
  if (zone.toUpperCase() === 'Z') return { instantMs: utc, written: text }
  const offset = /^([+-])(\d\d):?(\d\d)$/.exec(zone)!
  const offsetMinutes = Number(offset[2]) * 60 + Number(offset[3])
  if (offsetMinutes > 14 * 60) return { message: `There is no time zone ${zone}` }
  return { instantMs: utc - (offset[1] === '-' ? -1 : 1) * offsetMinutes * 60_000, written: text }
}

function isTimeUnit(text: string): text is TimeUnit {
  return Object.hasOwn(unitMs, text)
}

export function tracePointText(point: TracePoint): string {
  if ('ago' in point) return point.ago === 0 ? 'now' : `-${point.ago}${point.unit}`
  if ('day' in point) return point.day
  return point.written
}

/** Milliseconds since the epoch. A wall-clock time that a zone skips is the first one after it. */
export function timeMsOfPoint(point: TracePoint, clock: TraceClock): number {
  if ('ago' in point) return clock.nowMs - point.ago * unitMs[point.unit]
  if ('instantMs' in point) return point.instantMs
  if ('day' in point) {
    const now = new TZDate(clock.nowMs, clock.timeZone)
    const day = now.getDate() - (point.day === 'yesterday' ? 1 : 0)
    return new TZDate(now.getFullYear(), now.getMonth(), day, clock.timeZone).getTime()
  }
  const utc = new Date(`${point.local}Z`)
  return new TZDate(
    utc.getUTCFullYear(),
    utc.getUTCMonth(),
    utc.getUTCDate(),
    utc.getUTCHours(),
    utc.getUTCMinutes(),
    utc.getUTCSeconds(),
    utc.getUTCMilliseconds(),
    clock.timeZone,
  ).getTime()
}
