/** The figures of a backtest, each from mails whose answer can be told by hand. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as generated from '../../test/generated-rules.ts'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import type { BacktestResult } from '../contracts/backtest.ts'
import type { TransactionEnded } from '../contracts/event.ts'
import { backtestSampleSize, BacktestTally } from './backtest-tally.ts'
import { compileRuleset, type CompiledRuleset } from './compile-ruleset.ts'
import { replayTransaction } from './replay-transaction.ts'
import { rulesetOf } from './ruleset-faults.ts'

function compiled(draft: { markAt?: number; rejectAt?: number; rules: object[] }): CompiledRuleset {
  const result = rulesetOf({ ...draft, rules: draft.rules.map((rule, index) => ({ id: `rule-${index}`, ...rule })) })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  return compileRuleset(result.ruleset)
}

const none = compiled({ rules: [] })
const subject = (word: string) => ({ attribute: 'subject', matches: word })
const at = (stage: string, when: object, then: object) => ({ stage, when, then })
const reject = { reject: { text: 'No' } }

let serial = 0
function live(mail: Mail, rules: CompiledRuleset = none): TransactionEnded {
  serial += 1
  const event = judgeLive(mail, rules)
  const transactionId = `019a4000-0000-7000-8000-${String(serial).padStart(12, '0')}`
  return { ...event, transactionId, dataBytes: event.messageBytes ?? 0 }
}

function tally(
  rules: CompiledRuleset,
  events: TransactionEnded[],
  judgedBy: CompiledRuleset | null = none,
): BacktestResult {
  const all = new BacktestTally(rules)
  for (const event of events) all.add(event, judgedBy)
  return all.result()
}

describe('a backtest', () => {
  it('puts each transaction into one cell, with a sample of ids that is bounded', () => {
    const events = [
      ...Array.from({ length: 30 }, () => live({ subject: 'casino' })),
      ...Array.from({ length: 3 }, () => live({ subject: 'hello' })),
    ]
    const result = tally(compiled({ rules: [at('header', subject('casino'), reject)] }), events)
    expect(result.transactionCount).toBe(33)
    expect(result.counts).toMatchObject({ same: 3, 'newly-refused': 30 })
    expect(result.cells).toMatchObject([
      {
        cell: 'newly-refused:accepted:refused',
        before: 'accepted',
        after: 'refused',
        transactionCount: 30,
        receivedBytes: 60_000,
      },
      { cell: 'same:accepted:accepted', transactionCount: 3 },
    ])
    expect(result.cells[0]!.sampleIds).toEqual(
      events.slice(0, backtestSampleSize).map((event) => event.transactionId),
    )
  })

  it('tells octets that would not be received, and of what was never sent only a floor or that nobody knows', () => {
    const early = compiled({ rules: [at('mail', { attribute: 'sender', matches: 'bad' }, reject)] })
    const events = [
      live({ sender: 'bad@x.test', messageBytes: 5_000 }),
      live({
        sender: 'good@x.test',
        messageBytes: 700,
        recipients: ['a@corp.test', '!gone@corp.test', 'b@corp.test'],
      }),
      live({ recipients: ['!gone@corp.test'], declaredSizeBytes: 900 }),
      live({ recipients: ['!gone@corp.test'] }),
      { ...live({ recipients: ['!gone@corp.test'], declaredSizeBytes: 90_000_000 }), reason: 'size-limit' as const },
    ]
    const { before, after } = tally(early, events)
    expect(before).toMatchObject({ acceptedCount: 2, refusedCount: 3, acceptedBytes: 5_700, billedRecipientCount: 3 })
    expect(before.refusedBeforeData).toEqual({
      transactionCount: 3,
      knownBytes: 0,
      declaredCount: 1,
      declaredFloorBytes: 900,
      unknownCount: 1,
      sizeLimitCount: 1,
    })
    expect(after).toMatchObject({ acceptedCount: 1, refusedCount: 4, acceptedBytes: 700, billedRecipientCount: 2 })
    expect(after.refusedBeforeData).toEqual({
      transactionCount: 4,
      knownBytes: 5_000,
      declaredCount: 1,
      declaredFloorBytes: 900,
      unknownCount: 1,
      sizeLimitCount: 1,
    })
    const late = tally(compiled({ rules: [at('complete', { attribute: 'sender', matches: 'bad' }, reject)] }), events)
    expect(late.after.refusedAfterData).toEqual({ transactionCount: 1, receivedBytes: 5_000 })
    expect(late.after.refusedBeforeData.knownBytes).toBe(0)
  })

  it('keeps what is not decidable out of the figures of before and after, and says why', () => {
    const blocking = compiled({ rules: [at('mail', { attribute: 'sender', matches: 'bad' }, reject)] })
    const asking = compiled({ rules: [at('connect', { country: 'KP' }, reject)] })
    const blocked = tally(none, [live({ sender: 'bad@x.test' }, blocking), live({}, blocking)], blocking)
    expect(blocked.undecidable).toEqual([{ reason: 'ended-before', of: 'rcpt', transactionCount: 1 }])
    expect(blocked.before).toMatchObject({ acceptedCount: 1, refusedCount: 0 })
    expect(tally(asking, [live({})]).undecidable).toEqual([
      { reason: 'not-logged', of: 'remote.country', transactionCount: 1 },
    ])
  })

  it('tells of each rule whether it was the cause alone, or one of several, or none', () => {
    const rules = compiled({
      markAt: 5,
      rejectAt: 8,
      rules: [
        at('helo', { attribute: 'helo', matches: 'x' }, { weight: 5 }),
        at('header', subject('casino'), { weight: 4 }),
        at('header', subject('pills'), { weight: 9 }),
        at('header', subject('gold'), reject),
        at('mail', { attribute: 'sender', matches: 'bad' }, reject),
        { ...at('header', subject('.'), { weight: 50 }), mode: 'shadow' },
        at('header', subject('never'), { weight: 1 }),
        at('header', subject('tag'), { markSubject: '[T]' }),
      ],
    })
    const events = [
      // 5 + 4: without either it would be marked or let through.
      live({ helo: 'x', subject: 'casino' }),
      // 4 + 9: the second alone suffices.
      live({ subject: 'casino pills' }),
      // Refused by a rule: weight does not matter, and without the rule the weight refuses it too.
      live({ subject: 'gold pills' }),
      live({ subject: 'gold' }),
      live({ sender: 'bad@x.test', subject: 'hello' }),
      live({ subject: 'tag' }),
    ]
    const effects = Object.fromEntries(tally(rules, events).rules.map((effect) => [effect.ruleId, effect]))
    const causes = (index: number) => {
      const { hitCount, soleCauseCount, perhapsSoleCauseCount, redundantCount } = effects[`rule-${index}`]!
      expect(soleCauseCount + perhapsSoleCauseCount + redundantCount).toBe(hitCount)
      return [hitCount, soleCauseCount, redundantCount]
    }
    expect(causes(0)).toEqual([1, 1, 0])
    expect(causes(1)).toEqual([2, 1, 1])
    expect(causes(2)).toEqual([2, 1, 1])
    expect(causes(3)).toEqual([2, 1, 1])
    expect(causes(4)).toEqual([1, 1, 0])
    // Refused at mail, the fifth never came to its header.
    expect(causes(5)).toEqual([3, 0, 3])
    expect(causes(6)).toEqual([0, 0, 0])
    expect(causes(7)).toEqual([1, 1, 0])
  })

  it('says perhaps where without the rule something would have been sent that nobody knows', () => {
    const rules = compiled({ rules: [at('mail', { attribute: 'sender', matches: 'bad' }, reject)] })
    const [effect] = tally(rules, [live({ sender: 'bad@x.test' }, rules)], rules).rules
    expect(effect).toMatchObject({ hitCount: 1, soleCauseCount: 0, perhapsSoleCauseCount: 1, redundantCount: 0 })
  })

  it('finds the cause of any mail under any rules as running it again without each rule does', () => {
    fc.assert(
      fc.property(generated.ruleset(), generated.mail, (ruleset, mail) => {
        const rules = compileRuleset(ruleset)
        const event = live(mail, rules)
        for (const effect of tally(rules, [event], rules).rules) {
          if (effect.mode !== 'active' || effect.hitCount === 0) continue
          const without = compileRuleset({
            ...ruleset,
            rules: ruleset.rules.filter(({ id }) => id !== effect.ruleId),
          })
          const { after } = replayTransaction(event, without)
          if (after.outcome === null) expect(effect.perhapsSoleCauseCount).toBe(1)
          else if (after.outcome !== event.outcome) expect(effect.soleCauseCount).toBe(1)
          else if (effect.redundantCount === 1)
            expect(after.recipientOutcomes).toEqual(event.recipients.map(({ outcome }) => outcome))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('draws the curve of what weight would refuse at other thresholds', () => {
    const rules = compiled({
      rejectAt: 8,
      rules: [
        at('header', subject('one'), { weight: 1 }),
        at('header', subject('six'), { weight: 6 }),
        at('header', subject('nine'), { weight: 9 }),
        at('header', subject('gold'), reject),
      ],
    })
    const subjects = ['one', 'one', 'six', 'six nine', 'nine', 'gold nine', 'free']
    const { curve } = tally(
      rules,
      subjects.map((text) => live({ subject: text, messageBytes: 10 })),
    )
    const refusedAt = (rejectAt: number) => curve.find((point) => point.rejectAt === rejectAt)
    expect(refusedAt(1)).toEqual({ rejectAt: 1, refusedCount: 5, refusedBytes: 50 })
    expect(refusedAt(1.5)).toMatchObject({ refusedCount: 3 })
    expect(refusedAt(6)).toMatchObject({ refusedCount: 3 })
    expect(refusedAt(8)).toMatchObject({ refusedCount: 2 })
    expect(refusedAt(9.5)).toMatchObject({ refusedCount: 1 })
    expect(curve.at(-1)).toMatchObject({ rejectAt: 15.5, refusedCount: 0 })
  })
})
