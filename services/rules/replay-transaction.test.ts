import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as generated from '../../test/generated-rules.ts'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import { attributesOf } from './attributes.ts'
import { compileRuleset, type CompiledRuleset } from './compile-ruleset.ts'
import { replayTransaction } from './replay-transaction.ts'
import { rulesetOf } from './ruleset-faults.ts'

const any = { attribute: 'remote.ip', exists: true }

type Draft = { markAt?: number; rejectAt?: number; decideHeaderRulesAt?: string; rules: object[] }

function compiled(draft: Draft): CompiledRuleset {
  const rules = draft.rules.map((rule, index) => ({ id: `rule-${index}`, when: any, ...rule }))
  const result = rulesetOf({ ...draft, rules })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  return compileRuleset(result.ruleset)
}

const none = compiled({ rules: [] })
const reject = { reject: { text: 'No' } }

describe('replaying the rule set that judged', () => {
  it('gives no difference for any rules and any mail', () => {
    fc.assert(
      fc.property(generated.ruleset(), fc.array(generated.mail, { minLength: 1, maxLength: 5 }), (ruleset, mails) => {
        const rules = compileRuleset(ruleset)
        for (const mail of mails) {
          const event = judgeLive(mail, rules)
          const replay = replayTransaction(event, rules)
          expect(replay).toMatchObject({
            difference: 'same',
            newlyRefusedRecipients: [],
            newlyAcceptedRecipients: [],
          })
          expect(replay.after.outcome).toBe(event.outcome)
          expect(replay.after.decidingRuleId).toBe(event.decidingRuleId)
        }
      }),
      { numRuns: 600 },
    )
  })

  it('gives no difference either when it is compiled anew and the old one is known', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, (ruleset, mail) => {
        const [live, again] = [compileRuleset(ruleset), compileRuleset(structuredClone(ruleset))]
        expect(replayTransaction(judgeLive(mail, live), again, live).difference).toBe('same')
      }),
      { numRuns: 300 },
    )
  })

  it('gives no difference for what the gateway refused without rules', () => {
    const rules = compiled({ rules: [{ stage: 'connect', then: reject }] })
    expect(replayTransaction(judgeLive({ isSessionRefusedByGateway: true }, rules), rules).difference).toBe('same')
  })
})

describe('a transaction broken off in its header', () => {
  it('stays broken off, since nobody knows whether the rules would have seen the whole header', () => {
    const missing = { attribute: 'header.X-Late', exists: false }
    const rules = [{ stage: 'header', when: missing, then: reject }]
    const decidedAtHeader = compiled({ decideHeaderRulesAt: 'header', rules })
    const event = judgeLive({ abortAfter: 'header' }, none)
    event.timings.headerUs = null
    expect(replayTransaction(event, decidedAtHeader)).toMatchObject({
      difference: 'same',
      after: { outcome: 'aborted' },
    })
  })
})

