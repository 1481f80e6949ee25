import fc from 'fast-check'
import { Value } from 'typebox/value'
import { describe, expect, it } from 'vitest'
import * as generated from '../../test/generated-rules.ts'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import { TransactionEnded, type Evaluation } from '../contracts/event.ts'
import { compileRuleset } from './compile-ruleset.ts'
import { rulesetOf } from './ruleset-faults.ts'
import type { Ruleset } from './ruleset.ts'

const any = { attribute: 'remote.ip', exists: true }

type Draft = {
  markAt?: number
  rejectAt?: number
  subjectTag?: string
  decideHeaderRulesAt?: string
  rules: object[]
}

function judge(draft: Draft, mail: Mail = {}): TransactionEnded {
  const result = rulesetOf({
    ...draft,
    rules: draft.rules.map((rule, index) => ({ id: `rule-${index}`, when: any, ...rule })),
  })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  return judgeLive(mail, compileRuleset(result.ruleset))
}

function hitIds(event: TransactionEnded): string[] {
  return event.evaluations.flatMap((evaluation) => evaluation.hits.map((hit) => hit.ruleId))
}

describe('weights', () => {
  it('add up over the stages, and are refused at complete when they reach rejectAt', () => {
    const rules = [
      { stage: 'connect', then: { weight: 3 } },
      { stage: 'mail', then: { weight: 4.999 } },
    ]
    expect(judge({ rejectAt: 8, rules })).toMatchObject({ outcome: 'accepted', weight: 7.999 })
    rules.push({ stage: 'complete', then: { weight: 0.001 } })
    expect(judge({ rejectAt: 8, rules })).toMatchObject({
      outcome: 'refused',
      stage: 'complete',
      reason: 'weight',
      weight: 8,
    })
  })

  it('mark at markAt exactly, with tag and headers, and not a thousandth below', () => {
    const marked = judge({ markAt: 5, subjectTag: '[SPAM]', rules: [{ stage: 'helo', then: { weight: 5 } }] })
    expect(marked).toMatchObject({
      outcome: 'marked',
      marks: ['subject:[SPAM]', 'header:X-Spam-Flag: YES', 'header:X-Spam-Score: 5'],
    })
    expect(judge({ markAt: 5, rules: [{ stage: 'helo', then: { weight: 4.999 } }] })).toMatchObject({
      outcome: 'accepted',
      marks: [],
    })
  })

  it('of tenths add up to their sum, not to what binary fractions make of it', () => {
    const rules = Array.from({ length: 10 }, () => ({ stage: 'helo', then: { weight: 0.1 } }))
    expect(judge({ markAt: 1, rules })).toMatchObject({ outcome: 'marked', weight: 1 })
  })

  it('are subtracted by a negative branch, and an else branch counts where the condition fails', () => {
    const rules = [
      { stage: 'helo', then: { weight: 6 } },
      {
        stage: 'mail',
        when: { attribute: 'sender', matches: '@partner' },
        then: { weight: -2 },
        else: { weight: 1 },
      },
    ]
    expect(judge({ rules }, { sender: 'a@partner.test' }).weight).toBe(4)
    const other = judge({ rules }, { sender: 'a@other.test' })
    expect(other.weight).toBe(7)
    expect(other.evaluations[1]!.hits).toMatchObject([
      { branch: 'else', weight: 1, attribute: null, matchedText: null },
    ])
  })
})

