import { describe, expect, it } from 'vitest'
import { countScale, timeTicks, zoneOffsetMs } from './axis-ticks.ts'

describe('scale of counts', () => {
  it.each([
    [0, 1, [1]],
    [1, 1, [1]],
    [3, 3, [1, 2, 3]],
    [7, 10, [5, 10]],
    [61, 100, [50, 100]],
    [1204, 1500, [500, 1000, 1500]],
  ])('up to %i ends at %i', (max, top, ticks) => {
    expect(countScale(max)).toEqual({ top, ticks })
  })
})

describe('ticks of time', () => {
  it('stand at midnight of the zone that is shown', () => {
    const from = Date.UTC(2026, 10, 1)
    const { ticks, stepMs } = timeTicks(from, from + 5 * 86_400_000, 'Asia/Tokyo', 6)
    expect(stepMs).toBe(86_400_000)
    expect(new Date(ticks[0]!).toISOString()).toBe('2026-11-01T15:00:00.000Z')
  })
  it('stay at midnight across the end of summer time', () => {
    const from = Date.UTC(2026, 9, 23, 22)
    const { ticks } = timeTicks(from, from + 4 * 86_400_000, 'Europe/Berlin', 6)
    expect(ticks.map((tick) => new Date(tick).toISOString().slice(5, 16))).toEqual([
      '10-23T22:00', '10-24T22:00', '10-25T23:00', '10-26T23:00',
    ])
  })
  it('are never more than asked for', () => {
    for (const days of [0.1, 1, 7, 30, 365, 4000]) {
      expect(timeTicks(0, days * 86_400_000, 'UTC', 8).ticks.length).toBeLessThanOrEqual(days > 2912 ? 12 : 8)
    }
  })
  it('know the offset of a zone in winter and summer', () => {
    expect(zoneOffsetMs(Date.UTC(2026, 6, 1), 'Asia/Kolkata')).toBe(5.5 * 3_600_000)
    expect(zoneOffsetMs(Date.UTC(2026, 0, 1), 'America/New_York')).toBe(-5 * 3_600_000)
  })
})
