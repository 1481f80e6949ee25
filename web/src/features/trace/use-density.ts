/** Height of rows: chosen once, remembered in this browser. */
import { computed, shallowRef, watch, type Ref } from 'vue'

const storageKey = 'tollgate.density'
const heights = { normal: 32, compact: 24, narrow: 56 } as const

export function useDensity(isNarrow: Readonly<Ref<boolean>>) {
  const density = shallowRef<'normal' | 'compact'>(localStorage.getItem(storageKey) === 'compact' ? 'compact' : 'normal')
  const rowHeight = computed(() => (isNarrow.value ? heights.narrow : heights[density.value]))
  watch(density, (chosen) => localStorage.setItem(storageKey, chosen))
  return { density, rowHeight }
}
