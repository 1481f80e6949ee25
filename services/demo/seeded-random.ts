/**
 * Chance that repeats: the same seed gives the same demo, message for message (xoshiro128**).
 */
export class SeededRandom {
  readonly #state: Uint32Array

  constructor(seed: string) {
    // FNV-1a, once per word of the state, each from another basis.
    this.#state = Uint32Array.from([0, 1, 2, 3], (salt) => {
      let hash = 0x811c9dc5 ^ Math.imul(salt + 1, 0x9e3779b1)
      for (let index = 0; index < seed.length; index += 1) hash = Math.imul(hash ^ seed.charCodeAt(index), 0x01000193)
      return hash >>> 0 || salt + 1
    })
    for (let index = 0; index < 16; index += 1) this.fraction()
  }

  /** From 0, below 1. */
  fraction(): number {
    const state = this.#state
    const product = Math.imul(state[1]!, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0
    const shifted = state[1]! << 9
    state[2]! ^= state[0]!
    state[3]! ^= state[1]!
    state[1]! ^= state[2]!
    state[0]! ^= state[3]!
    state[2]! ^= shifted
    state[3] = (state[3]! << 11) | (state[3]! >>> 21)
    return result / 2 ** 32
  }

  /** A whole number from `from` to `to`, both included. */
  whole(from: number, to: number): number {
    return from + Math.floor(this.fraction() * (to - from + 1))
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<Entry>(entries: readonly Entry[]): Entry {
    const entry = entries[Math.floor(this.fraction() * entries.length)]
    if (entry === undefined) throw new RangeError('nothing to pick from')
    return entry
  }

  /** So many different entries, or all where there are fewer. */
  pickSome<Entry>(entries: readonly Entry[], count: number): Entry[] {
    const rest = [...entries]
    const picked: Entry[] = []
    while (picked.length < count && rest.length > 0) picked.push(...rest.splice(this.whole(0, rest.length - 1), 1))
    return picked
  }

  /** By weight, which need not sum up to anything. */
  weighted<Entry>(entries: readonly (readonly [Entry, number])[]): Entry {
    let rest = this.fraction() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [entry, weight] of entries) {
      rest -= weight
      if (rest < 0) return entry
    }
    return entries[entries.length - 1]![0]
  }

  /** Skewed to the right as sizes are: half lie below `median`, and `sigma` says how far the rest goes. */
  logNormal(median: number, sigma: number): number {
    const normal = Math.sqrt(-2 * Math.log(1 - this.fraction())) * Math.cos(2 * Math.PI * this.fraction())
    return median * Math.exp(sigma * normal)
  }

  octets(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.whole(0, 255))
  }
}
