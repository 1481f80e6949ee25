/**
 * Edits of a trace query as text (DESIGN §6): what the UI adds, never what it means. The meaning stays with the
 * parser in contracts; here is only enough of the grammar to add a term and to see the term at the caret.
 */
import { rangeTerms, type TimeRange } from '../time/time-range.ts'

/** `key:value`, quoted where the value would not stay one word. */
export function term(key: string, value: string): string {
  return `${key}:${/[\s()"]/.test(value) || value === '' ? `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : value}`
}

export function withTerm(query: string, added: string): string {
  const base = query.trim()
  if (base === '') return added
  if (hasTerm(base, added)) return base
  return `${grouped(base)} ${added}`
}

export function withExclusion(query: string, excluded: string): string {
  return withTerm(query, `-${excluded}`)
}

function hasTerm(query: string, sought: string): boolean {
  return !hasAlternatives(query) && ` ${query} `.includes(` ${sought} `)
}

/** The query that is sent: the range of the top line holds unless the query names a time itself. */
export function queryWithin(query: string, range: TimeRange): string {
  const terms = rangeTerms(range)
  if (namesTime(query)) return query.trim()
  return query.trim() === '' ? terms : `${grouped(query.trim())} ${terms}`
}

export function namesTime(query: string): boolean {
  return /(^|[\s(-])(after|before):/i.test(withoutQuoted(query))
}

function grouped(query: string): string {
  return hasAlternatives(query) ? `(${query})` : query
}

function hasAlternatives(query: string): boolean {
  return /(^|[\s)])OR([\s(]|$)/.test(withoutQuoted(query))
}

/** Quoted text becomes as many blanks, so that positions stay. */
function withoutQuoted(query: string): string {
  return query.replace(/"(?:[^"\\]|\\.)*"?/g, (quoted) => '_'.repeat(quoted.length))
}

export type TermAtCaret = {
  /** Half-open, in UTF-16 units: what a completion replaces. */
  from: number
  upto: number
  /** Before the colon, without a minus; `null` while no colon is typed. */
  key: string | null
  /** What is typed of the key or, after the colon, of the value. */
  typed: string
}

/** The word that the caret touches, as far as it stands left of the caret. */
export function termAtCaret(query: string, caret: number): TermAtCaret {
  const blanked = withoutQuoted(query)
  let start = caret
  while (start > 0 && !/[\s(]/.test(blanked[start - 1]!)) start -= 1
  let end = caret
  while (end < query.length && !/[\s)]/.test(blanked[end]!)) end += 1
  if (query[start] === '-') start += 1
  const colon = query.slice(start, caret).indexOf(':')
  if (colon < 0) return { from: start, upto: end, key: null, typed: query.slice(start, caret) }
  const valueStart = start + colon + 1
  return { from: valueStart, upto: end, key: query.slice(start, start + colon), typed: query.slice(valueStart, caret) }
}
