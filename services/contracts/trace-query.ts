/**
 * The trace query language (DESIGN §6): one parser for API, command line and browser.
 *
 * Owns    the grammar: terms joined by AND, `OR`, `-term`, `"quoted"`, parentheses; and the tree it gives.
 * Leaves  the values of each key to trace-values.ts, points in time to trace-time.ts, the meaning in SQL to the api.
 * Limits  `traceLimits`; a longer or deeper query is a fault like any other.
 * Fails   never throws: mistakes come back with their place in the text (UTF-16 units, half-open) and, where there
 *         is one, the text to put there instead.
 */
import type { TracePoint } from './trace-time.ts'
import { parseValue } from './trace-values.ts'
import { nearestWord, traceKeyNames, traceKeys, type TraceKey } from './trace-keys.ts'

export const traceLimits = { textLength: 4_000, terms: 100, depth: 30 } as const

/** Text to look for. Unquoted, `*` stands for any run of characters; quoted, it is a star. */
export type TextPattern = { text: string; isQuoted: boolean }

export type TraceTerm =
  /** A free word: addresses, subject and ids. */
  | { kind: 'word'; pattern: TextPattern }
  | { kind: 'pattern'; key: 'from' | 'to' | 'subject' | 'domain' | 'helo' | 'hop' | 'msgid'; pattern: TextPattern }
  /** Lower-case UUID. */
  | { kind: 'id'; key: 'id' | 'queue'; id: string }
  /** An address, or a network in CIDR form. */
  | { kind: 'ip'; network: string }
  /** Any of these words. Countries are upper case; rules may hold `*`. */
  | { kind: 'words'; key: 'verdict' | 'stage' | 'reason' | 'has' | 'client' | 'country' | 'rule'; words: string[] }
  /** Both ends inclusive, `null` is open. Weights in thousandths, sizes in octets. */
  | { kind: 'range'; key: 'weight' | 'size'; least: number | null; most: number | null }
  | { kind: 'time'; key: 'after' | 'before'; point: TracePoint }

export type TraceQuery =
  | { kind: 'everything' }
  /** At least two parts, none of them of the same kind. */
  | { kind: 'and'; parts: TraceQuery[] }
  | { kind: 'or'; parts: TraceQuery[] }
  | { kind: 'not'; part: TraceQuery }
  | TraceTerm

export type TraceFault = { from: number; upto: number; message: string; suggestion?: string }
export type ParsedTraceQuery = { query: TraceQuery } | { faults: TraceFault[] }

export function parseTraceQuery(text: string): ParsedTraceQuery {
  if (text.length > traceLimits.textLength) {
    const message = `A query has at most ${traceLimits.textLength} characters`
    return { faults: [{ from: traceLimits.textLength, upto: text.length, message }] }
  }
  const reader: Reader = { text, at: 0, faults: [], termCount: 0 }
  const query = readAlternatives(reader, 0)
  // Only a closing parenthesis stops the reader early.
  while (reader.at < text.length && reader.faults.length < 20) {
    fault(reader, reader.at, reader.at + 1, 'This parenthesis was never opened')
    reader.at += 1
    readAlternatives(reader, 0)
  }
  if (reader.faults.length > 0) return { faults: reader.faults.sort((one, other) => one.from - other.from) }
  return { query: query ?? { kind: 'everything' } }
}

type Reader = { text: string; at: number; faults: TraceFault[]; termCount: number }

function fault(reader: Reader, from: number, upto: number, message: string, suggestion?: string): void {
  reader.faults.push({ from, upto, message, ...(suggestion === undefined ? {} : { suggestion }) })
}

/** Terms joined by `OR`; `null` where there is no term at all. */
function readAlternatives(reader: Reader, depth: number): TraceQuery | null {
  const alternatives: TraceQuery[] = []
  let loneOr: { from: number; upto: number } | null = null
  for (;;) {
    const part = readConjunction(reader, depth)
    if (part !== null) alternatives.push(part)
    if (part === null && loneOr !== null) fault(reader, loneOr.from, loneOr.upto, 'OR needs a term on both sides')
    const from = skipSpace(reader)
    if (!takeOperator(reader, 'OR')) break
    if (part === null && loneOr === null) fault(reader, from, reader.at, 'OR needs a term on both sides')
    loneOr = { from, upto: reader.at }
  }
  return joined('or', alternatives)
}

function readConjunction(reader: Reader, depth: number): TraceQuery | null {
  const parts: TraceQuery[] = []
  for (;;) {
    const from = skipSpace(reader)
    if (from >= reader.text.length || reader.text[from] === ')' || operatorAt(reader, 'OR')) break
    if (takeOperator(reader, 'AND')) {
      const next = skipSpace(reader)
      const isAlone =
        parts.length === 0 || next >= reader.text.length || reader.text[next] === ')' || operatorAt(reader, 'OR')
      if (isAlone) fault(reader, from, from + 3, 'AND needs a term on both sides; it may be left out')
      continue
    }
    const part = readOne(reader, depth)
    if (part !== null) parts.push(part)
  }
  return joined('and', parts)
}

function joined(kind: 'and' | 'or', parts: TraceQuery[]): TraceQuery | null {
  const flat = parts.flatMap((part) => (part.kind === kind ? part.parts : [part]))
  if (flat.length === 0) return null
  return flat.length === 1 ? flat[0]! : { kind, parts: flat }
}

