import { describe, expect, it } from 'vitest'
import { calendarMonth, monthLabelAt } from '../../contracts/period.ts'
import { dueRuns } from './due-runs.ts'

const zone = 'Europe/Berlin'
const periods = {
  periodOf: (label: string) => calendarMonth(label, zone),
  periodAt: (time: Date) => calendarMonth(monthLabelAt(time, zone), zone),
}
const keys = (every: 'day' | 'month', newestDone: string | null, now: string) =>
  dueRuns(every, newestDone, new Date(now), 3 * 3_600_000, periods).map((run) => `${run.key} of ${run.period}`)

describe('the due runs of a scheduled export', () => {
  it('are a month that has ended, from its hour on and not before', () => {
    expect(keys('month', '2026-09', '2026-11-01T01:59:59.999Z')).toEqual([])
    expect(keys('month', '2026-09', '2026-11-01T02:00:00.000Z')).toEqual(['2026-10 of 2026-10'])
    expect(keys('month', '2026-10', '2026-11-01T02:00:00.000Z')).toEqual([])
  })

  it('begin with the newest, and make up for every month that was missed', () => {
    expect(keys('month', null, '2026-11-25T00:00:00Z')).toEqual(['2026-10 of 2026-10'])
    expect(keys('month', '2026-07', '2026-11-25T00:00:00Z')).toEqual([
      '2026-08 of 2026-08',
      '2026-09 of 2026-09',
      '2026-10 of 2026-10',
    ])
  })

  it('are the day that has ended, with the last day of each month that was missed', () => {
    expect(keys('day', null, '2026-11-25T01:59:59Z')).toEqual(['2026-11-23 of 2026-11'])
    expect(keys('day', null, '2026-11-25T02:00:00Z')).toEqual(['2026-11-24 of 2026-11'])
    expect(keys('day', '2026-11-24', '2026-11-25T12:00:00Z')).toEqual([])
    expect(keys('day', '2026-09-12', '2026-11-25T12:00:00Z')).toEqual([
      '2026-09-30 of 2026-09',
      '2026-10-31 of 2026-10',
      '2026-11-24 of 2026-11',
    ])
    expect(keys('day', '2026-10-30', '2026-11-01T02:00:00Z')).toEqual(['2026-10-31 of 2026-10'])
  })
})
