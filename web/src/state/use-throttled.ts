/** Runs at most once in so many milliseconds, the last time after the last call; nothing runs once the page is left. */
import { onScopeDispose } from 'vue'

export function useThrottled(run: () => void, everyMs: number): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null
  onScopeDispose(() => {
    if (timer !== null) clearTimeout(timer)
  })
  return () => {
    timer ??= setTimeout(() => {
      timer = null
      run()
    }, everyMs)
  }
}