describe('actions', () => {
  it('reject ends its stage and the transaction, with the reply of the rule', () => {
    const rules = [
      { stage: 'mail', then: { weight: 1, reject: { code: 553, enhanced: '5.7.27', text: 'No' } } },
      { stage: 'mail', then: { weight: 1 } },
    ]
    expect(judge({ rules })).toMatchObject({
      outcome: 'refused',
      stage: 'mail',
      reason: 'rule',
      decidingRuleId: 'rule-0',
      weight: 1,
    })
  })

  it('defer ends it with 4xx', () => {
    expect(judge({ rules: [{ stage: 'helo', then: { defer: { text: 'Later' } } }] })).toMatchObject({
      outcome: 'deferred',
      stage: 'helo',
    })
  })

  it('stop ends the rules of its stage alone', () => {
    const rules = [
      { stage: 'mail', then: { stop: true } },
      { stage: 'mail', then: { weight: 1 } },
      { stage: 'header', then: { weight: 2 } },
    ]
    expect(judge({ rules })).toMatchObject({ weight: 2 })
  })

  it('accept ends the rules of all stages and the thresholds', () => {
    const rules = [
      { stage: 'connect', then: { weight: 50 } },
      { stage: 'mail', then: { accept: true } },
      { stage: 'complete', then: { reject: { text: 'No' } } },
    ]
    expect(judge({ markAt: 5, rejectAt: 8, rules })).toMatchObject({ outcome: 'accepted', weight: 50, marks: [] })
  })

  it('discard and quarantine of a message come into force at complete, and a refusal there overrides them', () => {
    const quarantine = { stage: 'mail', then: { quarantine: true } }
    const discard = { stage: 'helo', then: { discard: true } }
    expect(judge({ rules: [quarantine] })).toMatchObject({
      outcome: 'quarantined',
      stage: 'complete',
      decidingRuleId: 'rule-0',
    })
    expect(judge({ rules: [quarantine, discard] })).toMatchObject({ outcome: 'discarded', decidingRuleId: 'rule-1' })
    const heavy = { stage: 'rcpt', then: { weight: 9 } }
    expect(judge({ rejectAt: 8, rules: [quarantine, heavy] })).toMatchObject({ outcome: 'refused', reason: 'weight' })
    const reject = { stage: 'complete', then: { reject: { text: 'No' } } }
    expect(judge({ rules: [discard, reject] })).toMatchObject({ outcome: 'refused', decidingRuleId: 'rule-1' })
  })

  it('a refusal by a header rule is answered at complete, before its rules, unless told otherwise', () => {
    const rules = [
      { stage: 'header', then: { reject: { text: 'No' } } },
      { stage: 'complete', then: { weight: 1 } },
    ]
    const atComplete = judge({ rules })
    expect(atComplete).toMatchObject({
      outcome: 'refused',
      stage: 'complete',
      decidingRuleId: 'rule-0',
      messageBytes: 2_000,
    })
    expect(hitIds(atComplete)).toEqual(['rule-0'])
    expect(judge({ decideHeaderRulesAt: 'header', rules })).toMatchObject({ stage: 'header', messageBytes: null })
  })

  it('marks by rules are kept in their order, each once', () => {
    const rules = [
      { stage: 'helo', then: { markSubject: '[A]' } },
      { stage: 'mail', then: { addHeader: { name: 'X-B', value: 'yes' } } },
      { stage: 'complete', then: { markSubject: '[A]' } },
    ]
    expect(judge({ rules })).toMatchObject({ outcome: 'marked', marks: ['subject:[A]', 'header:X-B: yes'] })
  })
})

describe('recipients', () => {
  const two = { recipients: ['ann@corp.test', 'bo@corp.test'] }

  it('are refused one by one, and what a refused one added is forgotten', () => {
    const rules = [
      { stage: 'rcpt', then: { weight: 2, markSubject: '[X]' } },
      { stage: 'rcpt', when: { attribute: 'recipient', matches: '^ann' }, then: { reject: { text: 'No' } } },
    ]
    const event = judge({ rules }, two)
    expect(event.recipients.map((recipient) => recipient.outcome)).toEqual(['refused', 'accepted'])
    expect(event).toMatchObject({ outcome: 'marked', weight: 2 })
    expect(event.evaluations[0]).toMatchObject({
      recipient: 0,
      weightBefore: 0,
      weightAfter: 0,
      hits: [{ weight: 0 }, { weight: 0 }],
    })
    expect(judge({ rules }, { recipients: ['ann@corp.test'] })).toMatchObject({
      outcome: 'refused',
      stage: 'rcpt',
      weight: 0,
      marks: [],
    })
  })

  it('count the weight of each rule once for the message, whatever branch the others take', () => {
    const rules = [
      { stage: 'rcpt', when: { attribute: 'recipient', matches: '^ann' }, then: { weight: 2 }, else: { weight: 3 } },
    ]
    expect(judge({ rules }, two).weight).toBe(2)
    expect(judge({ rules }, { recipients: [...two.recipients].reverse() }).weight).toBe(3)
  })

  it('accepted by a rule end their own rcpt rules, and nobody is exempt from later stages', () => {
    const rules = [
      { stage: 'rcpt', when: { attribute: 'recipient', matches: '^ann' }, then: { accept: true } },
      { stage: 'rcpt', then: { reject: { text: 'No' } } },
      { stage: 'complete', then: { weight: 9 } },
    ]
    const event = judge({ rejectAt: 8, rules }, two)
    expect(event.recipients.map((recipient) => recipient.outcome)).toEqual(['accepted', 'refused'])
    expect(event).toMatchObject({ outcome: 'refused', reason: 'weight' })
  })

  it('that are discarded are answered as taken, and their weights count', () => {
    const rules = [
      { stage: 'rcpt', when: { attribute: 'recipient', matches: '^ann' }, then: { weight: 2, discard: true } },
    ]
    const event = judge({ rules }, two)
    expect(event.recipients.map((recipient) => recipient.outcome)).toEqual(['discarded', 'accepted'])
    expect(event).toMatchObject({ outcome: 'accepted', weight: 2 })
    expect(judge({ rules }, { recipients: ['ann@corp.test'] })).toMatchObject({ outcome: 'discarded' })
  })
})

