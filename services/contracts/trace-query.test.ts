import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { completionsAt } from './trace-completion.ts'
import { traceHas, traceKeyNames, traceKeys } from './trace-keys.ts'
import { parseTraceQuery, traceLimits, type TraceQuery } from './trace-query.ts'
import { tracePatternText, traceQueryText } from './trace-query-text.ts'
import { parseTracePoint, timeMsOfPoint } from './trace-time.ts'

const id = '019abc12-3456-7def-8901-23456789abcd'
const word = (text: string, isQuoted = false): TraceQuery => ({ kind: 'word', pattern: { text, isQuoted } })
const pattern = (
  key: 'from' | 'to' | 'subject' | 'domain' | 'helo' | 'hop' | 'msgid',
  text: string,
  isQuoted = false,
): TraceQuery => ({ kind: 'pattern', key, pattern: { text, isQuoted } })
const words = (
  key: 'verdict' | 'stage' | 'reason' | 'has' | 'client' | 'country' | 'rule',
  ...list: string[]
): TraceQuery => ({ kind: 'words', key, words: list })
const range = (key: 'weight' | 'size', least: number | null, most: number | null): TraceQuery => ({
  kind: 'range',
  key,
  least,
  most,
})
const not = (part: TraceQuery): TraceQuery => ({ kind: 'not', part })
const and = (...parts: TraceQuery[]): TraceQuery => ({ kind: 'and', parts })
const or = (...parts: TraceQuery[]): TraceQuery => ({ kind: 'or', parts })
const ago = (key: 'after' | 'before', amount: number, unit: 'm' | 'h' | 'd' | 'w'): TraceQuery => ({
  kind: 'time',
  key,
  point: { ago: amount, unit },
})

