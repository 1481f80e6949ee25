/** The value of one term of a trace query: what each key takes, and what is said about a value it does not take. */
import { isTransactionId } from './transaction-id.ts'
import { nearestWord, traceWordLists, type TraceKey } from './trace-keys.ts'
import { parseTracePoint } from './trace-time.ts'
import type { TextPattern, TraceTerm } from './trace-query.ts'

/** Places are in the value's own text. */
type ValueFault = { from: number; upto: number; message: string; suggestion?: string }
export type ParsedValue = { term: TraceTerm } | { faults: ValueFault[] }

export function parseValue(key: TraceKey, pattern: TextPattern): ParsedValue {
  switch (key) {
    case 'from':
    case 'to':
    case 'subject':
    case 'helo':
    case 'hop':
    case 'msgid':
      return patternTerm(key, pattern)
    case 'domain':
      return domainTerm(pattern)
    case 'id':
    case 'queue':
      return idTerm(key, pattern.text)
    case 'ip':
      return ipTerm(pattern.text)
    case 'verdict':
    case 'stage':
    case 'reason':
    case 'has':
      return closedWords(key, pattern.text)
    case 'client':
    case 'country':
    case 'rule':
      return openWords(key, pattern.text)
    case 'weight':
      return rangeTerm('weight', pattern.text, weightMilli)
    case 'size':
      return rangeTerm('size', pattern.text, sizeOctets)
    case 'after':
    case 'before': {
      const point = parseTracePoint(pattern.text)
      return 'message' in point
        ? wholeFault(pattern.text, point.message, point.suggestion)
        : { term: { kind: 'time', key, point } }
    }
  }
}

function wholeFault(text: string, message: string, suggestion?: string): ParsedValue {
  return { faults: [{ from: 0, upto: text.length, message, ...(suggestion === undefined ? {} : { suggestion }) }] }
}

type PatternKey = Extract<TraceTerm, { kind: 'pattern' }>['key']

function patternTerm(key: PatternKey, pattern: TextPattern): ParsedValue {
  const isEmpty = pattern.text === '' && key !== 'from'
  if (isEmpty) return wholeFault(pattern.text, `${key}: needs something to look for`)
  if (!pattern.isQuoted && /^\*+$/.test(pattern.text))
    return wholeFault(pattern.text, `${key}:${pattern.text} excludes nothing: leave it out`)
  return { term: { kind: 'pattern', key, pattern } }
}

function domainTerm(pattern: TextPattern): ParsedValue {
  const domain = pattern.text.startsWith('@') ? pattern.text.slice(1) : pattern.text
  if (domain.includes('@'))
    return wholeFault(
      pattern.text,
      'A domain has no @: for an address use from: or to:',
      domain.slice(domain.lastIndexOf('@') + 1),
    )
  return patternTerm('domain', { ...pattern, text: domain })
}

function idTerm(key: 'id' | 'queue', text: string): ParsedValue {
  const id = text.toLowerCase()
  if (isTransactionId(id)) return { term: { kind: 'id', key, id } }
  return wholeFault(
    text,
    'No id of a message: it has the form 019abc12-3456-7def-8901-23456789abcd. For a Message-ID use msgid:',
  )
}

function ipTerm(text: string): ParsedValue {
  if (isNetwork(text)) return { term: { kind: 'ip', network: text.toLowerCase() } }
  const octets = /^((?:\d{1,3}\.){1,3})\*?$/
    .exec(text)?.[1]!
    .split('.')
    .filter((octet) => octet !== '')
  const network =
    octets === undefined ? undefined : `${[...octets, '0', '0', '0'].slice(0, 4).join('.')}/${octets.length * 8}`
  const suggestion = network !== undefined && isNetwork(network) ? network : undefined
  return wholeFault(text, 'No IP address or network: write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32', suggestion)
}

export function isNetwork(text: string): boolean {
  const [address, prefix, ...rest] = text.split('/')
  if (rest.length > 0 || address === undefined || (prefix !== undefined && !/^\d{1,3}$/.test(prefix))) return false
  const isV4 =
    /^(\d{1,3}\.){3}\d{1,3}$/.test(address) &&
    address.split('.').every((octet) => Number(octet) <= 255 && String(Number(octet)) === octet)
  if (isV4) return prefix === undefined || Number(prefix) <= 32
  return (
    /^[0-9a-f:.]*:[0-9a-f:.]*$/i.test(address) &&
    URL.canParse(`http://[${address}]`) &&
    (prefix === undefined || Number(prefix) <= 128)
  )
}

/** Comma-separated words with their places. */
function wordsOf(text: string): { word: string; from: number }[] {
  let from = 0
  return text.split(',').map((word) => {
    const place = { word, from }
    from += word.length + 1
    return place
  })
}

