/** For tests: a clock and timers that stand still until the test lets time pass. */
import type { Clock } from '../services/kit/clock.ts'
import type { Timers } from '../services/gateway/relay/timers.ts'

export class ManualTime implements Clock, Timers {
  #nowMs: number
  #alarms: { dueAtMs: number; callback: () => void }[] = []

  constructor(nowMs = 1_764_000_000_000) {
    this.#nowMs = nowMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  monotonicUs(): number {
    return this.#nowMs * 1_000
  }

  after(delayMs: number, callback: () => void): { cancel(): void } {
    const alarm = { dueAtMs: this.#nowMs + Math.max(0, delayMs), callback }
    this.#alarms.push(alarm)
    return { cancel: () => void (this.#alarms = this.#alarms.filter((other) => other !== alarm)) }
  }

  /** Runs what falls due, in its order, each at its time. */
  pass(durationMs: number): void {
    const untilMs = this.#nowMs + durationMs
    for (;;) {
      const next = this.#alarms.filter((alarm) => alarm.dueAtMs <= untilMs).sort((a, b) => a.dueAtMs - b.dueAtMs)[0]
      if (next === undefined) break
      this.#alarms = this.#alarms.filter((alarm) => alarm !== next)
      this.#nowMs = Math.max(this.#nowMs, next.dueAtMs)
      next.callback()
    }
    this.#nowMs = untilMs
  }
}
