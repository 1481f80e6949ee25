/** Time as services see it: passed in, so that tests and the demo's history run on a clock of their own. */
export type Clock = {
  /** Milliseconds since the epoch; a whole number. */
  nowMs(): number
  /** Microseconds of a clock that never goes back, for durations only; a whole number. */
  monotonicUs(): number
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicUs: () => Math.floor(performance.now() * 1_000),
}