describe('what is logged of a hit', () => {
  it('names the attribute that made it true and the text that matched, at most 64 octets of it', () => {
    const when = { all: [{ not: { attribute: 'helo', equals: 'x' } }, { attribute: 'subject', matches: 'ä.*' }] }
    const event = judge({ rules: [{ stage: 'header', when, then: {} }] }, { subject: `start ${'ä'.repeat(100)}` })
    expect(event.evaluations[0]!.hits[0]).toMatchObject({ attribute: 'subject', matchedText: 'ä'.repeat(32) })
  })

  it('does not name a part of a condition whose whole failed', () => {
    const failing = {
      all: [
        { attribute: 'helo', matches: 'a' },
        { attribute: 'sender', matches: 'nobody' },
      ],
    }
    const when = { any: [failing, { attribute: 'sender.domain', equals: 'partner.test' }] }
    const event = judge({ rules: [{ stage: 'mail', when, then: {} }] }, { helo: 'a' })
    expect(event.evaluations[0]!.hits[0]).toMatchObject({ attribute: 'sender.domain', matchedText: 'partner.test' })
  })

  it('shows a shadow rule with what it would have done, and does nothing of it', () => {
    const rules = [
      { stage: 'mail', mode: 'shadow', then: { weight: 9, markSubject: '[X]', reject: { text: 'No' } } },
      { stage: 'mail', then: { weight: 1 } },
    ]
    const event = judge({ markAt: 5, rejectAt: 8, rules })
    expect(event).toMatchObject({ outcome: 'accepted', weight: 1, marks: [] })
    expect(event.evaluations[0]!.hits[0]).toMatchObject({
      shadow: true,
      action: 'reject',
      weight: 9,
      marks: ['subject:[X]'],
    })
  })
})

const compile = (ruleset: Ruleset) => compileRuleset(ruleset)
const runs = { numRuns: 400 }
const told = (
  { evaluations, rulesetHash: _hash, ...event }: TransactionEnded,
  hide: (id: string) => boolean = () => false,
) => ({
  ...event,
  // Stages in which only hidden rules hit are as if nothing had.
  evaluations: evaluations
    .map((evaluation): Evaluation => ({ ...evaluation, hits: evaluation.hits.filter((hit) => !hide(hit.ruleId)) }))
    .filter((evaluation) => evaluation.hits.length > 0),
})

describe('for any rules and any mail', () => {
  it('every event has the shape of its schema', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, (ruleset, mail) => {
        const event = judgeLive(mail, compile(ruleset))
        expect([...Value.Errors(TransactionEnded, event)]).toEqual([])
      }),
      { numRuns: 100 },
    )
  })

  it('the hits that count add up to the weight, evaluation by evaluation', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, (ruleset, mail) => {
        const event = judgeLive(mail, compile(ruleset))
        let sum = 0
        for (const { hits, weightBefore, weightAfter } of event.evaluations) {
          expect(Math.round(weightBefore * 1_000)).toBe(sum)
          for (const hit of hits) if (!hit.shadow) sum += Math.round(hit.weight * 1_000)
          expect(Math.round(weightAfter * 1_000)).toBe(sum)
        }
        expect(Math.round(event.weight * 1_000)).toBe(sum)
      }),
      runs,
    )
  })

  it('a rule that never matches changes nothing, wherever it stands', () => {
    fc.assert(
      fc.property(
        generated.ruleset(),
        generated.mail,
        generated.branch,
        fc.nat(),
        fc.constantFrom('connect', 'mail', 'rcpt', 'complete'),
        (ruleset, mail, then, at, stage) => {
          const never = {
            id: 'never',
            revision: 1,
            name: 'never',
            stage,
            mode: 'active',
            when: { attribute: 'remote.ip', equals: 'nowhere' },
            then,
          } as const
          const rules = ruleset.rules.toSpliced(at % (ruleset.rules.length + 1), 0, never)
          expect(told(judgeLive(mail, compile({ ...ruleset, rules })))).toEqual(
            told(judgeLive(mail, compile(ruleset))),
          )
        },
      ),
      runs,
    )
  })

  it('a shadow rule changes nothing but that it is logged', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, generated.rule(), fc.nat(), (ruleset, mail, added, at) => {
        const shadow = { ...added, id: 'shadow', mode: 'shadow' } as const
        const rules = ruleset.rules.toSpliced(at % (ruleset.rules.length + 1), 0, shadow)
        const isShadow = (id: string): boolean => id === 'shadow'
        expect(told(judgeLive(mail, compile({ ...ruleset, rules })), isShadow)).toEqual(
          told(judgeLive(mail, compile(ruleset))),
        )
      }),
      runs,
    )
  })

  it('the order of rules that only add weight does not change the sum or the outcome', () => {
    const weighing = generated.ruleset(generated.weight.map((weight) => ({ weight })))
    const shuffled = weighing.chain((ruleset) =>
      fc
        .shuffledSubarray(ruleset.rules, { minLength: ruleset.rules.length, maxLength: ruleset.rules.length })
        .map((rules) => [ruleset, { ...ruleset, rules }] as const),
    )
    fc.assert(
      fc.property(shuffled, generated.mail, ([one, other], mail) => {
        const [left, right] = [judgeLive(mail, compile(one)), judgeLive(mail, compile(other))]
        expect([right.weight, right.outcome, right.marks]).toEqual([left.weight, left.outcome, left.marks])
      }),
      runs,
    )
  })

  it('equal input gives equal output, and progress is never changed in place', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, (ruleset, mail) => {
        const compiled = compile(ruleset)
        expect(judgeLive(mail, compiled)).toEqual(judgeLive(mail, compiled))
      }),
      runs,
    )
  })
})
