/**
 * Copies text and says so for two seconds.
 *
 * Why  over plain HTTP to another host the browser offers no clipboard: then the text is selected in a field of
 *      its own and copied the old way.
 */
import { onScopeDispose, shallowRef } from 'vue'

const shownMs = 2000

export function useCopied() {
  const copied = shallowRef(false)
  let timer: ReturnType<typeof setTimeout> | undefined

  async function copy(text: string): Promise<void> {
    if (window.isSecureContext) await navigator.clipboard.writeText(text)
    else copyFromField(text)
    copied.value = true
    clearTimeout(timer)
    timer = setTimeout(() => (copied.value = false), shownMs)
  }

  onScopeDispose(() => clearTimeout(timer))
  return { copied, copy }
}

function copyFromField(text: string): void {
  const field = document.createElement('textarea')
  field.value = text
  field.className = 'only-read-aloud'
  document.body.append(field)
  field.select()
  document.execCommand('copy')
  field.remove()
}
