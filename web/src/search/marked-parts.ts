/** A query cut into what is right and what is faulty, for the underline; and which faults it is time to show. */
import type { TraceFault } from '../../../services/contracts/trace-query.ts'

export type MarkedPart = { text: string; isFault: boolean }

/** An empty place (something is missing there) is marked on the character before it. */
export function markedParts(query: string, faults: readonly TraceFault[]): MarkedPart[] {
  const parts: MarkedPart[] = []
  let done = 0
  for (const fault of faults) {
    const upto = Math.min(query.length, Math.max(fault.upto, fault.from + 1))
    const from = Math.max(done, fault.from >= query.length ? query.length - 1 : fault.from)
    if (from >= upto) continue
    if (from > done) parts.push({ text: query.slice(done, from), isFault: false })
    parts.push({ text: query.slice(from, upto), isFault: true })
    done = upto
  }
  if (done < query.length) parts.push({ text: query.slice(done), isFault: false })
  return parts
}

/** What is being typed is not wrong yet: faults at the caret wait until it moves on. */
export function visibleFaults(faults: readonly TraceFault[], caret: number): TraceFault[] {
  return faults.filter((fault) => caret < fault.from || caret > fault.upto)
}