const understood: [string, TraceQuery][] = [
  ['', { kind: 'everything' }],
  ['  \t\n ', { kind: 'everything' }],
  ['invoice', word('invoice')],
  ['"two words"', word('two words', true)],
  ['"say \\"hi\\" \\\\ \\n"', word('say "hi" \\ \\n', true)],
  ['inv*ce', word('inv*ce')],
  ['a b', and(word('a'), word('b'))],
  ['a AND b', and(word('a'), word('b'))],
  ['a and b', and(word('a'), word('and'), word('b'))],
  ['a OR b', or(word('a'), word('b'))],
  ['a or b', and(word('a'), word('or'), word('b'))],
  ['a OR b OR c', or(word('a'), word('b'), word('c'))],
  ['a b OR c', or(and(word('a'), word('b')), word('c'))],
  ['a (b OR c)', and(word('a'), or(word('b'), word('c')))],
  ['(a b) c', and(word('a'), word('b'), word('c'))],
  ['(a OR b) OR c', or(word('a'), word('b'), word('c'))],
  ['((a))', word('a')],
  ['a(b)c', and(word('a'), word('b'), word('c'))],
  ['ORDER', word('ORDER')],
  ['-a', not(word('a'))],
  ['--a', not(not(word('a')))],
  ['-(a b)', not(and(word('a'), word('b')))],
  ['-"a b"', not(word('a b', true))],
  ['14:02', word('14:02')],
  ['2001:db8::1', word('2001:db8::1')],
  ['from:bo@partner.test', pattern('from', 'bo@partner.test')],
  ['FROM:Bo@Partner.test', pattern('from', 'Bo@Partner.test')],
  ['from:<>', pattern('from', '<>')],
  ['from:""', pattern('from', '', true)],
  ['to:*@corp.test', pattern('to', '*@corp.test')],
  ['to:"*@corp.test"', pattern('to', '*@corp.test', true)],
  ['to:@corp.test', pattern('to', '@corp.test')],
  ['subject:"re: contract"', pattern('subject', 're: contract', true)],
  ['subject:50%_off', pattern('subject', '50%_off')],
  ['domain:corp.test', pattern('domain', 'corp.test')],
  ['domain:@corp.test', pattern('domain', 'corp.test')],
  ['domain:*.corp.test', pattern('domain', '*.corp.test')],
  ['helo:mail.partner.test', pattern('helo', 'mail.partner.test')],
  ['hop:inner.corp.test', pattern('hop', 'inner.corp.test')],
  ['msgid:<1@partner.test>', pattern('msgid', '<1@partner.test>')],
  [`id:${id.toUpperCase()}`, { kind: 'id', key: 'id', id }],
  [`queue:${id}`, { kind: 'id', key: 'queue', id }],
  ['ip:203.0.113.7', { kind: 'ip', network: '203.0.113.7' }],
  ['ip:203.0.113.0/24', { kind: 'ip', network: '203.0.113.0/24' }],
  ['ip:0.0.0.0/0', { kind: 'ip', network: '0.0.0.0/0' }],
  ['ip:2001:DB8::/32', { kind: 'ip', network: '2001:db8::/32' }],
  ['ip:::ffff:10.0.0.1', { kind: 'ip', network: '::ffff:10.0.0.1' }],
  ['verdict:refused', words('verdict', 'refused')],
  ['verdict:Refused,deferred,refused', words('verdict', 'refused', 'deferred')],
  ['stage:rcpt', words('stage', 'rcpt')],
  ['reason:unknown-recipient', words('reason', 'unknown-recipient')],
  ['has:attachment,shadow', words('has', 'attachment', 'shadow')],
  ['client:acme', words('client', 'acme')],
  ['client:house', words('client', 'house')],
  ['country:de,FR', words('country', 'DE', 'FR')],
  ['rule:spam-*', words('rule', 'spam-*')],
  ['weight:5', range('weight', 5000, 5000)],
  ['weight:>5', range('weight', 5001, null)],
  ['weight:>=4.5', range('weight', 4500, null)],
  ['weight:<-1.25', range('weight', null, -1251)],
  ['weight:<=0', range('weight', null, 0)],
  ['weight:3..8', range('weight', 3000, 8000)],
  ['weight:-3..-1', range('weight', -3000, -1000)],
  ['weight:..8', range('weight', null, 8000)],
  ['size:>1M', range('size', 1_000_001, null)],
  ['size:<1MiB', range('size', null, 1_048_575)],
  ['size:1.5k..2kB', range('size', 1_500, 2_000)],
  ['size:0', range('size', 0, 0)],
  ['after:-7d', ago('after', 7, 'd')],
  ['before:-90m', ago('before', 90, 'm')],
  ['after:now', ago('after', 0, 'm')],
  ['after:today', { kind: 'time', key: 'after', point: { day: 'today' } }],
  [
    'before:2026-11-01',
    { kind: 'time', key: 'before', point: { local: '2026-11-01T00:00:00.000', written: '2026-11-01' } },
  ],
  [
    'before:2026-11',
    { kind: 'time', key: 'before', point: { local: '2026-11-01T00:00:00.000', written: '2026-11' } },
  ],
  [
    'after:2026-11-01T14:00',
    { kind: 'time', key: 'after', point: { local: '2026-11-01T14:00:00.000', written: '2026-11-01T14:00' } },
  ],
  [
    'after:"2026-11-01 14:00"',
    { kind: 'time', key: 'after', point: { local: '2026-11-01T14:00:00.000', written: '2026-11-01 14:00' } },
  ],
  [
    'after:2026-11-01T14:00:00.5+02:00',
    {
      kind: 'time',
      key: 'after',
      point: { instantMs: Date.UTC(2026, 10, 1, 12, 0, 0, 500), written: '2026-11-01T14:00:00.5+02:00' },
    },
  ],
  [
    'to:ann@corp.test -verdict:accepted after:-7d',
    and(pattern('to', 'ann@corp.test'), not(words('verdict', 'accepted')), ago('after', 7, 'd')),
  ],
]

