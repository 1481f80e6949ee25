/**
 * Slows down who tries passwords: a number of failures per name and per ip within a window of time.
 *
 * Limits  `maxKeys` names and addresses are remembered; beyond it those counted first are forgotten first.
 * Why     a try is counted before the password is hashed and given back when it was right: so that a hundred tries
 *         at once do not all pass before the first has failed.
 * Known weakness  who knows a name can keep it from logging in for a window; sessions that exist are not touched.
 */
export const loginLimits = { failuresPerName: 10, failuresPerIp: 30, windowMs: 15 * 60_000, maxKeys: 10_000 } as const

type Count = { failures: number; endsMs: number }

export class LoginLimiter {
  readonly #counts = new Map<string, Count>()

  /** Counts a try; the seconds to wait where there were too many, else `null`. */
  begin(name: string, ip: string, nowMs: number): number | null {
    const keys = [
      { key: `name ${name.toLowerCase()}`, most: loginLimits.failuresPerName },
      { key: `ip ${ip}`, most: loginLimits.failuresPerIp },
    ]
    for (const { key, most } of keys) {
      const count = this.#current(key, nowMs)
      if (count !== null && count.failures >= most) return Math.max(1, Math.ceil((count.endsMs - nowMs) / 1_000))
    }
    for (const { key } of keys) this.#add(key, nowMs)
    return null
  }

  /** The try was right: the name starts anew; the ip gets back only this one. */
  succeeded(name: string, ip: string): void {
    this.#counts.delete(`name ${name.toLowerCase()}`)
    const count = this.#counts.get(`ip ${ip}`)
    if (count !== undefined) count.failures -= 1
  }

  /** How many names and addresses are remembered. */
  get size(): number {
    return this.#counts.size
  }

  #current(key: string, nowMs: number): Count | null {
    const count = this.#counts.get(key)
    if (count === undefined) return null
    if (count.endsMs > nowMs) return count
    this.#counts.delete(key)
    return null
  }

  #add(key: string, nowMs: number): void {
    const count = this.#current(key, nowMs)
    if (count !== null) {
      count.failures += 1
      return
    }
    if (this.#counts.size >= loginLimits.maxKeys) {
      // Insertion order is the order in which windows end, as all are equally long.
      const oldest = this.#counts.keys().next()
      if (oldest.done !== true) this.#counts.delete(oldest.value)
    }
    this.#counts.set(key, { failures: 1, endsMs: nowMs + loginLimits.windowMs })
  }
}
