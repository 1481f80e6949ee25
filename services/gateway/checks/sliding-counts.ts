/**
 * How much was counted of each key in the last while.
 *
 * Limits  `maxEntries` keys, the longest unused are forgotten; the window moves in tenths of its length.
 */
import { BoundedCache } from './bounded-cache.ts'

const slotCount = 10

/** `newest`: number of the slot that `newest % slotCount` holds. */
type Entry = { newest: number; amounts: number[] }

export class SlidingCounts {
  readonly #slotMs: number
  readonly #entries: BoundedCache<Entry>

  constructor(windowMs: number, maxEntries: number) {
    this.#slotMs = windowMs / slotCount
    this.#entries = new BoundedCache(maxEntries)
  }

  get size(): number {
    return this.#entries.size
  }

  total(key: string, nowMs: number): number {
    const entry = this.#entries.get(key)
    if (entry === undefined) return 0
    this.#advance(entry, nowMs)
    return entry.amounts.reduce((sum, amount) => sum + amount, 0)
  }

  add(key: string, amount: number, nowMs: number): void {
    let entry = this.#entries.get(key)
    if (entry === undefined)
      this.#entries.set(key, (entry = { newest: this.#slotAt(nowMs), amounts: Array(slotCount).fill(0) as number[] }))
    this.#advance(entry, nowMs)
    entry.amounts[entry.newest % slotCount]! += amount
  }

  /** Empties the slots that the time since the last one went over. A clock that was set back empties none. */
  #advance(entry: Entry, nowMs: number): void {
    const slot = this.#slotAt(nowMs)
    for (let next = Math.max(entry.newest + 1, slot - slotCount + 1); next <= slot; next += 1)
      entry.amounts[next % slotCount] = 0
    entry.newest = Math.max(entry.newest, slot)
  }

  #slotAt(nowMs: number): number {
    return Math.floor(nowMs / this.#slotMs)
  }
}
