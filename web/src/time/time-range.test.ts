import { describe, expect, it } from 'vitest'
import { rangeFrom, rangeHours, rangeTerms, rangeText } from './time-range.ts'

describe('time range', () => {
  it.each(['1h', '24h', '7d', '30d', '365d', '2026-11-01T00:00:00Z..2026-11-02T12:30:00Z'])(
    'comes back from its own text %s',
    (text) => {
      expect(rangeText(rangeFrom(text))).toBe(text)
    },
  )
  it.each([undefined, '', '25h', '2026-11-02..2026-11-01', '2026-11-01..', 'x..y', ['7d']])(
    'falls back to 24 hours for %s',
    (text) => {
      expect(rangeText(rangeFrom(text))).toBe('24h')
    },
  )
  it('writes a span as terms of the query language', () => {
    expect(rangeTerms(rangeFrom('2026-11-01T00:00:00Z..2026-11-02T00:00:00Z'))).toBe(
      'after:2026-11-01T00:00:00Z before:2026-11-02T00:00:00Z',
    )
  })
  it('counts hours only for what is counted back from now', () => {
    expect(rangeHours(rangeFrom('7d'))).toBe(168)
    expect(rangeHours(rangeFrom('2026-11-01..2026-11-02'))).toBeNull()
  })
})
