/**
 * Keys that work wherever the focus is, except where text is typed. `g t` is two keys after each other.
 *
 * Limits  a chord must be finished within 1.5 s.
 */
import { onBeforeUnmount, onMounted } from 'vue'

export type Hotkeys = Record<string, (event: KeyboardEvent) => void>

const chordMs = 1500

export function useHotkeys(hotkeys: Hotkeys): void {
  let leader: { key: string; at: number } | null = null

  function onKeydown(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return
    const chord = leader !== null && event.timeStamp - leader.at < chordMs ? `${leader.key} ${event.key}` : null
    leader = event.key === 'g' ? { key: event.key, at: event.timeStamp } : null
    const act = (chord === null ? undefined : hotkeys[chord]) ?? hotkeys[event.key]
    if (act === undefined) return
    leader = null
    act(event)
  }

  onMounted(() => document.addEventListener('keydown', onKeydown))
  onBeforeUnmount(() => document.removeEventListener('keydown', onKeydown))
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  return target.isContentEditable || target.matches('input, textarea, select') || target.closest('dialog:modal') !== null
}
