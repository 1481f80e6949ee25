/**
 * Faults of a query while it is typed, by the parser that the API uses.
 *
 * Why  the parser is loaded at the first key stroke: reading a page needs none of it.
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

  watch(query, (text) => void check(text))
  return { faults, check }
}
