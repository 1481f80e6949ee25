/** Rule sets and mail out of fast-check that meet each other often: for property tests of rules. */
import fc from 'fast-check'
import type { Stage } from '../services/contracts/vocabulary.ts'
import { stages } from '../services/contracts/vocabulary.ts'
import type { Branch, Condition, Rule, Ruleset } from '../services/rules/ruleset.ts'
import type { Mail } from './live-transaction.ts'

const word = fc.constantFrom('alpha', 'beta', 'gamma', 'delta')

const conditionsOf: Record<Stage, fc.Arbitrary<Condition>[]> = {
  connect: [
    fc.constantFrom<Condition>(
      { attribute: 'remote.forwardConfirmed', equals: false },
      { attribute: 'remote.ip', cidr: '192.0.2.0/24' },
      { country: ['DE', 'FR'] },
    ),
  ],
  helo: [word.map((one): Condition => ({ attribute: 'helo', matches: `^${one}` }))],
  mail: [
    word.map((one): Condition => ({ attribute: 'sender', matches: `${one}.*@` })),
    fc.constant<Condition>({ attribute: 'sender.domain', in: 'partners' }),
    fc.nat(3).map((one): Condition => ({ attribute: 'declaredSizeBytes', above: one * 1_000 })),
    fc.constantFrom<Condition>(
      { check: 'spf', is: 'fail' },
      { check: 'spf', is: 'unknown' },
      { attribute: 'check.spf', matches: '^p' },
    ),
  ],
  rcpt: [
    word.map((one): Condition => ({ attribute: 'recipient', matches: one })),
    fc.nat(3).map((one): Condition => ({ attribute: 'refusedRecipientCount', above: one })),
    fc.constantFrom<Condition>(
      { check: 'greylist', is: 'wait' },
      { not: { check: 'greylist', is: 'known' } },
      { attribute: 'check.greylist', equals: 'passed' },
    ),
  ],
  header: [
    word.map((one): Condition => ({ attribute: 'subject', matches: `\\b${one}\\b` })),
    word.map((one): Condition => ({ attribute: 'header.X-Kind', equals: one })),
  ],
  complete: [
    word.map((one): Condition => ({ attribute: 'attachment.name', matches: `${one}\\.(exe|pdf)$` })),
    fc.nat(5).map((one): Condition => ({ attribute: 'messageBytes', above: one * 1_000 })),
  ],
}

export const weight = fc.integer({ min: -5_000, max: 5_000 }).map((thousandths) => thousandths / 1_000)

export function condition(stage: Stage): fc.Arbitrary<Condition> {
  const known = stages.slice(0, stages.indexOf(stage) + 1).flatMap((one) => conditionsOf[one])
  const leaf = fc.oneof(...conditionsOf[stage], ...known)
  return fc.oneof(
    { weight: 5, arbitrary: leaf },
    { weight: 1, arbitrary: leaf.map((not): Condition => ({ not })) },
    { weight: 1, arbitrary: fc.array(leaf, { minLength: 1, maxLength: 3 }).map((all): Condition => ({ all })) },
    { weight: 1, arbitrary: fc.array(leaf, { minLength: 1, maxLength: 3 }).map((any): Condition => ({ any })) },
  )
}

const effect: fc.Arbitrary<Branch> = fc.oneof(
  fc.constant<Branch>({}),
  word.map((one): Branch => ({ markSubject: `[${one}]` })),
  word.map((one): Branch => ({ addHeader: { name: 'X-Rule', value: one } })),
)

const action = fc.oneof(
  { weight: 12, arbitrary: fc.constant<Branch>({}) },
  {
    weight: 5,
    arbitrary: fc.constantFrom<Branch>(
      { reject: { text: 'no' } },
      { defer: { text: 'later' } },
      { discard: true },
      { quarantine: true },
      { redirect: 'other@corp.test' },
      { copy: 'archive@corp.test' },
      { stop: true },
      { accept: true },
    ),
  },
)

export const branch: fc.Arbitrary<Branch> = fc
  .tuple(weight, effect, action)
  .map((parts) => ({ weight: parts[0], ...parts[1], ...parts[2] }))
