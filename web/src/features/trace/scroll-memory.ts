/**
 * Where a list stood at each entry of the browser's history, so that Back returns to it.
 *
 * Limits  the last 50 entries; lost with a reload, as the rows are.
 */
export type ScrollPlace = { top: number; selectedId: string | null }

const limit = 50

export function createScrollMemory() {
  const places = new Map<string, ScrollPlace>()
  return {
    keep(key: string, place: ScrollPlace): void {
      places.delete(key)
      places.set(key, place)
      const [oldest] = places.keys()
      if (places.size > limit && oldest !== undefined) places.delete(oldest)
    },
    placeAt: (key: string): ScrollPlace | null => places.get(key) ?? null,
  }
}

/** The router numbers the entries of the history; the query makes sure that it is the same list. */
export function historyKey(query: string): string {
  const state = window.history.state as { position?: number } | null
  return `${state?.position ?? 0} ${query}`
}