/** Text, the place of the first fault as the text it covers, what it suggests, and a word of what it says. */
const mistaken: [string, string, string | undefined, RegExp][] = [
  ['fom:x', 'fom', 'from', /no key fom/],
  ['a sendr:x', 'sendr', undefined, /no key sendr\. To search for the text, quote it: "sendr:x"/],
  ['re:hello', 're', undefined, /no key re/],
  ['recip:x', 'recip', undefined, /no key/],
  ['verdct:refused', 'verdct', 'verdict', /Did you mean verdict/],
  ['verdict:refusd', 'refusd', 'refused', /did you mean refused/],
  ['verdict:accepted,spam', 'spam', undefined, /one of accepted, marked/],
  ['stage:data', 'data', undefined, /one of connect/],
  ['reason:unknown', 'unknown', 'unknown-recipient', /did you mean/],
  ['has:attachments', 'attachments', 'attachment', /did you mean/],
  ['from:', 'from:', undefined, /needs a value/],
  ['from: bo', 'from:', undefined, /needs a value/],
  ['subject:(a OR b)', 'subject:', undefined, /parentheses stand round whole terms/],
  ['to:*', '*', undefined, /leave it out/],
  ['id:123', '123', undefined, /has the form/],
  ['id:<1@x>', '<1@x>', undefined, /msgid:/],
  ['ip:300.1.1.1', '300.1.1.1', undefined, /No IP address/],
  ['ip:10.1.*', '10.1.*', '10.1.0.0/16', /No IP address/],
  ['ip:10.0.0.0/33', '10.0.0.0/33', undefined, /No IP address/],
  ['ip:localhost', 'localhost', undefined, /No IP address/],
  ['country:germany', 'germany', undefined, /two letters/],
  ['client:Ann@x', 'Ann@x', undefined, /no id of a client/],
  ['domain:ann@corp.test', 'ann@corp.test', 'corp.test', /no @/],
  ['weight:heavy', 'heavy', undefined, /no weight/],
  ['weight:1.2345', '1.2345', undefined, /three decimals/],
  ['weight:8..3', '8..3', '3..8', /empty/],
  ['weight:..', '..', undefined, /at least one end/],
  ['size:1T', '1T', undefined, /no size/],
  ['size:0.0005k', '0.0005k', undefined, /no size/],
  ['size:-1', '-1', undefined, /no size/],
  ['after:7d', '7d', '-7d', /minus/],
  ['after:-7y', '-7y', undefined, /unit of time/],
  ['after:2026-02-30', '2026-02-30', undefined, /no time 2026-02-30/],
  ['after:2026-13', '2026-13', undefined, /no time/],
  ['after:2026-11-01T24:01', '2026-11-01T24:01', undefined, /no time/],
  ['after:2026-11-01T10:00+19:00', '2026-11-01T10:00+19:00', undefined, /time zone/],
  ['after:tomorrow', 'tomorrow', undefined, /No time/],
  ['"abc', '"abc', '"abc"', /not closed/],
  ['"a"b', 'b', undefined, /space is missing/],
  ['(a', '(', undefined, /not closed/],
  ['a)', ')', undefined, /never opened/],
  ['()', '()', undefined, /nothing between/],
  ['a OR', 'OR', undefined, /both sides/],
  ['OR a', 'OR', undefined, /both sides/],
  ['a OR OR b', 'OR', undefined, /both sides/],
  ['AND a', 'AND', undefined, /both sides/],
  ['a -', '-', undefined, /right after it/],
  ['- a', '-', undefined, /right after it/],
  ['a -OR b', '-', undefined, /right after it/],
  ['*', '*', undefined, /nothing to look for/],
  ['""', '""', undefined, /nothing to look for/],
]

function faultsOf(text: string) {
  const parsed = parseTraceQuery(text)
  return 'faults' in parsed ? parsed.faults : []
}

