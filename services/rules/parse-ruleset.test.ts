import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { Value } from 'typebox/value'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import * as generated from '../../test/generated-rules.ts'
import { compileRuleset } from './compile-ruleset.ts'
import { listFilesOf, parseRuleset, type RulesetFault } from './parse-ruleset.ts'
import { Ruleset } from './ruleset.ts'

function faultsOf(text: string, file = 'rules.yaml'): RulesetFault[] {
  const result = parseRuleset(text, file)
  if ('ruleset' in result) throw new Error('there are no faults')
  return result.faults
}

/** One rule with this condition at this stage, on one line each. */
function ruleWith(when: string, stage = 'header', then = '{ weight: 1 }'): string {
  return `rules:\n- id: one\n  stage: ${stage}\n  when: ${when}\n  then: ${then}\n`
}

describe('a rule set that can be used', () => {
  it('is read from YAML with every default written out', () => {
    const result = parseRuleset(ruleWith('{ attribute: subject, matches: casino }'), 'rules.yaml')
    expect(result).toEqual({
      ruleset: {
        markAt: null,
        rejectAt: null,
        decideHeaderRulesAt: 'complete',
        lists: {},
        rules: [
          {
            id: 'one',
            revision: 1,
            name: 'one',
            stage: 'header',
            mode: 'active',
            when: { attribute: 'subject', matches: 'casino' },
            then: { weight: 1 },
          },
        ],
      },
    })
  })

  it('has the same hash as YAML and as JSON, with tabs or without', () => {
    const yaml = parseRuleset(ruleWith('{ attribute: subject, matches: casino }'), 'rules.yaml') as {
      ruleset: Ruleset
    }
    const json = parseRuleset(JSON.stringify(yaml.ruleset, null, '\t'), 'rules.json') as { ruleset: Ruleset }
    expect(compileRuleset(json.ruleset).hash).toBe(compileRuleset(yaml.ruleset).hash)
  })

  it('may be empty: an empty file lets everything through', () => {
    expect(parseRuleset('', 'rules.yaml')).toMatchObject({ ruleset: { rules: [], markAt: null } })
  })

  it('comes back as it was from its own YAML and JSON, and fits its schema, for any rules', () => {
    fc.assert(
      fc.property(generated.ruleset(), (ruleset) => {
        expect([...Value.Errors(Ruleset, ruleset)]).toEqual([])
        expect(parseRuleset(stringify(ruleset), 'rules.yaml')).toEqual({ ruleset })
        expect(parseRuleset(JSON.stringify(ruleset), 'rules.json')).toEqual({ ruleset })
      }),
      { numRuns: 100 },
    )
  })

  it('is the one of the demo', () => {
    const text = readFileSync(new URL('../demo/rules.yaml', import.meta.url), 'utf8')
    const result = parseRuleset(text, 'rules.yaml') as { ruleset: Ruleset }
    expect(result).not.toHaveProperty('faults')
    expect(Value.Check(Ruleset, result.ruleset)).toBe(true)
    expect(result.ruleset.rules.some((rule) => rule.mode === 'shadow')).toBe(true)
  })
})