/** A term, a negated one, or a group; `null` after a fault. Always moves on. */
function readOne(reader: Reader, depth: number): TraceQuery | null {
  const { text } = reader
  const from = reader.at
  if (depth > traceLimits.depth) {
    fault(reader, from, text.length, `At most ${traceLimits.depth} parentheses and minus signs inside each other`)
    reader.at = text.length
    return null
  }
  if (text[from] === '-') {
    reader.at += 1
    const next = text[reader.at]
    if (
      next === undefined ||
      isSpace(next) ||
      next === ')' ||
      operatorAt(reader, 'OR') ||
      operatorAt(reader, 'AND')
    ) {
      fault(reader, from, from + 1, 'A minus needs the term that it excludes right after it')
      return null
    }
    const part = readOne(reader, depth + 1)
    return part === null ? null : { kind: 'not', part }
  }
  if (text[from] === '(') {
    reader.at += 1
    const before = reader.faults.length
    const inner = readAlternatives(reader, depth + 1)
    const isClosed = text[reader.at] === ')'
    if (isClosed) reader.at += 1
    else if (reader.faults.length === before) fault(reader, from, from + 1, 'This parenthesis is not closed')
    if (inner === null && isClosed && reader.faults.length === before) {
      fault(reader, from, reader.at, 'There is nothing between these parentheses')
    }
    return inner
  }
  return readTerm(reader)
}

const keyAt = /([A-Za-z][A-Za-z_-]*):/y

function readTerm(reader: Reader): TraceQuery | null {
  const { text } = reader
  const from = reader.at
  reader.termCount += 1
  if (reader.termCount > traceLimits.terms) {
    fault(reader, from, text.length, `A query has at most ${traceLimits.terms} terms`)
    reader.at = text.length
    return null
  }
  keyAt.lastIndex = from
  const match = keyAt.exec(text)
  if (match === null) {
    const pattern = readPattern(reader)
    return pattern === null ? null : parseWord(reader, pattern, from)
  }
  const written = match[1]!
  reader.at = from + match[0].length
  const valueFrom = reader.at
  const pattern = readPattern(reader)
  const key = written.toLowerCase()
  if (!isTraceKey(key)) {
    const whole = text.slice(from, reader.at).replaceAll('"', '')
    const nearest = nearestWord(key, traceKeyNames)
    const meant = nearest === null ? '' : ` Did you mean ${nearest}:?`
    fault(
      reader,
      from,
      from + written.length,
      `There is no key ${written}.${meant} To search for the text, quote it: "${whole}"`,
      nearest ?? undefined,
    )
    return null
  }
  if (pattern === null) return null
  if (pattern.text === '' && !pattern.isQuoted) {
    const isGroup = text[valueFrom] === '('
    const remedy = isGroup
      ? `parentheses stand round whole terms, like (${key}:a OR ${key}:b)`
      : `like ${traceKeys[key].example}`
    fault(reader, from, valueFrom, `${key}: needs a value right after it, ${remedy}`)
    return null
  }
  const parsed = parseValue(key, pattern)
  if ('faults' in parsed) {
    // A quoted value has its quote before it and perhaps escapes inside: there the whole value is the place.
    for (const one of parsed.faults) {
      if (pattern.isQuoted) fault(reader, valueFrom, reader.at, one.message, one.suggestion)
      else fault(reader, valueFrom + one.from, valueFrom + one.upto, one.message, one.suggestion)
    }
    return null
  }
  return parsed.term
}

function parseWord(reader: Reader, pattern: TextPattern, from: number): TraceQuery | null {
  if (/[^*\s]/.test(pattern.text)) return { kind: 'word', pattern }
  fault(reader, from, reader.at, 'There is nothing to look for here')
  return null
}

/** A quoted text or everything up to the next space or parenthesis; `null` after a fault. */
function readPattern(reader: Reader): TextPattern | null {
  const { text } = reader
  const from = reader.at
  if (text[from] !== '"') {
    while (
      reader.at < text.length &&
      !isSpace(text[reader.at]!) &&
      text[reader.at] !== '(' &&
      text[reader.at] !== ')'
    )
      reader.at += 1
    return { text: text.slice(from, reader.at), isQuoted: false }
  }
  let value = ''
  for (reader.at += 1; reader.at < text.length; reader.at += 1) {
    const character = text[reader.at]!
    if (character === '"') {
      reader.at += 1
      const next = text[reader.at]
      if (next === undefined || isSpace(next) || next === ')' || next === '(') return { text: value, isQuoted: true }
      fault(reader, reader.at, reader.at + 1, 'A space is missing after the closing quote')
      return null
    }
    const escaped = character === '\\' ? text[reader.at + 1] : undefined
    if (escaped === '"' || escaped === '\\') reader.at += 1
    value += escaped === '"' || escaped === '\\' ? escaped : character
  }
  fault(reader, from, text.length, 'This quote is not closed', `${text.slice(from)}"`)
  return null
}

function skipSpace(reader: Reader): number {
  while (reader.at < reader.text.length && isSpace(reader.text[reader.at]!)) reader.at += 1
  return reader.at
}

function isSpace(character: string): boolean {
  return /\s/.test(character)
}

/** `OR` and `AND` are operators only in capitals and as whole words. */
function operatorAt(reader: Reader, word: 'OR' | 'AND'): boolean {
  const after = reader.text[reader.at + word.length]
  return (
    reader.text.startsWith(word, reader.at) &&
    (after === undefined || isSpace(after) || after === '(' || after === ')')
  )
}

function takeOperator(reader: Reader, word: 'OR' | 'AND'): boolean {
  if (!operatorAt(reader, word)) return false
  reader.at += word.length
  return true
}

function isTraceKey(text: string): text is TraceKey {
  return Object.hasOwn(traceKeys, text)
}
