import { expect, it } from 'vitest'
import { daySpan } from './month-days.ts'

it.each([
  ['2026-11-24', 'UTC', '2026-11-24T00:00:00.000Z', 24],
  ['2026-11-30', 'Asia/Tokyo', '2026-11-29T15:00:00.000Z', 24],
  ['2026-12-31', 'America/New_York', '2026-12-31T05:00:00.000Z', 24],
  ['2026-10-25', 'Europe/Berlin', '2026-10-24T22:00:00.000Z', 25],
  ['2026-03-29', 'Europe/Berlin', '2026-03-28T23:00:00.000Z', 23],
  ['2026-09-27', 'Pacific/Auckland', '2026-09-26T12:00:00.000Z', 23],
])('%s in %s begins at %s and is %i hours long', (day, timeZone, from, hours) => {
  const span = daySpan(day, timeZone)
  expect(span.from.toISOString()).toBe(from)
  expect((span.upto.getTime() - span.from.getTime()) / 3_600_000).toBe(hours)
})
