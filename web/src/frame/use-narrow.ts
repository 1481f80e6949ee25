/** Whether the window is as narrow as a telephone: below 720 px rows take two lines and the drawer takes all. */
import { onBeforeUnmount, shallowRef, type ShallowRef } from 'vue'

export function useNarrow(): Readonly<ShallowRef<boolean>> {
  const media = window.matchMedia('(max-width: 719px)')
  const isNarrow = shallowRef(media.matches)
  const follow = () => {
    isNarrow.value = media.matches
  }
  media.addEventListener('change', follow)
  onBeforeUnmount(() => media.removeEventListener('change', follow))
  return isNarrow
}