describe('replaying another rule set', () => {
  it('agrees with judging the same mail live, wherever it is decidable', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.ruleset(), generated.mail, (old, draft, mail) => {
        // What was broken off, or never sent because of old rules, cannot be compared with a whole mail.
        const whole = { ...mail, abortAfter: null }
        const [before, after] = [compileRuleset(old), compileRuleset(draft)]
        const event = judgeLive(whole, before)
        const replay = replayTransaction(event, after)
        if (replay.difference === 'not-decidable') return
        const live = judgeLive(whole, after)
        expect(replay.after.outcome).toBe(live.outcome)
        expect(replay.after.progress.marks).toEqual(live.marks)
        expect(replay.after.recipientOutcomes.slice(0, live.recipients.length)).toEqual(
          live.recipients.length === 0
            ? replay.after.recipientOutcomes.slice(0, 0)
            : live.recipients.map((one) => one.outcome),
        )
      }),
      { numRuns: 600 },
    )
  })

  const heavy = compiled({ markAt: 5, rejectAt: 8, rules: [{ stage: 'complete', then: { weight: 9 } }] })
  const medium = compiled({ markAt: 5, rejectAt: 8, rules: [{ stage: 'complete', then: { weight: 6 } }] })
  const light = compiled({ markAt: 5, rejectAt: 8, rules: [{ stage: 'complete', then: { weight: 1 } }] })
  const atMail = compiled({ rules: [{ stage: 'mail', then: reject }] })
  const ann = { stage: 'rcpt', when: { attribute: 'recipient', matches: '^ann' } }
  const withoutAnn = compiled({ rules: [{ ...ann, then: reject }] })
  const withoutAll = compiled({ rules: [{ stage: 'rcpt', then: reject }] })
  const annDiscarded = compiled({ rules: [{ ...ann, then: { discard: true } }] })
  const two: Mail = { recipients: ['ann@corp.test', 'bo@corp.test'] }

  it.each([
    ['newly-refused', 'accepted, now too heavy', light, heavy, {}],
    ['newly-accepted', 'was too heavy', heavy, light, {}],
    ['mark-or-weight-changed', 'heavy enough to be marked', light, medium, {}],
    ['mark-or-weight-changed', 'another weight', none, light, {}],
    ['newly-refused', 'refused at mail now', none, atMail, {}],
    ['not-decidable', 'refused at mail then, so nothing more was sent', atMail, none, {}],
    ['not-decidable', 'no recipient was left, so no message was sent', withoutAll, none, two],
    ['newly-accepted', 'one recipient of two was refused, the message is known', withoutAnn, none, two],
    ['newly-refused', 'one recipient of two is refused now', none, withoutAnn, two],
    ['newly-refused', 'every recipient is refused now', none, withoutAll, two],
    ['ending-changed', 'one recipient of two is discarded now', none, annDiscarded, two],
    ['same', 'refused then and now', atMail, atMail, {}],
    [
      'ending-changed',
      'refused at mail then, and a stage earlier now',
      atMail,
      compiled({ rules: [{ stage: 'helo', then: reject }] }),
      {},
    ],
    [
      'ending-changed',
      'deferred in place of refused',
      heavy,
      compiled({ rules: [{ stage: 'mail', then: { defer: { text: 'Later' } } }] }),
      {},
    ],
    [
      'ending-changed',
      'quarantined in place of delivered',
      none,
      compiled({ rules: [{ stage: 'complete', then: { quarantine: true } }] }),
      {},
    ],
    ['same', 'unknown recipients stay unknown', none, none, { recipients: ['!gone@corp.test'] }],
    ['same', 'broken off stays broken off', none, heavy, { abortAfter: 'header' }],
  ] as const)('%s: %s', (difference, _why, before, after, mail) => {
    expect(replayTransaction(judgeLive(mail as Mail, before), after).difference).toBe(difference)
  })

  it('names the recipients that change sides', () => {
    expect(replayTransaction(judgeLive(two, none), withoutAnn).newlyRefusedRecipients).toEqual([0])
    expect(replayTransaction(judgeLive(two, withoutAnn), none).newlyAcceptedRecipients).toEqual([0])
  })

  it('names the stage that was never reached where it cannot decide', () => {
    expect(replayTransaction(judgeLive({}, atMail), none).after).toMatchObject({ outcome: null, stage: 'rcpt' })
  })

  it.each([
    ['header.DKIM-Signature', { stage: 'header', when: { attribute: 'header.DKIM-Signature', exists: false } }],
    ['check.spf', { stage: 'mail', when: { check: 'spf', is: 'fail' } }],
    ['check.spf', { stage: 'mail', when: { check: 'spf', is: 'unknown' } }],
    ['check.spf', { stage: 'mail', when: { attribute: 'check.spf', matches: 'x' } }],
    ['remote.country', { stage: 'connect', when: { country: 'DE' } }],
    ['remote.reverseName', { stage: 'connect', when: { attribute: 'remote.reverseName', exists: false } }],
    [
      'remote.forwardConfirmed',
      { stage: 'rcpt', when: { not: { attribute: 'remote.forwardConfirmed', equals: true } } },
    ],
  ])('cannot decide by %s, which nobody looked up or logged', (attribute, rule) => {
    const { difference, undecidable } = replayTransaction(
      judgeLive({}, none),
      compiled({ rules: [{ ...rule, then: { weight: 9 } }] }),
      none,
    )
    expect(difference).toBe('not-decidable')
    expect(undecidable).toEqual({ reason: 'not-logged', attributes: [attribute] })
  })

  it('decides by what is there, by what the old rules asked for too, and by a header that is always logged', () => {
    const byCountry = compiled({ rules: [{ stage: 'connect', when: { country: 'DE' }, then: { weight: 9 } }] })
    const byCountryToo = compiled({
      rules: [{ stage: 'connect', when: { country: 'FR' }, mode: 'shadow', then: {} }],
    })
    const byName = compiled({
      rules: [{ stage: 'connect', when: { attribute: 'remote.reverseName', exists: false }, then: { weight: 9 } }],
    })
    const byMailer = compiled({
      rules: [{ stage: 'header', when: { attribute: 'header.X-Mailer', exists: false }, then: { weight: 9 } }],
    })
    const difference = (mail: Mail, rules: CompiledRuleset, judgedBy: CompiledRuleset) =>
      replayTransaction(judgeLive(mail, judgedBy), rules, judgedBy).difference
    expect(difference({ remote: { country: 'DE' } }, byCountry, none)).toBe('mark-or-weight-changed')
    expect(difference({}, byCountry, byCountryToo)).toBe('same')
    expect(difference({ remote: { forwardConfirmed: false } }, byName, none)).toBe('mark-or-weight-changed')
    expect(difference({}, byMailer, none)).toBe('mark-or-weight-changed')
    expect(replayTransaction({ ...judgeLive({}, none), truncated: ['headers'] }, byMailer, none).difference).toBe(
      'not-decidable',
    )
  })

  it('takes an answer that was given later then, where it would have been the same, and not one that counts', () => {
    const asking = (stage: string, check: string, is: string) =>
      compiled({ rules: [{ stage, when: { check, is }, then: { weight: 9 } }] })
    const answered = (name: string, result: string): Mail => ({
      checks: [{ name, stage: 'complete', result, detail: null, durationUs: 1 }],
    })
    const moved = (check: string, is: string, answer: string, mail: Mail = answered(check, answer)) =>
      replayTransaction(judgeLive(mail, asking('complete', check, is)), asking('mail', check, is), none)
    expect(moved('spf', 'fail', 'fail')).toMatchObject({
      difference: 'same',
      after: { progress: { weightThousandths: 9_000 } },
    })
    expect(moved('spf', 'fail', 'pass').difference).toBe('same')
    expect(moved('spf', 'fail', 'pass', {}).difference).toBe('not-decidable')
    expect(moved('rate-sender', 'over', 'over').difference).toBe('not-decidable')
  })

  it('does not take for answered what the old rules would have asked after they had accepted', () => {
    const asks = { id: 'asks', stage: 'mail', when: { check: 'spf', is: 'fail' }, then: { weight: 9 } }
    const accepting = compiled({ rules: [{ stage: 'helo', then: { accept: true } }, asks] })
    const asking = compiled({ rules: [asks] })
    expect(replayTransaction(judgeLive({}, accepting), asking, accepting).difference).toBe('not-decidable')
    expect(replayTransaction(judgeLive({}, asking), asking, asking).difference).toBe('same')
  })

  it('lets a refusal stand that what is not known could not have prevented', () => {
    const refusing = { stage: 'mail', then: { reject: { text: 'No' } } }
    const asking = (branch: object) => ({ stage: 'connect', when: { country: 'DE' }, then: branch })
    const difference = (rules: object[], more: object = {}) =>
      replayTransaction(judgeLive({}, none), compiled({ ...more, rules }), none).difference
    expect(difference([asking({ weight: -5 }), refusing])).toBe('newly-refused')
    expect(difference([asking({ accept: true }), refusing])).toBe('not-decidable')
    const heavyRule = { stage: 'mail', then: { weight: 9 } }
    expect(difference([asking({ weight: 1 }), heavyRule], { rejectAt: 8 })).toBe('newly-refused')
    expect(difference([asking({ weight: -1 }), heavyRule], { rejectAt: 8 })).toBe('not-decidable')
    expect(difference([asking({})])).toBe('same')
  })

  it('tells another stage, other codes and another way of delivery, and not another text', () => {
    const reject = (more: object, stage = 'mail') =>
      compiled({ rules: [{ stage, then: { reject: { text: 'No', ...more } } }] })
    const difference = (before: CompiledRuleset, after: CompiledRuleset) =>
      replayTransaction(judgeLive({}, before), after).difference
    expect(difference(reject({}), reject({ text: 'Never' }))).toBe('same')
    expect(difference(reject({}), reject({ code: 554 }))).toBe('ending-changed')
    expect(difference(reject({}), reject({ enhanced: '5.7.0' }))).toBe('ending-changed')
    expect(difference(reject({}), reject({}, 'helo'))).toBe('ending-changed')
    const copy = compiled({ rules: [{ stage: 'rcpt', then: { copy: 'archive@corp.test' } }] })
    expect(difference(none, copy)).toBe('ending-changed')
    expect(difference(copy, copy)).toBe('same')
    const copyElsewhere = compiled({ rules: [{ stage: 'rcpt', then: { copy: 'other@corp.test' } }] })
    expect(replayTransaction(judgeLive({}, copy), copyElsewhere, copy).difference).toBe('ending-changed')
  })
})

describe('attributes of a logged event', () => {
  it('never hold at a stage what came later', () => {
    fc.assert(
      fc.property(generated.mail, (mail) => {
        const event = judgeLive({ ...mail, abortAfter: null, tls: 'TLSv1.3', authUser: 'ann' }, none)
        expect(attributesOf(event, 'connect', null)).toMatchObject({ helo: null, sender: null, checks: [] })
        expect(attributesOf(event, 'helo', null)).toMatchObject({
          tls: null,
          authUser: null,
          sender: null,
          declaredSizeBytes: null,
        })
        expect(attributesOf(event, 'mail', null)).toMatchObject({ recipients: [], recipientCount: 0 })
        expect(attributesOf(event, 'rcpt', 0)).toMatchObject({
          recipientCount: 1,
          refusedRecipientCount: 0,
          headers: [],
          subject: null,
        })
        expect(attributesOf(event, 'header', null)).toMatchObject({ attachments: [], messageBytes: null })
      }),
      { numRuns: 50 },
    )
  })
})