describe('a trace query', () => {
  it.each(understood)('%j is understood', (text, query) => {
    expect(parseTraceQuery(text)).toEqual({ query })
  })

  it.each(understood)('%j comes back as text that means the same', (_text, query) => {
    expect(parseTraceQuery(traceQueryText(query))).toEqual({ query })
  })

  it.each(mistaken)('%j is answered with the place of the mistake', (text, place, suggestion, message) => {
    const fault = faultsOf(text)[0]
    expect(fault).toBeDefined()
    expect(text.slice(fault!.from, fault!.upto)).toBe(place)
    expect(fault!.suggestion).toBe(suggestion)
    expect(fault!.message).toMatch(message)
  })

  it('reports several mistakes together, in the order of their places', () => {
    expect(faultsOf('fom:a verdict:nix weight:x').map((fault) => fault.from)).toEqual([0, 14, 25])
  })

  it('counts as one mistake what one mistake caused', () => {
    for (const [text] of mistaken) expect(faultsOf(text).length, text).toBeLessThanOrEqual(1)
  })

  it('has limits on its length, its terms and its depth', () => {
    expect(faultsOf('x'.repeat(traceLimits.textLength))).toEqual([])
    expect(faultsOf('x'.repeat(traceLimits.textLength + 1))[0]!.message).toMatch(/at most 4000 characters/)
    expect(faultsOf(Array(traceLimits.terms).fill('x').join(' '))).toEqual([])
    expect(
      faultsOf(
        Array(traceLimits.terms + 1)
          .fill('x')
          .join(' '),
      )[0]!.message,
    ).toMatch(/at most 100 terms/)
    expect(faultsOf(`${'('.repeat(traceLimits.depth)}x${')'.repeat(traceLimits.depth)}`)).toEqual([])
    expect(faultsOf(`${'('.repeat(2_000)}x`)[0]!.message).toMatch(/inside each other/)
    expect(faultsOf(`${'-'.repeat(2_000)}x`)[0]!.message).toMatch(/inside each other/)
  })

  it('never throws, keeps every place inside the text, and can be written again with the same meaning', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const parsed = parseTraceQuery(text)
        if ('query' in parsed) {
          expect(parseTraceQuery(traceQueryText(parsed.query))).toEqual(parsed)
          return
        }
        expect(parsed.faults.length).toBeGreaterThan(0)
        for (const fault of parsed.faults) {
          expect(fault.from).toBeGreaterThanOrEqual(0)
          expect(fault.upto).toBeGreaterThanOrEqual(fault.from)
          expect(fault.upto).toBeLessThanOrEqual(text.length)
          expect(fault.message).not.toBe('')
        }
      }),
      { numRuns: 3_000 },
    )
  })

  it('keeps a suggestion that repairs its only mistake', () => {
    for (const [text] of mistaken) {
      const fault = faultsOf(text)[0]
      if (fault?.suggestion === undefined) continue
      expect(faultsOf(text.slice(0, fault.from) + fault.suggestion + text.slice(fault.upto)), text).toEqual([])
    }
  })

  it('writes any text of a message as a term that looks for exactly it', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('from' as const, 'to' as const, 'subject' as const, 'msgid' as const),
        fc.string({ unit: 'binary', minLength: 1 }),
        (key, text) => {
          const parsed = parseTraceQuery(tracePatternText(key, text))
          expect(parsed).toMatchObject({ query: { kind: 'pattern', key, pattern: { text } } })
          const isLiteral =
            'query' in parsed &&
            parsed.query.kind === 'pattern' &&
            (parsed.query.pattern.isQuoted || !text.includes('*'))
          expect(isLiteral).toBe(true)
        },
      ),
    )
  })
})

