import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  calendarDays,
  calendarMonth,
  isTimeZone,
  monthLabelAt,
  nextMonthLabel,
  previousMonthLabel,
} from './period.ts'

const hourMs = 3_600_000
const zones = Intl.supportedValuesOf('timeZone')

function monthsOf(fromYear: number, toYear: number): string[] {
  const labels: string[] = []
  for (let year = fromYear; year <= toYear; year += 1) {
    for (let month = 1; month <= 12; month += 1) labels.push(`${year}-${String(month).padStart(2, '0')}`)
  }
  return labels
}

describe('calendarMonth', () => {
  it('tiles 2020 to 2035 without gap or overlap in every zone, and each edge has its label', () => {
    const faults: string[] = []
    for (const timeZone of zones) {
      let upto: number | null = null
      for (const label of monthsOf(2020, 2035)) {
        const period = calendarMonth(label, timeZone)
        const from = period.from.getTime()
        if (upto !== null && from !== upto)
          faults.push(`${timeZone} ${label} does not begin where the month before ends`)
        upto = period.upto.getTime()
        if (upto - from < 27 * 24 * hourMs) faults.push(`${timeZone} ${label} is too short`)
        if (monthLabelAt(period.from, timeZone) !== label)
          faults.push(`${timeZone} ${label} does not hold its first instant`)
        if (monthLabelAt(new Date(upto - 1), timeZone) !== label)
          faults.push(`${timeZone} ${label} does not hold its last instant`)
      }
    }
    expect(faults).toEqual([])
  })

  it('holds exactly the times that bear its label, in every zone', () => {
    const time = fc.date({
      min: new Date('2005-01-01T00:00:00Z'),
      max: new Date('2035-12-31T00:00:00Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(time, fc.constantFrom(...zones), (at, timeZone) => {
        const period = calendarMonth(monthLabelAt(at, timeZone), timeZone)
        expect(at >= period.from && at < period.upto).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  it.each([
    ['Europe/Berlin', '2026-03', '2026-02-28T23:00:00.000Z', '2026-03-31T22:00:00.000Z', 31 * 24 - 1],
    ['Europe/Berlin', '2026-10', '2026-09-30T22:00:00.000Z', '2026-10-31T23:00:00.000Z', 31 * 24 + 1],
    ['Europe/Berlin', '2026-11', '2026-10-31T23:00:00.000Z', '2026-11-30T23:00:00.000Z', 30 * 24],
    ['America/New_York', '2026-03', '2026-03-01T05:00:00.000Z', '2026-04-01T04:00:00.000Z', 31 * 24 - 1],
    ['America/New_York', '2026-11', '2026-11-01T04:00:00.000Z', '2026-12-01T05:00:00.000Z', 30 * 24 + 1],
    ['UTC', '2028-02', '2028-02-01T00:00:00.000Z', '2028-03-01T00:00:00.000Z', 29 * 24],
    ['UTC', '2026-12', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z', 31 * 24],
    ['Pacific/Kiritimati', '2026-11', '2026-10-31T10:00:00.000Z', '2026-11-30T10:00:00.000Z', 30 * 24],
    // midnight of the 1st does not exist: 23:59:59 is followed by 01:00:00
    ['America/Asuncion', '2023-10', '2023-10-01T04:00:00.000Z', '2023-11-01T03:00:00.000Z', 31 * 24 - 1],
    // midnight of the 1st comes twice: 00:59:59 is followed by 00:00:00
    ['America/Havana', '2026-11', '2026-11-01T04:00:00.000Z', '2026-12-01T05:00:00.000Z', 30 * 24 + 1],
    // 30 December 2011 did not exist
    ['Pacific/Apia', '2011-12', '2011-12-01T10:00:00.000Z', '2011-12-31T10:00:00.000Z', 30 * 24],
  ])('gives %s %s from %s upto %s, %i hours', (timeZone, label, from, upto, hours) => {
    const period = calendarMonth(label, timeZone)
    expect([period.from.toISOString(), period.upto.toISOString()]).toEqual([from, upto])
    expect((period.upto.getTime() - period.from.getTime()) / hourMs).toBe(hours)
  })

  it('goes on with the month that has begun where the clock goes back into the old one', () => {
    // St. John's, 1 November 2009: at 00:01 it became 23:01 of 31 October again.
    const period = calendarMonth('2009-11', 'America/St_Johns')
    expect(period.from.toISOString()).toBe('2009-11-01T02:30:00.000Z')
    expect(monthLabelAt(new Date('2009-11-01T02:29:59.999Z'), 'America/St_Johns')).toBe('2009-10')
    expect(monthLabelAt(new Date('2009-11-01T02:31:00.000Z'), 'America/St_Johns')).toBe('2009-11')
    expect(monthLabelAt(new Date('2009-11-01T03:30:59.999Z'), 'America/St_Johns')).toBe('2009-11')
  })

  it.each(['2026-13', '2026-00', '2026-1', '26-01', '2026-01-01', '', '0000-01'])(
    'refuses the label "%s"',
    (label) => {
      expect(() => calendarMonth(label, 'UTC')).toThrow(/is no period: write year and month, like 2026-11/)
    },
  )

  it('refuses a zone that does not exist, and remembers none as known', () => {
    for (const _ of [1, 2])
      expect(() => calendarMonth('2026-11', 'Europe/Berlni')).toThrow(/no IANA time zone: write one like/)
    expect(isTimeZone('Europe/Berlin')).toBe(true)
    expect(isTimeZone('Europe/Berlni')).toBe(false)
  })
})

describe('calendarDays', () => {
  it('tiles the months of 2026 in which clocks change, in every zone', () => {
    const faults: string[] = []
    for (const timeZone of zones) {
      for (const label of ['2026-02', '2026-03', '2026-04', '2026-09', '2026-10', '2026-11']) {
        const period = calendarMonth(label, timeZone)
        let upto = period.from.getTime()
        for (const day of calendarDays(period)) {
          if (day.from.getTime() !== upto)
            faults.push(`${timeZone} ${day.label} does not begin where the day before ends`)
          upto = day.upto.getTime()
        }
        if (upto !== period.upto.getTime()) faults.push(`the days of ${timeZone} ${label} do not end with it`)
      }
    }
    expect(faults).toEqual([])
  })

  it('gives the days on which clocks change their 23 and 25 hours', () => {
    const hoursOf = (label: string, day: number) => {
      const { from, upto } = calendarDays(calendarMonth(label, 'Europe/Berlin'))[day - 1]!
      return (upto.getTime() - from.getTime()) / hourMs
    }
    expect([hoursOf('2026-03', 28), hoursOf('2026-03', 29), hoursOf('2026-10', 25), hoursOf('2026-10', 26)]).toEqual([
      24, 23, 25, 24,
    ])
  })

  it('leaves out the day that a zone skipped', () => {
    const labels = calendarDays(calendarMonth('2011-12', 'Pacific/Apia')).map((day) => day.label)
    expect(labels.slice(-2)).toEqual(['2011-12-29', '2011-12-31'])
  })
})

describe('month labels', () => {
  it('go over the turn of a year', () => {
    expect([nextMonthLabel('2026-12'), previousMonthLabel('2026-01'), nextMonthLabel('2026-09')]).toEqual([
      '2027-01',
      '2025-12',
      '2026-10',
    ])
  })
})
