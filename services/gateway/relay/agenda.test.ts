import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Agenda } from './agenda.ts'
import { retryDelayMs } from './retry-delay.ts'

describe('the agenda', () => {
  it('gives every item once, at its time and in the order of the times', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1_000)), fc.nat(1_000), (times, nowMs) => {
        const agenda = new Agenda<number>()
        for (const time of times) agenda.add(time, time)
        expect(agenda.takeDue(nowMs)).toEqual(times.filter((time) => time <= nowMs).sort((a, b) => a - b))
        const rest = times.filter((time) => time > nowMs)
        expect(agenda.size).toBe(rest.length)
        expect(agenda.nextDueAtMs).toBe(rest.length === 0 ? null : Math.min(...rest))
        expect(agenda.takeWhere((time) => time % 2 === 0).sort()).toEqual(rest.filter((time) => time % 2 === 0).sort())
        expect(agenda.takeDue(1_000)).toEqual(rest.filter((time) => time % 2 === 1).sort((a, b) => a - b))
      }),
    )
  })
})

describe('the delay before the next try', () => {
  it.each([
    [1, 60_000],
    [2, 120_000],
    [6, 1_920_000],
    [7, 3_600_000],
    [1_000, 3_600_000],
    [0, 60_000],
  ])('after try %i is %i ms, within a tenth', (tryCount, delayMs) => {
    expect(retryDelayMs(tryCount, 60_000, 3_600_000, 0.5)).toBe(delayMs)
    expect(retryDelayMs(tryCount, 60_000, 3_600_000, 0)).toBe(delayMs * 0.9)
    expect(retryDelayMs(tryCount, 60_000, 3_600_000, 0.999_999_9)).toBeLessThanOrEqual(delayMs * 1.1)
  })
})
