/**
 * What the search box offers for the word at the caret: keys, then the values of keys with a closed list.
 *
 * Leaves  real values with counts to the API, once it offers them: they come in through `known`.
 */
import { traceKeyNames, traceWordLists, type TraceKey } from '../../../services/contracts/trace-keys.ts'
import { termAtCaret } from './query-terms.ts'

export type Suggestion = {
  /** What stands in the list. */
  text: string
  /** Which key's help explains it; `null`: it explains itself. */
  helpKey: TraceKey | null
  /** The query after taking it, and where the caret goes. */
  query: string
  caret: number
}

/** Values seen elsewhere on the page, by key: rules, clients. */
export type KnownValues = Partial<Record<TraceKey, readonly string[]>>

const times = ['-1h', '-24h', '-7d', '-30d', 'today', 'yesterday']
const fixedValues: Partial<Record<TraceKey, readonly string[]>> = {
  ...traceWordLists,
  after: times,
  before: times,
  size: ['>1M', '>10M', '<10k'],
  weight: ['>0', '>5', '3..8'],
}

export function suggestionsFor(query: string, caret: number, known: KnownValues = {}): Suggestion[] {
  const found = termAtCaret(query, caret)
  const replaced = (text: string, isFinished: boolean) => {
    const rest = query.slice(found.upto)
    const gap = isFinished && !/^[\s)]/.test(rest) ? ' ' : ''
    return { query: query.slice(0, found.from) + text + gap + rest, caret: found.from + text.length + gap.length }
  }
  if (found.key === null) {
    if (found.typed.startsWith('"')) return []
    return nearestFirst(traceKeyNames, found.typed).map((key) => ({
      text: `${key}:`,
      helpKey: key as TraceKey,
      ...replaced(`${key}:`, false),
    }))
  }
  const key = found.key.toLowerCase() as TraceKey
  const values = [...(fixedValues[key] ?? []), ...(known[key] ?? [])]
  // Of several values joined by commas the last one is being typed.
  const comma = found.typed.lastIndexOf(',') + 1
  const before = found.typed.slice(0, comma)
  return nearestFirst(values, found.typed.slice(comma)).map((value) => ({
    text: value,
    helpKey: null,
    ...replaced(before + value, true),
  }))
}

/** Those that begin with what is typed, then those that hold it; what is typed in full needs no offer. */
function nearestFirst(words: readonly string[], typed: string): string[] {
  const sought = typed.toLowerCase()
  const begin = words.filter((word) => word.startsWith(sought) && word !== sought)
  const hold = sought.length < 2 ? [] : words.filter((word) => !word.startsWith(sought) && word.includes(sought))
  return [...begin, ...hold]
}
