/** Levels: each is a rule set like any other, and a stricter one is stricter in everything. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import type { CheckResult, TransactionEnded } from '../contracts/event.ts'
import type { Stage } from '../contracts/vocabulary.ts'
import { compileRuleset } from './compile-ruleset.ts'
import { laxestLevel, levelRuleset, levelSettings, sameLevels, strictestLevel, type Levels } from './level-ruleset.ts'
import { levelGroups, levelRules } from './level-rules.ts'
import { isTaken } from './attributes.ts'
import { rulesetOf } from './ruleset-faults.ts'
import type { Branch } from './ruleset.ts'

const all = Array.from({ length: laxestLevel }, (_, index) => index + strictestLevel)

/** How hard a branch is on a message: a refusal more than any weight. */
function severity(branch: Branch | null): number {
  if (branch === null) return 0
  if (branch.reject !== undefined) return 1_000
  if (branch.defer !== undefined) return 999
  return branch.weight!
}

/** Mostly the first word, as with mail that people want. */
const result = (name: string, stage: Stage, [good, ...others]: string[]) => {
  const told = (word: string): CheckResult => ({ name, stage, result: word, detail: null, durationUs: 1 })
  return fc.oneof(
    { weight: 12, arbitrary: fc.constant(told(good!)) },
    { weight: 1, arbitrary: fc.constantFrom<CheckResult | null>(null, ...others.map(told)) },
  )
}

const mail: fc.Arbitrary<Mail> = fc
  .record({
    checks: fc.tuple(
      result('reverse-dns', 'connect', ['confirmed', 'unconfirmed', 'none', 'unknown']),
      result('helo-plausible', 'helo', ['ok', 'syntax', 'ours', 'unresolvable', 'unknown']),
      result('sender-list', 'mail', ['none', 'white', 'black']),
      result('sender-domain', 'mail', ['mx', 'none', 'unknown']),
      result('spf', 'mail', ['pass', 'fail', 'softfail', 'unknown']),
      result('rate-remote', 'mail', ['within', 'over']),
      result('rate-sender', 'mail', ['within', 'over']),
      result('trap', 'rcpt', ['clear', 'listed']),
      result('dmarc', 'complete', ['pass', 'fail']),
      result('dkim', 'complete', ['pass', 'fail', 'none']),
    ),
    greylist: fc.array(fc.constantFrom('wait', 'known', 'known', 'passed', 'unknown'), {
      minLength: 8,
      maxLength: 8,
    }),
    remote: fc.record({
      networkClass: fc.constantFrom('public', 'public', 'public', 'device', 'trusted'),
      country: fc.constantFrom('DE', 'DE', 'KP', null),
      reverseName: fc.constantFrom('mx.partner.test', 'x.dsl.7.test', null),
    }),
    tls: fc.constantFrom('TLSv1.3', null),
    helo: fc.constantFrom('mx.partner.test', 'localhost'),
    sender: fc.constantFrom('bo@partner.test', '', 'x1234567@y.test'),
    recipients: fc.array(fc.constantFrom('ann@corp.test', 'ben@corp.test', '!gone@corp.test'), {
      minLength: 1,
      maxLength: 8,
    }),
    subject: fc.constantFrom('hello', 'hello', 'hello', 'casino', 'ACT NOW OR NEVER!!!', 'urgent lottery', null),
    headers: fc.subarray([
      { name: 'From', value: 'bo@partner.test' },
      { name: 'Date', value: 'Mon, 02 Nov 2026 10:00:00 +0100' },
      { name: 'Message-ID', value: '<1@partner.test>' },
      { name: 'Precedence', value: 'bulk' },
    ]),
    attachments: fc.subarray(
      [
        { name: 'a.exe', type: 'x/y', sizeBytes: 1 },
        { name: 'a.xlsm', type: 'x/y', sizeBytes: 1 },
        { name: 'a.rar', type: 'x/y', sizeBytes: 1 },
      ],
      { maxLength: 1 },
    ),
  })
  .map(({ checks, greylist, ...rest }) => ({
    ...rest,
    checks: [
      ...checks.filter((check) => check !== null),
      ...greylist.map((word, recipient) => ({
        name: 'greylist',
        stage: 'rcpt' as const,
        result: word,
        detail: null,
        durationUs: 1,
        recipient,
      })),
    ],
  })) as fc.Arbitrary<Mail>

