/** True once a condition has held for a while: a shimmer that comes at once is a flicker. */
import { onScopeDispose, shallowRef, toValue, watch, type MaybeRefOrGetter, type ShallowRef } from 'vue'

export function useDelayed(condition: MaybeRefOrGetter<boolean>, delayMs = 200): Readonly<ShallowRef<boolean>> {
  const isDue = shallowRef(false)
  let timer: ReturnType<typeof setTimeout> | undefined
  watch(
    () => toValue(condition),
    (holds) => {
      clearTimeout(timer)
      isDue.value = false
      if (holds) timer = setTimeout(() => (isDue.value = true), delayMs)
    },
    { immediate: true },
  )
  onScopeDispose(() => clearTimeout(timer))
  return isDue
}
