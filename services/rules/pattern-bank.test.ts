import fc from 'fast-check'
import { RE2JS } from 're2js'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { PatternBank } from './pattern-bank.ts'
import { patternShape } from './pattern-shape.ts'
import { patternFault, textPatternOf } from './text-pattern.ts'

/** Pieces of which patterns are made: literals, classes, gaps, anchors, alternatives, and letters that fold oddly. */
const atom = fc.constantFrom(
  'a',
  'b',
  'k',
  's',
  'ab',
  'kiss',
  '.',
  '\\.',
  '[ab]',
  '[^a]',
  '\\d',
  '\\w',
  '\\S',
  '\\b',
  'ſ',
  'ß',
  'é',
  '@',
  ' ',
  '[a-k]',
  '(?:ab|k)',
  '(s|b)',
)
const repeat = fc.constantFrom('', '', '', '?', '*', '+', '{2}', '{1,3}', '{0,5}', '+?')
const piece = fc.tuple(atom, repeat).map(([what, times]) => (what === '\\b' ? what : what + times))
const sequence = fc.array(piece, { minLength: 1, maxLength: 5 }).map((pieces) => pieces.join(''))
const pattern = fc
  .tuple(
    fc.constantFrom('', '', '^'),
    fc.array(sequence, { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '', '$'),
  )
  .map(([start, choices, end]) => start + (choices.length > 1 ? `(${choices.join('|')})` : choices[0]!) + end)
const letter = fc.constantFrom(
  'a',
  'b',
  'k',
  's',
  'A',
  'K',
  'S',
  'ſ',
  '\u212a',
  'ß',
  'é',
  '@',
  '.',
  ' ',
  '1',
  '\n',
  '😀',
)
const text = fc.array(letter, { maxLength: 30 }).map((letters) => letters.join(''))

describe('a bank of patterns', () => {
  it('finds in one pass exactly the patterns that match by themselves', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(pattern, fc.boolean()), { minLength: 1, maxLength: 12 }),
        fc.array(text, { minLength: 1, maxLength: 5 }),
        (patterns, texts) => {
          const usable = patterns.filter(([one]) => patternFault(one) === null)
          const bank = new PatternBank()
          const ids = usable.map(([one, isCaseSensitive]) => bank.add(one, isCaseSensitive))
          for (const sought of texts) {
            const found = new Set(bank.matches(sought))
            for (const [index, [one, isCaseSensitive]] of usable.entries()) {
              const alone = RE2JS.compile(textPatternOf({ text: one, isCaseSensitive })).test(sought)
              expect([one, sought, found.has(ids[index]!)]).toEqual([one, sought, alone])
            }
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it('names only texts that every match contains', () => {
    fc.assert(
      fc.property(pattern, text, (one, sought) => {
        if (patternFault(one) !== null) return
        const literals = patternShape(one)?.requiredLiterals
        if (literals == null || !RE2JS.compile(textPatternOf({ text: one, isCaseSensitive: true })).test(sought))
          return
        expect(literals.some((literal) => sought.includes(literal))).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })

  it('answers as one by one also for texts longer than what is shared', () => {
    const bank = new PatternBank()
    const ids = ['casino', 'lottery', '^x+$', 'win.*prize'].map((one) => bank.add(one, false))
    const long = `${'x'.repeat(2_000)} Lottery: win ${'y'.repeat(500)} the PRIZE`
    expect(new Set(bank.matches(long))).toEqual(new Set([ids[1], ids[3]]))
  })

  it('gives equal patterns one number, and different case two', () => {
    const bank = new PatternBank()
    expect(bank.add('casino', false)).toBe(bank.add('casino', false))
    expect(bank.add('casino', true)).not.toBe(bank.add('casino', false))
  })

  it('takes patterns added after the first match', () => {
    const bank = new PatternBank()
    bank.add('casino', false)
    bank.add('lottery', false)
    expect(bank.matches('a prize')).toEqual([])
    expect(bank.matches('a prize').includes(bank.add('prize', false))).toBe(false)
    expect(bank.matches('a prize')).toEqual([2])
  })
})

describe('shapes', () => {
  it.each([
    ['viagra', ['viagra'], false],
    ['viagra.*casino', ['viagra'], true],
    ['(viagra|cialis).{0,20}now', ['viagra', 'cialis'], true],
    ['a?lottery', ['lottery'], false],
    ['(lottery)?x', ['x'], false],
    ['ab*c', ['a'], false],
    ['(x|)', null, false],
    ['[^@]+@corp', ['@corp'], true],
    ['\\S+', null, true],
    ['[a-z]{20,}', null, false],
    ['.{0,3}end', ['end'], false],
  ])('%s needs %j, gap %s', (one, requiredLiterals, hasGap) => {
    expect(patternShape(one)).toEqual({ requiredLiterals, hasGap })
  })

  it.each(['(?i)abc', '(?P<n>a)', '[[:alpha:]]', '\\Qa.b\\E', '\\x41', '\\pL', 'a**'])(
    'does not pretend to know %s',
    (one) => {
      expect(patternShape(one)).toBeNull()
    },
  )
})

describe('patterns and texts made to stall', () => {
  afterEach(() => vi.restoreAllMocks())

  /** How often a character of the text is read: the steps of an engine, whatever the machine does meanwhile. */
  function readsOf(run: () => unknown): number {
    const spies = (['codePointAt', 'charCodeAt'] as const).map((name) => vi.spyOn(String.prototype, name))
    run()
    const reads = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0)
    vi.restoreAllMocks()
    return reads
  }

  it.each([
    ['(a+)+$', (n: number) => `${'a'.repeat(n)}!`, false],
    ['(a|aa)+$', (n: number) => `${'a'.repeat(n)}!`, false],
    ['(a|a?)+$', (n: number) => `${'a'.repeat(n)}!`, true],
    ['(.*a){20}', (n: number) => 'b'.repeat(n), false],
    ['(.*,){11}p', (n: number) => '1,'.repeat(n / 2), false],
    ['^(([a-z])+.)+[A-Z]([a-z])+$', (n: number) => 'a'.repeat(n), true],
    ['(x+x+)+y', (n: number) => 'x'.repeat(n), false],
    ['([a-zA-Z0-9]+)*@', (n: number) => 'a'.repeat(n), false],
    ['a.{0,200}b.{0,200}c', (n: number) => 'ab'.repeat(n / 2), false],
    ['\\s+$', (n: number) => `${' '.repeat(n)}x`, false],
  ])('%s reads a text in time proportional to its length', (one, textOf, matches) => {
    const bank = new PatternBank()
    const id = bank.add(one, false)
    const answers = [1_000, 2_000, 4_000].map((length) => {
      let found: readonly number[] = []
      const reads = readsOf(() => (found = bank.matches(textOf(length))))
      return { matches: found.includes(id), readsPerCharacter: reads / length }
    })
    expect(answers.map((answer) => answer.matches)).toEqual([matches, matches, matches])
    for (const { readsPerCharacter } of answers) expect(readsPerCharacter).toBeLessThan(20)
  })

  it('reads a text once for a hundred patterns, and never more often than a hundred patterns read it', () => {
    const bank = new PatternBank()
    for (let index = 0; index < 100; index += 1) bank.add(`word${index}s?\\b`, false)
    const sought = 'an ordinary subject of an ordinary mail, with nothing in it that anybody looks for'
    bank.matches(sought)
    expect(readsOf(() => bank.matches(sought)) / sought.length).toBeLessThan(4)
  })
})
