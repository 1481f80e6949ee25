/** Times that leave out the year or the zone. */
import { describe, expect, it } from 'vitest'
import { createLogClock } from './log-clock.ts'

const iso = (timeMs: number | null): string | null => (timeMs === null ? null : new Date(timeMs).toISOString())
function times(stamps: readonly string[], options: { timeZone?: string; year?: number; modified?: string } = {}): (string | null)[] {
  const clock = createLogClock({ timeZone: options.timeZone ?? 'UTC', year: options.year ?? null })
  clock.beginFile(Date.parse(options.modified ?? '2026-11-25T12:00:00Z'))
  return stamps.map((stamp) => iso(clock.timeMsOf(stamp)))
}

describe('the year that RFC 3164 leaves out', () => {
  it.each<[string, string[], string, string[]]>([
    ['is that of the file', ['Nov 25 10:00:00'], '2026-11-25T12:00:00Z', ['2026-11-25']],
    ['is the one before where the line would be newer than its file', ['Dec 30 10:00:00'], '2027-01-02T00:00:00Z', ['2026-12-30']],
    ['goes on over New Year', ['Dec 31 23:59:59', 'Jan  1 00:00:01'], '2027-01-02T00:00:00Z', ['2026-12-31', '2027-01-01']],
    ['goes on over New Year in a file that was written long after', ['Dec 31 23:59:59', 'Jan  1 00:00:01'], '2027-06-02T00:00:00Z', ['2026-12-31', '2027-01-01']],
    ['survives lines out of order at New Year', ['Dec 31 23:59:59', 'Jan  1 00:00:01', 'Dec 31 23:59:58', 'Jan  1 00:00:02'], '2027-01-02T00:00:00Z', ['2026-12-31', '2027-01-01', '2026-12-31', '2027-01-01']],
    ['is the new one for a clock that is ahead of its file by hours', ['Jan  1 03:00:00'], '2026-12-31T22:00:00Z', ['2027-01-01']],
    ['is a leap year where the day says so', ['Feb 29 10:00:00'], '2029-01-05T00:00:00Z', ['2028-02-29']],
  ])('%s', (_, stamps, modified, expected) => {
    expect(times(stamps, { modified }).map((time) => time?.slice(0, 10))).toEqual(expected)
  })

  it('is the one that was given, for the first line, and goes on from there', () => {
    expect(times(['Dec 31 23:59:59', 'Jan  1 00:00:01'], { year: 2019 }).map((time) => time?.slice(0, 10))).toEqual(['2019-12-31', '2020-01-01'])
  })
})

describe('the zone that is left out', () => {
  it.each<[string, string, string, string]>([
    ['summer', 'Jul  1 12:00:00', 'Europe/Berlin', '2026-07-01T10:00:00.000Z'],
    ['winter', 'Jan  5 12:00:00', 'Europe/Berlin', '2026-01-05T11:00:00.000Z'],
    ['before the hour that comes twice', 'Oct 25 01:59:59', 'Europe/Berlin', '2026-10-24T23:59:59.000Z'],
    ['in the hour that comes twice: the first', 'Oct 25 02:30:00', 'Europe/Berlin', '2026-10-25T00:30:00.000Z'],
    ['after the hour that comes twice', 'Oct 25 03:00:00', 'Europe/Berlin', '2026-10-25T02:00:00.000Z'],
    ['before the hour that is left out', 'Mar 29 01:59:59', 'Europe/Berlin', '2026-03-29T00:59:59.000Z'],
    ['after the hour that is left out', 'Mar 29 03:00:00', 'Europe/Berlin', '2026-03-29T01:00:00.000Z'],
    ['west of Greenwich, the hour that comes twice', 'Nov  1 01:30:00', 'America/New_York', '2026-11-01T05:30:00.000Z'],
    ['half an hour', 'Jul  1 12:00:00', 'Asia/Kolkata', '2026-07-01T06:30:00.000Z'],
  ])('is the one given: %s', (_, stamp, timeZone, expected) => {
    expect(times([stamp], { timeZone })).toEqual([expected])
  })

  it('gives the same time to a line of the hour that comes twice, whatever stands before it', () => {
    const [alone] = times(['Oct 25 02:30:00'], { timeZone: 'Europe/Berlin' })
    expect(times(['Oct 25 02:59:59', 'Oct 25 02:30:00'], { timeZone: 'Europe/Berlin' })[1]).toBe(alone)
  })

  it('counts for nothing where the line has its own', () => {
    expect(times(['2026-11-25T10:00:00+02:00', '2026-11-25 10:00:00 -0330', '2026-11-25T10:00:00.5Z'], { timeZone: 'Asia/Tokyo' })).toEqual(['2026-11-25T08:00:00.000Z', '2026-11-25T13:30:00.000Z', '2026-11-25T10:00:00.500Z'])
  })
})

it.each(['Nov 31 10:00:00', 'Feb 30 10:00:00', 'Nov 25 24:00:00', 'Foo 25 10:00:00', '2026-13-01T00:00:00Z', '1700000000', ''])('takes nothing for a time that is none: %s', (stamp) => {
  expect(times([stamp])).toEqual([null])
})
