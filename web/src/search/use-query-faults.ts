/**
 * Faults of a query while it is typed, by the parser that the API uses.
 *
 * Why  the parser is loaded when there is a query to check: a page without one needs none of it.
 */
import { shallowRef, watch, type Ref } from 'vue'
import type { TraceFault } from '../../../services/contracts/trace-query.ts'

export function useQueryFaults(query: Ref<string>) {
  const faults = shallowRef<readonly TraceFault[]>([])

  async function check(text: string): Promise<readonly TraceFault[]> {
    if (text.trim() === '') return (faults.value = [])
    const { parseTraceQuery } = await import('../../../services/contracts/trace-query.ts')
    const parsed = parseTraceQuery(text)
    const found = 'faults' in parsed ? parsed.faults : []
    if (text === query.value) faults.value = found
    return found
  }

  watch(query, (text) => void check(text), { immediate: true })
  return { faults, check }
}
