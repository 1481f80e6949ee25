import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as generated from '../../test/generated-rules.ts'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import { compileRuleset, type CompiledRuleset } from './compile-ruleset.ts'
import { explainTransaction } from './explain-transaction.ts'
import { rulesetOf } from './ruleset-faults.ts'

const any = { attribute: 'remote.ip', exists: true }

function compiled(rules: object[], rest: object = {}): CompiledRuleset {
  const result = rulesetOf({
    ...rest,
    rules: rules.map((rule, index) => ({ id: `rule-${index}`, when: any, then: {}, ...rule })),
  })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  return compileRuleset(result.ruleset)
}

function explain(rules: CompiledRuleset, mail: Mail = {}) {
  return explainTransaction(judgeLive(mail, rules), rules).rules.map(
    ({ ruleId, result, whyNot, weightBefore, weightAfter, matchedText }) => {
      return { ruleId, result, whyNot, weightBefore, weightAfter, matchedText }
    },
  )
}

describe('an explanation', () => {
  it('shows every rule in order with what matched and the weight before and after', () => {
    const rules = compiled([
      { stage: 'mail', when: { attribute: 'sender', matches: 'BO' }, then: { weight: 2 } },
      { stage: 'connect', then: { weight: 1 } },
      { stage: 'mail', when: { attribute: 'sender', matches: 'nobody' }, then: { weight: 5 } },
      { stage: 'mail', when: { attribute: 'sender', matches: 'nobody' }, then: {}, else: { weight: 0.5 } },
      { stage: 'mail', mode: 'shadow', then: { weight: 7 } },
      { stage: 'mail', mode: 'off', then: { weight: 7 } },
      { stage: 'mail', when: { check: 'spf', is: 'fail' }, then: { weight: 7 } },
    ])
    expect(explain(rules)).toEqual([
      { ruleId: 'rule-1', result: 'hit', whyNot: null, weightBefore: 0, weightAfter: 1, matchedText: null },
      { ruleId: 'rule-0', result: 'hit', whyNot: null, weightBefore: 1, weightAfter: 3, matchedText: 'bo' },
      { ruleId: 'rule-2', result: 'missed', whyNot: null, weightBefore: 3, weightAfter: 3, matchedText: null },
      { ruleId: 'rule-3', result: 'else', whyNot: null, weightBefore: 3, weightAfter: 3.5, matchedText: null },
      { ruleId: 'rule-4', result: 'hit', whyNot: null, weightBefore: 3.5, weightAfter: 3.5, matchedText: null },
      {
        ruleId: 'rule-5',
        result: 'not-run',
        whyNot: 'The rule is off',
        weightBefore: 3.5,
        weightAfter: 3.5,
        matchedText: null,
      },
      { ruleId: 'rule-6', result: 'unknown', whyNot: null, weightBefore: 3.5, weightAfter: 3.5, matchedText: null },
    ])
  })

  it.each<[string, CompiledRuleset, Mail, (string | null)[]]>([
    [
      'a rule that stops its stage',
      compiled([{ stage: 'mail', then: { stop: true } }, { stage: 'mail' }, { stage: 'rcpt' }]),
      {},
      [null, 'Rule rule-0 stopped the rules of mail', null],
    ],
    [
      'a refusal',
      compiled([
        { stage: 'mail', then: { reject: { text: 'No' } } },
        { stage: 'mail' },
        { stage: 'rcpt' },
        { stage: 'complete' },
      ]),
      {},
      [
        null,
        'Rule rule-0 decided: reject',
        'It ended at mail, before rcpt: rule rule-0',
        'It ended at mail, before complete: rule rule-0',
      ],
    ],
    [
      'an acceptance',
      compiled([{ stage: 'helo', then: { accept: true } }, { stage: 'helo' }, { stage: 'complete' }]),
      {},
      [
        null,
        'Rule rule-0 accepted the message without further rules',
        'Rule rule-0 accepted the message without further rules',
      ],
    ],
    [
      'a header rule whose refusal is answered at complete',
      compiled([{ stage: 'header', then: { reject: { text: 'No' } } }, { stage: 'complete' }]),
      {},
      [null, 'Rule rule-0 decided: reject'],
    ],
    [
      'an unknown recipient',
      compiled([{ stage: 'rcpt' }, { stage: 'complete' }]),
      { recipients: ['!gone@corp.test', 'ann@corp.test'] },
      ['The gateway itself refused this recipient: unknown-recipient', null, null],
    ],
    [
      'only unknown recipients',
      compiled([{ stage: 'rcpt' }, { stage: 'complete' }]),
      { recipients: ['!gone@corp.test'] },
      [
        'The gateway itself refused this recipient: unknown-recipient',
        'It ended at rcpt, before complete: unknown-recipient',
      ],
    ],
    [
      'a broken connection',
      compiled([{ stage: 'mail' }, { stage: 'complete' }]),
      { abortAfter: 'rcpt' },
      [null, 'It ended at rcpt, before complete: client-gone'],
    ],
  ])('says why rules did not run: %s', (_name, rules, mail, whyNot) => {
    expect(explain(rules, mail).map((told) => told.whyNot)).toEqual(whyNot)
  })

  it('with a draft says that nobody can know what was never sent', () => {
    const old = compiled([{ stage: 'mail', then: { reject: { text: 'No' } } }])
    const draft = compiled([{ stage: 'complete' }])
    const [told] = explainTransaction(judgeLive({}, old), draft).rules
    expect(told).toMatchObject({
      result: 'not-run',
      whyNot: 'Not known: the rules of that time ended it at mail, before complete',
    })
  })

  it('tells for any rules and any mail the hits that were logged, in the logged order, and every rule', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, (ruleset, mail) => {
        const rules = compileRuleset(ruleset)
        const event = judgeLive(mail, rules)
        const { rules: told, ending } = explainTransaction(event, rules)
        const logged = event.evaluations.flatMap(({ stage, recipient, hits }) =>
          hits.map((hit) => [
            stage,
            recipient,
            hit.ruleId,
            hit.branch === 'then' ? 'hit' : hit.branch,
            hit.weight,
            hit.matchedText,
          ]),
        )
        const explained = told
          .filter((one) => one.isLogged)
          .map((one) => [one.stage, one.recipient, one.ruleId, one.result, one.weight, one.matchedText])
        expect(explained).toEqual(logged)
        expect(new Set(told.map((one) => one.ruleId))).toEqual(new Set(ruleset.rules.map((rule) => rule.id)))
        expect(told.filter((one) => one.result === 'not-run' && !one.whyNot)).toEqual([])
        expect(ending.outcome).toBe(event.outcome)
      }),
      { numRuns: 400 },
    )
  })
})
