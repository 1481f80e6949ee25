/** A trace query as text again: what parses back into the same tree. For links, chips and saved searches. */
import { tracePointText } from './trace-time.ts'
import type { TextPattern, TraceQuery, TraceTerm } from './trace-query.ts'

export function traceQueryText(query: TraceQuery): string {
  switch (query.kind) {
    case 'everything':
      return ''
    case 'and':
      return query.parts
        .map((part) => (part.kind === 'or' ? `(${traceQueryText(part)})` : traceQueryText(part)))
        .join(' ')
    case 'or':
      return query.parts.map(traceQueryText).join(' OR ')
    case 'not': {
      const isGroup = query.part.kind === 'and' || query.part.kind === 'or'
      return isGroup ? `-(${traceQueryText(query.part)})` : `-${traceQueryText(query.part)}`
    }
    default:
      return termText(query)
  }
}

function termText(term: TraceTerm): string {
  switch (term.kind) {
    case 'word':
      return patternText(term.pattern)
    case 'pattern':
      return `${term.key}:${patternText(term.pattern)}`
    case 'id':
      return `${term.key}:${term.id}`
    case 'ip':
      return `ip:${term.network}`
    case 'words':
      return `${term.key}:${term.words.join(',')}`
    case 'range':
      return `${term.key}:${rangeText(term)}`
    case 'time': {
      const text = tracePointText(term.point)
      return `${term.key}:${text.includes(' ') ? quoted(text) : text}`
    }
  }
}

/** `key:value` with the value quoted where it must be: for links that open what a figure counts. */
export function tracePatternText(key: Extract<TraceTerm, { kind: 'pattern' }>['key'], text: string): string {
  return `${key}:${text !== '' && !/[\s()"*]/.test(text) && !text.startsWith('@') ? text : quoted(text)}`
}

function patternText(pattern: TextPattern): string {
  return pattern.isQuoted ? quoted(pattern.text) : pattern.text
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

function rangeText(term: Extract<TraceTerm, { kind: 'range' }>): string {
  const numberText = (value: number) => (term.key === 'weight' ? milliText(value) : String(value))
  const { least, most } = term
  if (least !== null && least === most) return numberText(least)
  return `${least === null ? '' : numberText(least)}..${most === null ? '' : numberText(most)}`
}

function milliText(milli: number): string {
  const digits = String(Math.abs(milli)).padStart(4, '0')
  const decimals = digits.slice(-3).replace(/0+$/, '')
  return `${milli < 0 ? '-' : ''}${digits.slice(0, -3)}${decimals === '' ? '' : `.${decimals}`}`
}
