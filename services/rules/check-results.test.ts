/** Results of checks in rules: the branch for no answer, results about one recipient, and what a stage asks for. */
import { describe, expect, it } from 'vitest'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import type { CheckResult } from '../contracts/event.ts'
import { compileRuleset, type CompiledRuleset } from './compile-ruleset.ts'
import { replayTransaction } from './replay-transaction.ts'
import { rulesetOf } from './ruleset-faults.ts'

function compiled(rules: object[], more: object = {}): CompiledRuleset {
  const result = rulesetOf({
    ...more,
    rules: rules.map((rule, index) => ({ id: `rule-${index}`, then: {}, ...rule })),
  })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  return compileRuleset(result.ruleset)
}

const spf = (result: string): Mail => ({
  checks: [{ name: 'spf', stage: 'mail', result, detail: null, durationUs: 1 }],
})
const greylist = (...results: string[]): CheckResult[] =>
  results.map((result, recipient) => ({
    name: 'greylist',
    stage: 'rcpt',
    result,
    detail: null,
    durationUs: 1,
    recipient,
  }))

describe('the unknown branch', () => {
  const rules = compiled(
    [
      {
        stage: 'mail',
        when: { check: 'spf', is: 'fail' },
        then: { weight: 4 },
        else: { weight: 1 },
        unknown: { weight: 2, markSubject: '[?]' },
      },
    ],
    { markAt: 100 },
  )

  it.each([
    ['fail', 'then', 4],
    ['pass', 'else', 1],
    ['unknown', 'unknown', 2],
  ])('is taken where the check says %s: %s, weight %d', (result, branch, weight) => {
    const event = judgeLive(spf(result), rules)
    expect(event.weight).toBe(weight)
    expect(event.evaluations[0]!.hits).toMatchObject([
      { branch, weight, attribute: branch === 'then' ? 'check.spf' : null },
    ])
    expect(replayTransaction(event, rules, rules).difference).toBe('same')
  })

  it('is taken where the check never ran, and does nothing where there is none', () => {
    expect(judgeLive({}, rules)).toMatchObject({ weight: 2, marks: ['subject:[?]'] })
    const without = compiled([
      { stage: 'mail', when: { check: 'spf', is: 'fail' }, then: { weight: 4 }, else: { weight: 1 } },
    ])
    expect(judgeLive({}, without)).toMatchObject({ weight: 0, evaluations: [] })
  })

  it('can refuse, by one that is shadow nothing happens, and the hash names it', () => {
    const rule = { stage: 'mail', when: { check: 'spf', is: 'fail' }, unknown: { defer: { text: 'Later' } } }
    expect(judgeLive({}, compiled([rule]))).toMatchObject({
      outcome: 'deferred',
      stage: 'mail',
      decidingRuleId: 'rule-0',
    })
    expect(judgeLive({}, compiled([{ ...rule, mode: 'shadow' }]))).toMatchObject({ outcome: 'accepted' })
    expect(compiled([rule]).hash).not.toBe(compiled([{ ...rule, unknown: undefined }]).hash)
  })

  it('is held to what a branch may be', () => {
    const rule = { id: 'one', stage: 'mail', when: { check: 'spf', is: 'fail' }, then: {}, unknown: { wieght: 1 } }
    const result = rulesetOf({ rules: [rule] })
    expect('faults' in result && result.faults[0]).toMatchObject({
      path: ['rules', 0, 'unknown', 'wieght'],
      remedy: 'Did you mean weight?',
    })
  })
})

describe('a result about one recipient', () => {
  const waits = compiled([
    {
      stage: 'rcpt',
      when: { check: 'greylist', is: 'wait' },
      then: { defer: { text: 'Later' } },
      unknown: { weight: 1 },
    },
    {
      stage: 'complete',
      when: { check: 'greylist', is: ['wait', 'known'] },
      then: { weight: 5 },
      unknown: { weight: 8 },
    },
    { stage: 'complete', when: { attribute: 'check.greylist', matches: 'known|never' }, then: { weight: 16 } },
  ])
  const recipients = ['ann@corp.test', 'ben@corp.test', 'cem@corp.test']

  it('is seen at rcpt by the rules of that recipient alone', () => {
    const event = judgeLive({ recipients, checks: greylist('passed', 'wait', 'passed') }, waits)
    expect(event.recipients.map(({ outcome }) => outcome)).toEqual(['accepted', 'deferred', 'accepted'])
    expect(replayTransaction(event, waits, waits).difference).toBe('same')
  })

  it('is seen after rcpt where that recipient was taken: one that fits is enough', () => {
    expect(judgeLive({ recipients, checks: greylist('passed', 'wait', 'passed') }, waits).weight).toBe(0)
    expect(judgeLive({ recipients, checks: greylist('passed', 'wait', 'known') }, waits).weight).toBe(5 + 16)
  })

  it('that is unknown makes the condition unknown where none of the others fits', () => {
    // At rcpt the one without an answer adds its 1.
    expect(judgeLive({ recipients, checks: greylist('passed', 'unknown', 'passed') }, waits).weight).toBe(1 + 8)
    expect(judgeLive({ recipients, checks: greylist('passed', 'unknown', 'known') }, waits).weight).toBe(1 + 5)
  })
})

describe('what a rule set asks for', () => {
  it('is told by stage, of active and shadow rules, and of nothing that is off', () => {
    const { asksAt } = compiled([
      { stage: 'connect', mode: 'off', when: { check: 'dnsbl-off', is: 'not-listed' } },
      { stage: 'connect', when: { country: 'DE' } },
      {
        stage: 'connect',
        mode: 'shadow',
        when: {
          any: [
            { check: 'dnsbl-a', is: 'unknown' },
            { attribute: 'remote.reverseName', exists: true },
          ],
        },
      },
      {
        stage: 'mail',
        when: { all: [{ not: { attribute: 'check.spf', equals: 'pass' } }, { check: 'reverse-dns', is: 'none' }] },
      },
      { stage: 'header', when: { attribute: 'header.X-Kind', exists: true } },
    ])
    expect(asksAt.connect).toEqual({
      checks: new Set(['dnsbl-a']),
      attributes: new Set(['remote.country', 'remote.reverseName']),
    })
    expect(asksAt.helo).toEqual({ checks: new Set(), attributes: new Set() })
    expect(asksAt.mail).toEqual({ checks: new Set(['spf', 'reverse-dns']), attributes: new Set() })
    expect(asksAt.header).toEqual({ checks: new Set(), attributes: new Set(['header.X-Kind']) })
  })
})