/** Text made of the pieces of the language, so that most of it is nearly right. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.oneof(
        fc.constantFrom(
          ' ',
          ' ',
          ' ',
          '(',
          ')',
          '-',
          '"',
          '\\',
          '*',
          ':',
          ',',
          '..',
          '>',
          '<>',
          'OR',
          ' OR ',
          ' AND ',
          'a',
          'é',
          '🙂',
          id,
          '@corp.test',
          '-7d',
          '5',
          '1M',
          'refused',
          'rcpt',
        ),
        fc.constantFrom(...traceKeyNames.map((key) => `${key}:`)),
        fc.constantFrom(...traceKeyNames.map((key) => `${traceKeys[key].example} `)),
      ),
      { maxLength: 14 },
    )
    .map((pieces) => pieces.join('')),
)

describe('a point in time', () => {
  const nowMs = Date.UTC(2026, 2, 29, 10, 30)
  const at = (text: string, timeZone = 'Europe/Berlin') => {
    const point = parseTracePoint(text)
    if ('message' in point) throw new Error(point.message)
    return new Date(timeMsOfPoint(point, { nowMs, timeZone })).toISOString()
  }

  it('is meant in the zone of the one who asks, also where its clocks change', () => {
    expect(at('2026-03-29')).toBe('2026-03-28T23:00:00.000Z')
    expect(at('2026-03-30')).toBe('2026-03-29T22:00:00.000Z')
    expect(at('today')).toBe('2026-03-28T23:00:00.000Z')
    expect(at('yesterday')).toBe('2026-03-27T23:00:00.000Z')
    expect(at('2026-03-29', 'UTC')).toBe('2026-03-29T00:00:00.000Z')
    expect(at('2026-03-29T02:30')).toBe('2026-03-29T01:30:00.000Z')
    expect(at('2026')).toBe('2025-12-31T23:00:00.000Z')
  })

  it('before now is counted in whole hours, whatever the zone', () => {
    expect(at('-1d')).toBe('2026-03-28T10:30:00.000Z')
    expect(at('-2w')).toBe('2026-03-15T10:30:00.000Z')
    expect(at('-45m')).toBe('2026-03-29T09:45:00.000Z')
  })

  it('that names its offset is the same everywhere', () => {
    expect(at('2026-03-29T10:00Z')).toBe('2026-03-29T10:00:00.000Z')
    expect(at('2026-03-29T10:00-0530', 'Asia/Tokyo')).toBe('2026-03-29T15:30:00.000Z')
  })
})

describe('completion', () => {
  const texts = (text: string, caret = text.length) =>
    completionsAt(text, caret).candidates.map((candidate) => candidate.text)

  it('offers keys, then the words that a key takes', () => {
    expect(texts('')).toEqual(traceKeyNames.map((key) => `${key}:`))
    expect(texts('ver')).toEqual(['verdict:'])
    expect(texts('a -(ver')).toEqual(['verdict:'])
    expect(texts('a o')).toEqual(['OR'])
    expect(texts('verdict:re')).toEqual(['refused', 'reset'])
    expect(texts('verdict:refused,de')).toEqual(['deferred'])
    expect(texts('has:')).toEqual(Object.keys(traceHas))
    expect(texts('after:-')).toEqual(['-1h', '-24h', '-7d', '-30d'])
  })

  it('names the key whose values only the database knows', () => {
    expect(completionsAt('to:an', 5)).toEqual({ from: 3, upto: 5, key: 'to', candidates: [] })
    expect(completionsAt('rule:a,sp', 9)).toMatchObject({ from: 7, upto: 9, key: 'rule' })
  })

  it('offers nothing inside quotes or after an unknown key', () => {
    expect(texts('"ver')).toEqual([])
    expect(texts('subject:"ver')).toEqual([])
    expect(texts('nix:ver')).toEqual([])
  })

  it('looks at the text before the caret only', () => {
    expect(texts('ver after:-7d', 3)).toEqual(['verdict:'])
  })

  it('never throws and stays inside the text, wherever the caret is', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: -3, max: 200 }), (text, caret) => {
        const { from, upto } = completionsAt(text, caret)
        expect(0 <= from && from <= upto && upto <= text.length).toBe(true)
      }),
    )
  })

  it('gives candidates that the parser understands', () => {
    for (const key of traceKeyNames) {
      for (const { text } of completionsAt(`${key}:`, key.length + 1).candidates)
        expect(faultsOf(`${key}:${text}`), `${key}:${text}`).toEqual([])
      expect(faultsOf(traceKeys[key].example)).toEqual([])
    }
  })
})
