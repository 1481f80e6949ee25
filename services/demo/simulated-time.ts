/**
 * The clock of the history: moves only where it is told to, so that the same seed gives the same times.
 */
import type { Clock } from '../kit/clock.ts'
import type { SeededRandom } from './seeded-random.ts'

export class SimulatedTime implements Clock {
  readonly #random: SeededRandom
  #nowMs: number
  #elapsedUs = 0

  constructor(startMs: number, random: SeededRandom) {
    this.#nowMs = startMs
    this.#random = random
  }

  nowMs(): number {
    return this.#nowMs
  }

  /** Each look takes a little: rules and disk are not free in the history either. */
  monotonicUs(): number {
    this.#elapsedUs += Math.round(this.#random.logNormal(60, 0.6))
    return this.#elapsedUs
  }

  pass(milliseconds: number): void {
    const whole = Math.max(0, Math.round(milliseconds))
    this.#nowMs += whole
    this.#elapsedUs += whole * 1_000
  }

  /** Never goes back. */
  advanceTo(timeMs: number): void {
    this.pass(timeMs - this.#nowMs)
  }
}