/** Adds weight and marks, and ends nothing. */
export const mildBranch: fc.Arbitrary<Branch> = fc
  .tuple(weight, effect)
  .map((parts) => ({ weight: parts[0], ...parts[1] }))

export function rule(branches: fc.Arbitrary<Branch> = branch): fc.Arbitrary<Omit<Rule, 'id'>> {
  return fc.constantFrom(...stages).chain((stage) =>
    fc
      .record({
        revision: fc.integer({ min: 1, max: 9 }),
        mode: fc.constantFrom('active', 'active', 'active', 'shadow', 'off'),
        when: condition(stage),
        then: branches,
        else: fc.option(branches, { nil: undefined }),
        unknown: fc.option(branches, { nil: undefined }),
      })
      .map(({ else: otherwise, unknown, ...rest }) => ({
        ...rest,
        name: 'generated',
        stage,
        ...(otherwise === undefined ? {} : { else: otherwise }),
        ...(unknown === undefined ? {} : { unknown }),
      })),
  )
}

export function ruleset(branches: fc.Arbitrary<Branch> = branch): fc.Arbitrary<Ruleset> {
  return fc
    .record({
      markAt: fc.option(weight, { nil: null }),
      above: fc.nat(5_000).map((thousandths) => thousandths / 1_000),
      hasReject: fc.boolean(),
      subjectTag: fc.option(fc.constant('[SPAM]'), { nil: undefined }),
      decideHeaderRulesAt: fc.constantFrom('complete', 'header'),
      rules: fc.array(rule(branches), { maxLength: 12 }),
    })
    .map(({ above, hasReject, subjectTag, rules, ...rest }) => ({
      ...rest,
      rejectAt: hasReject ? Math.round(((rest.markAt ?? 0) + above) * 1_000) / 1_000 : null,
      ...(subjectTag === undefined ? {} : { subjectTag }),
      lists: { partners: ['partner.test', 'alpha.test'] },
      rules: rules.map((one, index) => ({ id: `rule-${index}`, ...one })),
    }))
}

const address = fc.tuple(word, word).map(([local, domain]) => `${local}@${domain}.test`)

export const mail: fc.Arbitrary<Mail> = fc
  .record({
    forwardConfirmed: fc.constantFrom(true, false, null),
    country: fc.constantFrom('DE', 'NL', null),
    ip: fc.constantFrom('192.0.2.10', '198.51.100.1', '2001:db8::1'),
    helo: word,
    sender: fc.oneof(address, fc.constant('')),
    declaredSizeBytes: fc.option(fc.nat(4_000), { nil: null }),
    recipients: fc.array(
      fc.tuple(fc.boolean(), address).map(([isUnknown, one]) => (isUnknown ? `!${one}` : one)),
      { minLength: 1, maxLength: 5 },
    ),
    subject: fc.option(
      fc.array(word, { maxLength: 3 }).map((words) => words.join(' ')),
      { nil: null },
    ),
    kind: fc.option(word, { nil: null }),
    attachments: fc.array(
      word.map((one) => ({ name: `${one}.exe`, type: 'x/y', sizeBytes: 10 })),
      { maxLength: 2 },
    ),
    messageBytes: fc.nat(6_000),
    spf: fc.constantFrom('pass', 'fail', 'unknown', null),
    /** By position of the recipient. */
    greylist: fc.array(fc.constantFrom('wait', 'passed', 'known', 'unknown', null), { maxLength: 5 }),
    abortAfter: fc.constantFrom<Mail['abortAfter'][]>(null, null, null, null, 'mail', 'rcpt', 'header'),
  })
  .map(({ forwardConfirmed, country, ip, kind, spf, greylist, ...rest }): Mail => ({
    ...rest,
    remote: { forwardConfirmed, country, ip },
    headers: kind === null ? [] : [{ name: 'X-Kind', value: kind }],
    checks: [
      ...(spf === null ? [] : [{ name: 'spf', stage: 'mail' as const, result: spf, detail: null, durationUs: 1 }]),
      ...greylist.flatMap((result, recipient) =>
        result === null
          ? []
          : [{ name: 'greylist', stage: 'rcpt' as const, result, detail: null, durationUs: 1, recipient }],
      ),
    ],
  }))
