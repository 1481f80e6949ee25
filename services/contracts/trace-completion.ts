/** What may be typed next in a trace query: keys first, then the words of a closed list. */
import { traceHas, traceKeyNames, traceKeys, traceWordLists, type TraceKey } from './trace-keys.ts'

export type TraceCompletion = {
  /** What replaces `[from, upto)`. */
  text: string
  help: string
}

export type TraceCompletions = {
  from: number
  upto: number
  /** The key whose value is being typed, also where its values are not known here (addresses, rules, clients). */
  key: TraceKey | null
  candidates: TraceCompletion[]
}

const timeWords: TraceCompletion[] = [
  { text: '-1h', help: 'one hour ago' },
  { text: '-24h', help: 'one day ago' },
  { text: '-7d', help: 'seven days ago' },
  { text: '-30d', help: 'thirty days ago' },
  { text: 'today', help: 'when today began' },
  { text: 'yesterday', help: 'when yesterday began' },
]
const sizeWords: TraceCompletion[] = [
  { text: '>1M', help: 'more than 1,000,000 octets' },
  { text: '>10M', help: 'more than 10,000,000 octets' },
  { text: '..10k', help: 'at most 10,000 octets' },
]
const weightWords: TraceCompletion[] = [
  { text: '>0', help: 'above zero' },
  { text: '>=5', help: 'five or more' },
  { text: '3..8', help: 'from three to eight' },
]

/** Completions of the word that ends at the caret; `from` and `upto` span the part that a candidate replaces. */
export function completionsAt(text: string, caret: number): TraceCompletions {
  const upto = Math.max(0, Math.min(Number.isFinite(caret) ? Math.trunc(caret) : text.length, text.length))
  const start = wordStart(text, upto)
  if (start === null) return { from: upto, upto, key: null, candidates: [] }
  const word = text.slice(start, upto)
  const colon = word.indexOf(':')
  if (colon < 0) return { from: start, upto, key: null, candidates: keysFor(word, text, start) }
  const key = traceKeyNames.find((name) => name === word.slice(0, colon).toLowerCase())
  if (key === undefined) return { from: start, upto, key: null, candidates: [] }
  const hasList = Object.hasOwn(traceWordLists, key) || key === 'client' || key === 'country' || key === 'rule'
  const from = start + (hasList ? Math.max(colon, word.lastIndexOf(',')) : colon) + 1
  const prefix = text.slice(from, upto).toLowerCase()
  return { from, upto, key, candidates: valuesOf(key).filter((value) => value.text.toLowerCase().startsWith(prefix)) }
}

/** Where the word before the caret begins, after minus signs and parentheses; `null` inside quotes. */
function wordStart(text: string, caret: number): number | null {
  let start = 0
  let isQuoted = false
  for (let index = 0; index < caret; index += 1) {
    const character = text[index]!
    if (isQuoted) {
      if (character === '\\') index += 1
      else if (character === '"') isQuoted = false
      continue
    }
    if (character === '"' && (index === start || text[index - 1] === ':')) isQuoted = true
    else if (/[\s()]/.test(character) || (character === '-' && index === start)) start = index + 1
  }
  return isQuoted ? null : Math.min(start, caret)
}

function keysFor(prefix: string, text: string, start: number): TraceCompletion[] {
  const lower = prefix.toLowerCase()
  const keys = traceKeyNames
    .filter((key) => key.startsWith(lower))
    .map((key) => ({ text: `${key}:`, help: traceKeys[key].help }))
  const mayJoin = text.slice(0, start).trim() !== '' && 'or'.startsWith(lower)
  return mayJoin ? [...keys, { text: 'OR', help: 'either what stands before or what follows' }] : keys
}

function valuesOf(key: TraceKey): TraceCompletion[] {
  if (key === 'after' || key === 'before') return timeWords
  if (key === 'size') return sizeWords
  if (key === 'weight') return weightWords
  if (key === 'client') return [{ text: 'house', help: 'nobody pays' }]
  if (key === 'has') return Object.entries(traceHas).map(([text, help]) => ({ text, help }))
  if (key === 'verdict' || key === 'stage' || key === 'reason')
    return traceWordLists[key].map((text) => ({ text, help: traceKeys[key].help }))
  return []
}
