import { describe, expect, it } from 'vitest'
import { calendarDays, calendarMonth, isTimeZone, monthLabelAt, nextMonthLabel, previousMonthLabel } from './period.ts'

const hourMs = 3_600_000

describe('calendarMonth', () => {
  it('tiles 2020 to 2035 without gap or overlap in every zone, and each edge has its label', () => {
    for (const timeZone of Intl.supportedValuesOf('timeZone')) {
      let upto: Date | null = null
      for (let year = 2020; year <= 2035; year += 1) {
        for (let month = 1; month <= 12; month += 1) {
          const period = calendarMonth(`${year}-${String(month).padStart(2, '0')}`, timeZone)
          if (upto !== null && period.from.getTime() !== upto.getTime()) throw new Error(`${timeZone} ${period.label} does not begin where the month before ends`)
          if (monthLabelAt(period.from, timeZone) !== period.label) throw new Error(`${timeZone} ${period.label} does not hold its first instant`)
          if (monthLabelAt(new Date(period.upto.getTime() - 1), timeZone) !== period.label) throw new Error(`${timeZone} ${period.label} does not hold its last millisecond`)
          upto = period.upto
        }
      }
    }
  })
})
