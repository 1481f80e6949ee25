/** When sessions begin: many by day and on weekdays, few at night, in a month and the one before it. */
import { calendarMonth, monthLabelAt } from '../contracts/period.ts'
import type { SeededRandom } from './seeded-random.ts'

/** First instant of the month before the one of `uptoMs`. */
export function historyStart(uptoMs: number, timeZone: string): number {
  const thisMonth = calendarMonth(monthLabelAt(new Date(uptoMs), timeZone), timeZone)
  const before = monthLabelAt(new Date(thisMonth.from.getTime() - 1), timeZone)
  return calendarMonth(before, timeZone).from.getTime()
}

/** Share of the day's mail that an hour has, by hour of the local clock. */
const hourShares = [2, 1, 1, 1, 1, 2, 4, 8, 14, 17, 17, 15, 11, 14, 16, 15, 13, 10, 7, 5, 4, 4, 3, 2] as const
const weekendFactor = 0.28

/** Ascending, so many on the whole, spread by hour and weekday and at random within each hour. */
export function arrivalTimes(fromMs: number, uptoMs: number, count: number, timeZone: string, random: SeededRandom): number[] {
  const local = new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', weekday: 'short', hour12: false })
  const hours: { fromMs: number; uptoMs: number; share: number }[] = []
  for (let hourMs = fromMs; hourMs < uptoMs; hourMs += 3_600_000) {
    const parts = Object.fromEntries(local.formatToParts(hourMs).map((part) => [part.type, part.value]))
    const isWeekend = parts['weekday'] === 'Sat' || parts['weekday'] === 'Sun'
    const endMs = Math.min(hourMs + 3_600_000, uptoMs)
    const wholeHour = hourShares[Number(parts['hour']) % 24]! * (isWeekend ? weekendFactor : 1)
    hours.push({ fromMs: hourMs, uptoMs: endMs, share: (wholeHour * (endMs - hourMs)) / 3_600_000 })
  }
  const total = hours.reduce((sum, hour) => sum + hour.share, 0)
  const times: number[] = []
  for (const hour of hours) {
    const expected = (count * hour.share) / total
    // Rounded by chance, so that quiet hours are not all empty or all alike.
    const sessions = Math.floor(expected) + (random.chance(expected % 1) ? 1 : 0)
    for (let index = 0; index < sessions; index += 1) times.push(hour.fromMs + Math.floor(random.fraction() * (hour.uptoMs - hour.fromMs)))
  }
  return times.sort((a, b) => a - b)
}
