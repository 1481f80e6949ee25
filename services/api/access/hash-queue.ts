/**
 * Lets few passwords be hashed at once.
 *
 * Limits  `atOnce` hashes run, `waiting` more may wait; beyond it `run` answers `null` at once.
 * Why     a hash keeps one of the four threads of Node busy, and new database connections need one too: a flood of
 *         logins would take the database away from everybody who is logged in.
 */
export const hashQueueLimits = { atOnce: 2, waiting: 100 } as const

export class HashQueue {
  #running = 0
  readonly #waiting: (() => void)[] = []

  async run<Result>(hash: () => Promise<Result>): Promise<Result | null> {
    if (this.#running >= hashQueueLimits.atOnce) {
      if (this.#waiting.length >= hashQueueLimits.waiting) return null
      // Whoever ends passes its place on, so it is never free in between.
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    } else this.#running += 1
    try {
      return await hash()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
