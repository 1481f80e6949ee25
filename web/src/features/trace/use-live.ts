/**
 * Messages as they are ingested, for the query in the box.
 *
 * Owns    the stream, its place (so that a pause or a broken line loses nothing), the newest rows, what was skipped.
 * Leaves  where the rows stand in the list to the page.
 * Limits  `mostRows` rows are kept; older ones are in the list itself after a refresh.
 */
import { computed, onScopeDispose, shallowRef, watch, type Ref } from 'vue'
import type { LiveRow, LiveSkipped } from '../../../../services/contracts/api.ts'
import { readEvents } from '../../api/read-events.ts'
import { ApiFailure, pathWith } from '../../api/request-json.ts'

export const mostRows = 500
const firstWaitMs = 1_000
const longestWaitMs = 15_000

export type LiveState = 'off' | 'connecting' | 'live' | 'paused' | 'failed'

export type LiveOptions = {
  /** So many rows now stand above those that were there. */
  onAdded(count: number): void
  /** What the list holds may be old: read it anew. */
  onBegun(): void
}

export function useLive(query: Readonly<Ref<string>>, isWanted: Readonly<Ref<boolean>>, options: LiveOptions) {
  const rows = shallowRef<readonly LiveRow[]>([])
  const state = shallowRef<LiveState>('off')
  const skippedCount = shallowRef(0)
  const failure = shallowRef<ApiFailure | null>(null)
  let place: string | null = null
  let running: AbortController | null = null

  function stop(next: LiveState): void {
    running?.abort()
    running = null
    state.value = next
  }

  function start(): void {
    stop('connecting')
    failure.value = null
    const controller = new AbortController()
    running = controller
    void follow(controller.signal)
  }

  async function follow(signal: AbortSignal): Promise<void> {
    let waitMs = firstWaitMs
    while (!signal.aborted) {
      try {
        for await (const event of readEvents(pathWith('/api/v1/live', { q: query.value }), { lastEventId: place, signal })) {
          if (signal.aborted) return
          if (event.id !== null) place = event.id
          if (event.name === 'ended') throw new ApiFailure('not-logged-in', 'The login has ended', { status: 401 })
          if (event.name !== '') waitMs = firstWaitMs
          take(event.name, event.data)
        }
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof ApiFailure)) throw error
        if (isFinal(error)) {
          failure.value = error
          return stop('failed')
        }
      }
      if (signal.aborted) return
      state.value = 'connecting'
      await new Promise((resolve) => setTimeout(resolve, waitMs))
      waitMs = Math.min(longestWaitMs, waitMs * 2)
    }
  }

  function take(name: string, data: string): void {
    switch (name) {
      case 'ready':
        state.value = 'live'
        if (!(JSON.parse(data) as { isResumed: boolean }).isResumed) options.onBegun()
        break
      case 'too-old':
        state.value = 'live'
        options.onBegun()
        break
      case 'skipped':
        skippedCount.value += Number((JSON.parse(data) as LiveSkipped).count)
        break
      case 'row': {
        const row = JSON.parse(data) as LiveRow
        if (rows.value.some((one) => one.transactionId === row.transactionId)) return
        rows.value = [row, ...rows.value].slice(0, mostRows)
        options.onAdded(1)
      }
    }
  }

  /** As if it had not begun; what is running goes on. */
  function forget(): void {
    rows.value = []
    skippedCount.value = 0
    if (state.value !== 'paused') return
    place = null
    state.value = 'off'
  }

  watch(
    [query, isWanted],
    ([asked, wanted], [askedBefore]) => {
      if (asked !== askedBefore) {
        forget()
        place = null
      }
      if (wanted) start()
      else if (state.value !== 'off') stop(place === null ? 'off' : 'paused')
    },
    { immediate: true },
  )
  onScopeDispose(() => stop('off'))

  return { rows, state: computed(() => state.value), skippedCount, failure, forget }
}

/** Nothing changes by asking again: all but a server that is away or has no place just now. */
function isFinal(failure: ApiFailure): boolean {
  return failure.status !== null && failure.status < 500 && failure.status !== 429
}