function closedWords(key: keyof typeof traceWordLists, text: string): ParsedValue {
  const known = traceWordLists[key]
  const faults: ValueFault[] = []
  const words: string[] = []
  for (const { word, from } of wordsOf(text)) {
    const lower = word.toLowerCase()
    if (known.includes(lower)) {
      words.push(lower)
      continue
    }
    const nearest = nearestWord(lower, known)
    const remedy = nearest === null ? `one of ${known.join(', ')}` : `did you mean ${nearest}?`
    faults.push({
      from,
      upto: from + word.length,
      message: `There is no ${key} "${word}": ${remedy}`,
      ...(nearest === null ? {} : { suggestion: nearest }),
    })
  }
  return faults.length > 0 ? { faults } : { term: { kind: 'words', key, words: [...new Set(words)] } }
}

const openWordForms = {
  client: {
    form: /^[a-z0-9][a-z0-9._-]{0,62}$/,
    fold: (word: string) => word.toLowerCase(),
    is: 'id of a client (the short name, or house)',
  },
  country: {
    form: /^[A-Z]{2}$/,
    fold: (word: string) => word.toUpperCase(),
    is: 'country: its code has two letters, like de',
  },
  rule: { form: /^[a-z0-9*][a-z0-9._*-]{0,62}$/, fold: (word: string) => word.toLowerCase(), is: 'id of a rule' },
} as const

function openWords(key: keyof typeof openWordForms, text: string): ParsedValue {
  const { form, fold, is } = openWordForms[key]
  const faults: ValueFault[] = []
  const words: string[] = []
  for (const { word, from } of wordsOf(text)) {
    if (form.test(fold(word))) words.push(fold(word))
    else faults.push({ from, upto: from + word.length, message: `"${word}" is no ${is}` })
  }
  return faults.length > 0 ? { faults } : { term: { kind: 'words', key, words: [...new Set(words)] } }
}

/** `5`, `>5`, `>=5`, `<5`, `<=5`, `3..8`, `3..`, `..8`; both ends of `..` belong to it. */
function rangeTerm(key: 'weight' | 'size', text: string, numberOf: (text: string) => number | null): ParsedValue {
  const example = key === 'size' ? '>1M, 10k..2M or ..500' : '>5, 3..8 or -2'
  const noNumber = (part: string): ParsedValue => {
    const limits = key === 'size' ? 'octets, with k, M, G, Ki, Mi or Gi' : 'at most three decimals'
    return wholeFault(text, `"${part}" is no ${key}: a number (${limits}), like ${example}`)
  }
  const compared = /^(>=|<=|>|<)(.*)$/s.exec(text)
  if (compared !== null) {
    const number = numberOf(compared[2]!)
    if (number === null) return noNumber(compared[2]!)
    const least = compared[1] === '>' ? number + 1 : compared[1] === '>=' ? number : null
    const most = compared[1] === '<' ? number - 1 : compared[1] === '<=' ? number : null
    return { term: { kind: 'range', key, least, most } }
  }
  const dots = text.indexOf('..')
  if (dots < 0) {
    const number = numberOf(text)
    return number === null ? noNumber(text) : { term: { kind: 'range', key, least: number, most: number } }
  }
  const [first, second] = [text.slice(0, dots), text.slice(dots + 2)]
  if (first === '' && second === '') return wholeFault(text, `A range needs at least one end, like ${example}`)
  const least = first === '' ? null : numberOf(first)
  const most = second === '' ? null : numberOf(second)
  if (first !== '' && least === null) return noNumber(first)
  if (second !== '' && most === null) return noNumber(second)
  if (least !== null && most !== null && least > most)
    return wholeFault(text, 'This range is empty: the smaller end comes first', `${second}..${first}`)
  return { term: { kind: 'range', key, least, most } }
}

/** Thousandths, exactly. */
function weightMilli(text: string): number | null {
  const match = /^(-?)(\d{1,7})(?:\.(\d{1,3}))?$/.exec(text)
  if (match === null) return null
  const milli = Number(match[2]) * 1_000 + Number((match[3] ?? '').padEnd(3, '0'))
  return match[1] === '-' && milli !== 0 ? -milli : milli
}

const sizeUnits: Record<string, number> = {
  '': 1,
  b: 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 1024,
  mi: 1024 ** 2,
  gi: 1024 ** 3,
}

/** Octets; `null` too for a fraction of an octet and for what no message can have. */
function sizeOctets(text: string): number | null {
  const match = /^(\d{1,15})(?:\.(\d{1,3}))?([a-z]*)$/i.exec(text)
  if (match === null) return null
  const letters = match[3]!.toLowerCase()
  const unit = sizeUnits[letters.length > 1 && letters.endsWith('b') ? letters.slice(0, -1) : letters]
  if (unit === undefined) return null
  const octets = ((Number(match[1]) * 1_000 + Number((match[2] ?? '').padEnd(3, '0'))) * unit) / 1_000
  return Number.isSafeInteger(octets) && octets <= 1e15 ? octets : null
}
