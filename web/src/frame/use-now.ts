/** The present time, renewed every so often while somebody looks: for "3 minutes ago". */
import { onBeforeUnmount, shallowRef, type ShallowRef } from 'vue'

export function useNow(everyMs = 5_000): Readonly<ShallowRef<number>> {
  const now = shallowRef(Date.now())
  const timer = setInterval(() => {
    if (!document.hidden) now.value = Date.now()
  }, everyMs)
  onBeforeUnmount(() => clearInterval(timer))
  return now
}
