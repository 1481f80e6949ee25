/** What is due later, earliest first: a binary heap, so that a million waiting deliveries cost nothing to wait. */
export class Agenda<Item> {
  readonly #entries: { dueAtMs: number; item: Item }[] = []

  get size(): number {
    return this.#entries.length
  }

  get nextDueAtMs(): number | null {
    return this.#entries[0]?.dueAtMs ?? null
  }

  add(dueAtMs: number, item: Item): void {
    const entries = this.#entries
    let index = entries.push({ dueAtMs, item }) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (entries[parent]!.dueAtMs <= entries[index]!.dueAtMs) return
      this.#swap(index, parent)
      index = parent
    }
  }

  takeDue(nowMs: number): Item[] {
    const due: Item[] = []
    while (this.#entries.length > 0 && this.#entries[0]!.dueAtMs <= nowMs) due.push(this.#takeFirst())
    return due
  }

  /** Takes out every item for which it is so, whatever its time. */
  takeWhere(isWanted: (item: Item) => boolean): Item[] {
    const taken = this.#entries.filter((entry) => isWanted(entry.item))
    if (taken.length === 0) return []
    const kept = this.#entries.filter((entry) => !isWanted(entry.item))
    this.#entries.length = 0
    for (const entry of kept) this.add(entry.dueAtMs, entry.item)
    return taken.map((entry) => entry.item)
  }

  *entries(): Iterable<{ dueAtMs: number; item: Item }> {
    yield* this.#entries
  }

  #takeFirst(): Item {
    const entries = this.#entries
    const first = entries[0]!
    const last = entries.pop()!
    if (entries.length === 0) return first.item
    entries[0] = last
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      if (left >= entries.length) return first.item
      const right = left + 1
      const child = right < entries.length && entries[right]!.dueAtMs < entries[left]!.dueAtMs ? right : left
      if (entries[index]!.dueAtMs <= entries[child]!.dueAtMs) return first.item
      this.#swap(index, child)
      index = child
    }
  }

  #swap(a: number, b: number): void {
    const entry = this.#entries[a]!
    this.#entries[a] = this.#entries[b]!
    this.#entries[b] = entry
  }
}