/** Positions of the recipients that did not get it. */
function turnedAway(event: TransactionEnded, count: number): Set<number> {
  if (event.outcome === 'refused' || event.outcome === 'deferred')
    return new Set(Array.from({ length: count }, (_, index) => index))
  return new Set(event.recipients.flatMap((recipient, index) => (isTaken(recipient) ? [] : [index])))
}

describe('a level', () => {
  it.each(all)('%d is a rule set without faults, and says in its name what it is', (level) => {
    const ruleset = levelRuleset(sameLevels(level), { farAway: ['KP'] })
    expect(rulesetOf(JSON.parse(JSON.stringify(ruleset)))).toEqual({ ruleset })
    expect(ruleset.name).toContain(`geography ${level}`)
    for (const { ruleId, branch } of levelSettings(sameLevels(level)))
      expect(ruleset.rules.find(({ id }) => id === ruleId)?.then ?? null, ruleId).toEqual(branch)
  })

  it('adds, rule by rule, never more than a stricter one, and the strictest more than the laxest', () => {
    for (const group of levelGroups) {
      expect(levelRules[group].length).toBeGreaterThan(0)
      const byLevel = all.map((level) =>
        levelSettings(sameLevels(level)).filter((setting) => setting.group === group),
      )
      for (const [index] of levelRules[group].entries()) {
        const severities = byLevel.map((settings) => severity(settings[index]!.branch))
        expect(severities, byLevel[0]![index]!.ruleId).toEqual([...severities].sort((left, right) => right - left))
        expect(severities[0]).toBeGreaterThan(severities.at(-1)!)
      }
    }
  })

  it('of one group changes the rules of no other', () => {
    const levels: Levels = { ...sameLevels(5), sender: 1 }
    const changed = levelSettings(levels).filter((setting, index) => {
      return JSON.stringify(setting.branch) !== JSON.stringify(levelSettings(sameLevels(5))[index]!.branch)
    })
    expect(changed.length).toBeGreaterThan(3)
    expect(new Set(changed.map(({ group }) => group))).toEqual(new Set(['sender']))
  })

  it('that is none is refused', () => {
    for (const level of [0, 11, 1.5, Number.NaN])
      expect(() => levelRuleset(sameLevels(level))).toThrow(/whole number from 1 to 10/)
  })

  it('turns away whomever a laxer one turns away, for every recipient of any mail', () => {
    const levels = fc.record(
      Object.fromEntries(levelGroups.map((group) => [group, fc.constantFrom(...all)])),
    ) as fc.Arbitrary<Levels>
    let refused = 0
    let taken = 0
    fc.assert(
      fc.property(levels, levels, fc.array(mail, { minLength: 1, maxLength: 5 }), (one, other, mails) => {
        const stricter = Object.fromEntries(
          levelGroups.map((group) => [group, Math.min(one[group], other[group])]),
        ) as Levels
        const [strict, lax] = [stricter, one].map((chosen) =>
          compileRuleset(levelRuleset(chosen, { farAway: ['KP'] })),
        )
        for (const each of mails) {
          const count = each.recipients!.length
          const byStrict = turnedAway(judgeLive(each, strict!), count)
          for (const index of turnedAway(judgeLive(each, lax!), count)) expect(byStrict).toContain(index)
          if (byStrict.size === count) refused += 1
          else taken += 1
        }
      }),
      { numRuns: 250 },
    )
    expect(Math.min(refused, taken)).toBeGreaterThan(50)
  })
})
