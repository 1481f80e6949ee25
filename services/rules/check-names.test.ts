/** Which checks a rule may ask for, from which stage on, and what it may expect of them. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { stages } from '../contracts/vocabulary.ts'
import { builtInChecks, checkFamilies, checkNamed } from './check-names.ts'
import { rulesetOf } from './ruleset-faults.ts'

function faultOf(stage: string, when: object): { path: string; message: string; remedy?: string } | null {
  const result = rulesetOf({ rules: [{ id: 'one', stage, when, then: {} }] })
  if ('ruleset' in result) return null
  const [{ path, message, remedy }] = result.faults as [(typeof result.faults)[number]]
  return { path: path.slice(3).join('.'), message, ...(remedy === undefined ? {} : { remedy }) }
}

describe('a rule that asks for a check', () => {
  const examples = [
    ...builtInChecks.map(({ name, from, results }) => ({ name, from, result: results![0]! })),
    ...checkFamilies.map(({ prefix, from, results }) => ({
      name: `${prefix}one`,
      from,
      result: results?.[0] ?? 'infected',
    })),
  ]

  it.each(examples)('is taken from $from on for $name, and not before', ({ name, from, result }) => {
    for (const stage of stages) {
      const isKnown = stages.indexOf(stage) >= stages.indexOf(from)
      const fault = faultOf(stage, { check: name, is: result })
      if (isKnown) expect(fault).toBeNull()
      else {
        expect(fault).toMatchObject({ path: 'check', message: `The check ${name} has no answer yet at ${stage}` })
        expect(fault!.remedy).toContain(from)
      }
      const asAttribute = faultOf(stage, { attribute: `check.${name}`, equals: result })
      expect(asAttribute?.message ?? null).toBe(isKnown ? null : `check.${name} is not yet known at ${stage}`)
      expect(faultOf(from, { check: name, is: ['unknown'] })).toBeNull()
    }
  })

  it.each([
    [{ check: 'spff', is: 'pass' }, 'check', 'There is no check "spff"', 'Did you mean spf?'],
    [{ attribute: 'check.dmrc', equals: 'x' }, 'attribute', 'There is no check "dmrc"', 'Did you mean dmarc?'],
    [{ check: 'spf', is: ['pass', 'fial'] }, 'is.1', 'The check spf never answers "fial"', 'Did you mean fail?'],
    [
      { check: 'dnsbl-one', is: 'listed' },
      'is',
      'The check dnsbl-one never answers "listed"',
      'not-listed, unknown, and addresses like 127.0.0.2',
    ],
    [{ check: 'dnsbl-', is: '127.0.0.2' }, 'check', 'There is no check "dnsbl-"', 'The name behind it has'],
    [{ check: 'rate-A', is: 'over' }, 'check', 'There is no check "rate-A"', 'The name behind it has'],
  ])('is told what is wrong with %j', (when, path, message, remedy) => {
    const fault = faultOf('complete', when)
    expect(fault).toMatchObject({ path, message })
    expect(fault!.remedy).toContain(remedy)
  })

  it('may expect any answer of a DNS list that is one, and any word of a plug-in', () => {
    expect(faultOf('connect', { check: 'dnsbl-a-b', is: ['127.0.0.2', 'not-listed', 'unknown'] })).toBeNull()
    expect(faultOf('complete', { check: 'plugin-clamd', is: ['clean', 'whatever it says'] })).toBeNull()
    expect(checkNamed('plugin-')).toBeNull()
  })
})

describe('docs/rules.md', () => {
  it('tells of every check its name, first stage and answers, and of no other', () => {
    const page = readFileSync(new URL('../../docs/rules.md', import.meta.url), 'utf8')
    const table = page.slice(page.indexOf('## Checks'), page.indexOf('## Conditions'))
    const rows = [...table.matchAll(/^\| `([a-z<>-]+)` \| `([a-z]+)`.* \| (.+) \|$/gm)]
    const known = [...builtInChecks, ...checkFamilies]
    expect(rows.map(([, name, from]) => `${name} ${from}`).sort()).toEqual(
      known.map(({ name, from }) => `${name} ${from}`).sort(),
    )
    for (const { name, results } of known) {
      const answers = rows.find((row) => row[1] === name)![3]!
      for (const result of results ?? []) expect(answers, name).toContain(`\`${result}\``)
    }
  })
})
