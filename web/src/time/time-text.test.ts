import { describe, expect, it } from 'vitest'
import { createTimeText, durationText } from './time-text.ts'

const iso = '2026-11-24T23:30:05.123Z'

describe('time text', () => {
  it('shows the same instant by the clock of the chosen zone', () => {
    expect(createTimeText('en-GB', 'UTC').row(iso)).toBe('24 Nov 23:30:05')
    expect(createTimeText('en-GB', 'Asia/Tokyo').row(iso)).toBe('25 Nov 08:30:05')
  })
  it('names the zone where a time leaves the screen', () => {
    expect(createTimeText('en-GB', 'UTC').full(iso)).toMatch(/^24 November 2026 at 23:30:05 UTC$/)
  })
  it('labels midnight of the zone by its day on an axis of hours', () => {
    const hour = 3_600_000
    expect(createTimeText('en-GB', 'Asia/Tokyo').tick(new Date('2026-11-24T15:00:00Z'), 6 * hour)).toBe('25 Nov')
    expect(createTimeText('en-GB', 'UTC').tick(new Date('2026-11-24T15:00:00Z'), 6 * hour)).toBe('15:00')
  })
  it('writes midnight as 00, never as 24', () => {
    expect(createTimeText('en', 'UTC').clock('2026-11-24T00:05:00.000Z')).toBe('00:05:00')
  })
  it.each([
    [0, 'now'],
    [59_000, '59 seconds ago'],
    [60_000, '1 minute ago'],
    [100 * 60_000, '2 hours ago'],
    [47 * 3_600_000, '47 hours ago'],
    [48 * 3_600_000, '2 days ago'],
  ])('tells %i ms as %s', (ageMs, text) => {
    expect(createTimeText('en', 'UTC').relative(iso, new Date(iso).getTime() + ageMs)).toBe(text)
  })
})

describe('duration text', () => {
  it.each([
    [0, '0 µs'],
    [999, '999 µs'],
    [1000, '1 ms'],
    [1284, '1.28 ms'],
    [1_284_000, '1.28 s'],
  ])('tells %i µs as %s', (us, text) => {
    expect(durationText('en', us)).toBe(text)
  })
})
