/**
 * The time of a log line, from what is written there.
 *
 * Owns    the year that RFC 3164 leaves out, and the zone that it and Exim leave out.
 * Why     the time is part of the identity of a message, so it follows from the text and the year alone. Where clocks
 *         are put back, an hour is written twice: both readings would need the lines around, which another cut of the
 *         same log does not have, so it is always the first.
 * Limits  a year is inferred rightly where the newest line is not older than a year, or the year is given.
 */
import { tzOffset } from '@date-fns/tz'

export type LogClock = {
  /** Milliseconds since the epoch, or `null` where this is no time. */
  timeMsOf(stamp: string): number | null
  /** A new file begins: the year of its first line is inferred anew. */
  beginFile(modifiedMs: number): void
}

export type LogClockOptions = {
  /** IANA name of the zone in which the MTA writes; `null`: that of this process. */
  timeZone: string | null
  /** Year of the first line of each file; `null`: inferred from when the file was last written. */
  year: number | null
}

const dayMs = 86_400_000
const hourMs = 3_600_000
/** What a clock may be put back, or a log be out of order, without being taken for a new year. */
const disorderMs = 31 * dayMs

const months = new Map(['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'].map((name, index) => [name, index]))
const rfc3164 = /^([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d)$/
const iso = /^(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z| ?[+-]\d\d:?\d\d)?$/

type LocalTime = { year: number; month: number; day: number; hour: number; minute: number; second: number; millisecond: number }

export function createLogClock(options: LogClockOptions): LogClock {
  const zoned = createZone(options.timeZone)
  let modifiedMs = Infinity
  let previousMs: number | null = null

  /** The last year in which the line is not newer than its file; after that, the one that goes on from the line before. */
  const yearOf = (local: LocalTime): number => {
    const at = (year: number): number => Date.UTC(year, local.month, local.day, local.hour, local.minute, local.second)
    const newestYear = new Date(modifiedMs + 2 * dayMs).getUTCFullYear()
    if (previousMs === null) {
      if (options.year !== null) return options.year
      return at(newestYear) <= modifiedMs + dayMs ? newestYear : newestYear - 1
    }
    const year = new Date(previousMs).getUTCFullYear()
    const going = [year - 1, year, year + 1].find((candidate) => at(candidate) >= previousMs! - disorderMs) ?? year
    return options.year === null && at(going) > modifiedMs + dayMs ? going - 1 : going
  }

  return {
    beginFile: (modified) => {
      modifiedMs = modified
      previousMs = null
    },
    timeMsOf: (stamp) => {
      const short = rfc3164.exec(stamp)
      if (short !== null) {
        const month = months.get(short[1]!)
        if (month === undefined) return null
        const local = { year: 2000, month, day: Number(short[2]), hour: Number(short[3]), minute: Number(short[4]), second: Number(short[5]), millisecond: 0 }
        local.year = yearOf(local)
        const timeMs = zoned(local)
        if (timeMs !== null) previousMs = Date.UTC(local.year, local.month, local.day, local.hour, local.minute, local.second)
        return timeMs
      }
      const long = iso.exec(stamp)
      if (long === null) return null
      const [, year, month, day, hour, minute, second, fraction = '', zone] = long
      const local = {
        year: Number(year), month: Number(month) - 1, day: Number(day), hour: Number(hour), minute: Number(minute), second: Number(second),
        millisecond: Number(fraction.padEnd(3, '0').slice(0, 3)),
      }
      if (zone === undefined) return zoned(local)
      const utcMs = utcOf(local)
      return utcMs === null ? null : utcMs - offsetMs(zone)
    },
  }
}

function offsetMs(zone: string): number {
  if (zone === 'Z') return 0
  const digits = zone.replace(/\D/g, '')
  const sizeMs = Number(digits.slice(0, 2)) * hourMs + Number(digits.slice(2)) * 60_000
  return zone.includes('-') ? -sizeMs : sizeMs
}

/** As if the clock showed UTC; `null` for the 31st of February. */
function utcOf(local: LocalTime): number | null {
  const { year, month, day, hour, minute, second, millisecond } = local
  if (hour > 23 || minute > 59 || second > 60) return null
  const timeMs = Date.UTC(year, month, day, hour, minute, second, millisecond)
  const date = new Date(Date.UTC(year, month, day))
  return date.getUTCMonth() === month && date.getUTCDate() === day ? timeMs : null
}

/** Local time to time, remembering the offsets of one hour: lines come in order. */
function createZone(timeZone: string | null): (local: LocalTime) => number | null {
  const zone = timeZone ?? Intl.DateTimeFormat().resolvedOptions().timeZone
  let knownHour = NaN
  let knownOffsets: readonly [number, number] = [0, 0]
  return (local) => {
    const utcMs = utcOf(local)
    if (utcMs === null) return null
    const hour = Math.floor(utcMs / (hourMs / 4))
    if (hour !== knownHour) {
      knownHour = hour
      // The offsets before and after any change near by.
      knownOffsets = [tzOffset(zone, new Date(utcMs - dayMs)) * 60_000, tzOffset(zone, new Date(utcMs + dayMs)) * 60_000]
    }
    const [before, after] = knownOffsets
    if (before === after) return utcMs - before
    // By the old offset if the change had not come by then: of two readings the first.
    const early = utcMs - before
    return tzOffset(zone, new Date(early)) * 60_000 === before ? early : utcMs - after
  }
}