describe('faults', () => {
  it('are told all at once, in the order of the file, each with its place', () => {
    const text = [
      'markAt: 5.0001',
      'rejectAt: eight',
      'lists:',
      '  partners: [a.test, 17]',
      'rules:',
      '- id: one',
      '  stage: helo',
      '  when: { attribute: subjct, matches: "a(b" }',
      '  then: { weight: 1, rejct: yes }',
      '- id: one',
      '  stage: mails',
      '  when: { attribute: sender, in: parners }',
    ].join('\n')
    expect(
      faultsOf(text).map(
        (fault) => `${fault.line}:${fault.column} ${fault.path}: ${fault.message} / ${fault.remedy}`,
      ),
    ).toEqual([
      '1:9 markAt: 5.0001 has more than three decimals / Write 5',
      '2:11 rejectAt: A weight is a number / undefined',
      '4:22 lists.partners[1]: An entry is a text of 1 to 320 characters / Put it in quotes: "17"',
      '8:22 rules[0].when.attribute: There is no attribute "subjct" / Did you mean subject?',
      '8:39 rules[0].when.matches: The pattern fails: missing closing ) / undefined',
      expect.stringMatching(/^9:22 rules\[0\]\.then\.rejct: There is no "rejct" here, .* \/ Did you mean reject\?$/),
      '10:3 rules[1]: A rule needs something to do: then / undefined',
      '10:7 rules[1].id: The id "one" is already that of rule 1 / Give it an id of its own',
      expect.stringMatching(
        /^11:10 rules\[1\]\.stage: "mails" is no stage: one of connect, .* \/ Did you mean mail\?$/,
      ),
      '12:34 rules[1].when.in: There is no list "parners" / Did you mean partners?',
    ])
  })

  it.each([
    ['connect', 'helo', 'It works from helo on: helo, mail, rcpt, header, complete'],
    ['helo', 'tls', 'It works from mail on: mail, rcpt, header, complete'],
    ['mail', 'recipient', 'It works from rcpt on: rcpt, header, complete'],
    ['rcpt', 'subject', 'It works from header on: header, complete'],
    ['rcpt', 'header.X-Mailer', 'It works from header on: header, complete'],
    ['header', 'attachment.name', 'It works at complete'],
    ['header', 'messageBytes', 'It works at complete'],
  ])('at %s the attribute %s is refused with the stage where it would work', (stage, attribute, remedy) => {
    const [fault, ...rest] = faultsOf(ruleWith(`{ attribute: ${attribute}, exists: true }`, stage))
    expect(rest).toEqual([])
    expect(fault).toMatchObject({
      path: 'rules[0].when.attribute',
      message: `${attribute} is not yet known at ${stage}`,
      remedy,
    })
  })

  it.each([
    [
      '{ attribute: subject, matches: "(?=a)b" }',
      'at character 1: invalid or unsupported Perl syntax',
      'use all, any and not',
    ],
    ['{ attribute: subject, matches: "ab(?<!c)" }', 'at character 3', 'use all, any and not'],
    ['{ attribute: subject, matches: "(a)\\\\1" }', 'at character 4', 'References back'],
    ['{ attribute: subject, matches: "ab[z-a]" }', 'at character 4: invalid character class range "z-a"', undefined],
    ['{ attribute: subject, matches: "a**" }', 'at character 2: invalid nested repetition operator', undefined],
    ['{ attribute: subject, matches: "" }', 'matches holds a regular expression', undefined],
    ['{ attribute: subject, above: 3 }', 'subject is a text: above cannot be used with it', undefined],
    [
      '{ attribute: declaredSizeBytes, matches: "1" }',
      'declaredSizeBytes is a number',
      'Use above, below or between',
    ],
    ['{ attribute: remote.forwardConfirmed, equals: "yes" }', 'is compared with a boolean', undefined],
    ['{ attribute: subject, equals: 17 }', 'is compared with a text', 'Put it in quotes: "17"'],
    ['{ attribute: remote.ip, cidr: 10.0.0.1/8 }', '"10.0.0.1/8" is no network', 'Write 10.0.0.0/8'],
    ['{ attribute: remote.ip, cidr: [10.0.0.0/8, 10.0.0/24] }', '"10.0.0/24" is no network', 'Write an address'],
    ['{ attribute: remote.ip, cidr: nets }', 'There is no list "nets"', 'There are none'],
    ['{ country: DEU }', '"DEU" is no country code', 'Write two letters'],
    ['{ attribute: declaredSizeBytes, between: [2, 1] }', 'Nothing lies between 2 and 1', 'Write [1, 2]'],
    ['{ attribute: declaredSizeBytes, between: [2] }', 'between holds two numbers', 'Write [1, 10]'],
    ['{ attribute: subject, exists: maybe }', 'exists is true or false', undefined],
    ['{ attribute: subject, equals: a, matches: b }', 'this one has matches and equals', 'all:'],
    ['{ attribute: subject, match: a }', 'A condition has one of', 'Did you mean matches?'],
    ['{ all: [] }', 'at least one condition', undefined],
    ['{ all: { attribute: subject, exists: true } }', 'at least one condition', undefined],
    ['{ matches: a }', 'needs the name of an attribute', undefined],
    ['casino', 'A condition is a mapping', 'Write for example'],
    ['{ is: fail }', 'needs the name of a check', undefined],
    [
      `${'{ not: '.repeat(17)}{ attribute: subject, exists: true }${' }'.repeat(17)}`,
      'nested more than 16 deep',
      undefined,
    ],
    [
      `{ attribute: subject, matches: ${'a'.repeat(1_001)} }`,
      'A pattern has at most 1000 characters',
      'Put the words into a list',
    ],
  ])('are found in the condition %s', (when, message, remedy) => {
    const faults = faultsOf(ruleWith(when, 'complete'))
    expect(faults.map((fault) => fault.line).every((line) => line === 4)).toBe(true)
    expect(faults[0]!.message).toContain(message)
    if (remedy !== undefined) expect(faults[0]!.remedy).toContain(remedy)
  })

  it.each([
    ['{ weight: 0.0005 }', 'has more than three decimals', 'Write 0.001'],
    ['{ weight: 1000001 }', 'lies between', undefined],
    ['{ weight: .nan }', 'A weight is a number', undefined],
    ['{ reject: "No" }', 'A reply is a mapping', 'Write { text: "No" }'],
    ['{ reject: { code: 451, text: No } }', 'between 500 and 599', undefined],
    ['{ defer: { enhanced: 5.7.1, text: Later } }', 'like "4.7.1"', undefined],
    ['{ reject: { text: "two\\nlines" } }', 'one line', undefined],
    ['{ reject: { text: No }, accept: true }', 'A branch has one action', 'Make two rules of it'],
    ['{ addHeader: { name: "X Spam", value: "yes" } }', 'letters, digits and -', undefined],
    ['{ addHeader: { name: X-Spam, value: "a\\r\\nBcc: b" } }', 'printable ASCII', undefined],
    ['{ addHeader: { name: Subject, value: "x" } }', 'belongs to the message itself', 'Write X-Subject'],
    ['{ addHeader: { name: X-Spam, value: true } }', 'printable ASCII', 'Put it in quotes: "true"'],
    ['{ markSubject: "a\\nb" }', 'one line', undefined],
    ['{ redirect: nobody }', 'names one address', 'local@domain'],
    ['{ discard: false }', 'discard is true or left out', undefined],
    ['7', 'This is a mapping of what to do', undefined],
  ])('are found in the branch %s', (then, message, remedy) => {
    const [fault] = faultsOf(ruleWith('{ attribute: helo, exists: true }', 'helo', then))
    expect(fault!.line).toBe(5)
    expect(fault!.message).toContain(message)
    if (remedy !== undefined) expect(fault!.remedy).toContain(remedy)
  })

  it('of the text itself are told with their place', () => {
    expect(faultsOf('markAt: 1\nrules: [')).toMatchObject([{ file: 'rules.yaml', line: 2, path: '' }])
    expect(faultsOf('markAt: 1\nmarkAt: 2')).toMatchObject([{ line: 2, column: 1 }])
    expect(faultsOf('{ "markAt": 1, }', 'rules.json')[0]!.message).toContain('no JSON')
    expect(faultsOf('- a\n- b')).toMatchObject([
      { line: 1, message: expect.stringContaining('A rule set is a mapping') },
    ])
  })

  it('are told, not thrown, for a small file of aliases that would grow without bound', () => {
    const layers = Array.from({ length: 30 }, (_, index) => `l${index}: &l${index} [${`*l${index - 1},`.repeat(9)}]`)
    expect(faultsOf(['l0: &l0 [x]', ...layers.slice(1)].join('\n'))[0]!.message).toMatch(/alias/i)
  })

  it('are found in any value whatever, without an exception', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom('when', 'then', 'rules', 'lists', 'whole'), (value, place) => {
        const rule = { id: 'a', stage: 'helo', when: { attribute: 'helo', exists: true }, then: {} }
        const draft =
          place === 'whole'
            ? value
            : place === 'rules' || place === 'lists'
              ? { [place]: value }
              : { rules: [{ ...rule, [place]: value }] }
        const result = parseRuleset(JSON.stringify(draft), 'rules.json')
        if ('ruleset' in result) expect(() => compileRuleset(result.ruleset)).not.toThrow()
        else expect(result.faults.length).toBeGreaterThan(0)
      }),
      { numRuns: 500 },
    )
  })

  it.each([['[', ''], ['{a: ', '}'], ['- ', 'x'], ['[\n', ''], ['a: [{b: ', '']])('a text that only nests, by %j, is one fault, found before anybody descends into it', (open, end) => {
    for (const levels of [150, 200_000]) {
      const parsed = parseRuleset(open.repeat(levels) + end, 'deep.yaml')
      expect(parsed).toMatchObject({ faults: [{ message: 'this is nested deeper than any rule set' }] })
    }
    expect(listFilesOf(open.repeat(200_000))).toEqual([])
  })
})
