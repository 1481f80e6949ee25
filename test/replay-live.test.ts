/** What the gateway's own session logged, replayed through the rule set that judged it: nothing may differ. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stringify } from 'yaml'
import type { TransactionEnded } from '../services/contracts/event.ts'
import { stages } from '../services/contracts/vocabulary.ts'
import { noChecks, type Checks } from '../services/gateway/checks/checks-contract.ts'
import { compileRuleset } from '../services/rules/compile-ruleset.ts'
import { explainTransaction } from '../services/rules/explain-transaction.ts'
import { replayTransaction } from '../services/rules/replay-transaction.ts'
import * as generated from './generated-rules.ts'
import { Harness, type Client } from './gateway-harness.ts'

/** Answers as the dialog has them, as a gateway would look them up: by stage, and for each recipient. */
function scriptedChecks(answers: { spf: string | null; greylist: readonly (string | null)[] }): Checks {
  return {
    ...noChecks,
    before(transaction, stage, recipient) {
      const { asksAt } = transaction.policy.rules
      const add = (name: string, result: string, of: number | null) =>
        transaction.checks.push({ name, stage, result, detail: null, durationUs: 1, recipient: of })
      const hasSpf = transaction.checks.some(({ name }) => name === 'spf')
      if (stages.indexOf(stage) >= stages.indexOf('mail') && asksAt[stage].checks.has('spf') && !hasSpf)
        if (answers.spf !== null) add('spf', answers.spf, null)
      if (stage === 'rcpt' && recipient !== null && asksAt.rcpt.checks.has('greylist')) {
        const answer = answers.greylist[transaction.recipients.length % answers.greylist.length]
        if (answer != null) add('greylist', answer, transaction.recipients.length)
      }
      return null
    },
  }
}

const word = fc.constantFrom('alpha', 'beta', 'gamma', 'delta')

const dialog = fc.record({
  ip: fc.constantFrom('192.0.2.10', '203.0.113.9'),
  spf: fc.constantFrom('pass', 'fail', 'unknown', null),
  greylist: fc.array(fc.constantFrom('wait', 'passed', 'known', 'unknown', null), { minLength: 1, maxLength: 4 }),
  transactions: fc.array(
    fc.record({
      helo: fc.option(word, { nil: null }),
      sender: fc.oneof(
        word.map((one) => `${one}.x@${one}.test`),
        fc.constant(''),
      ),
      size: fc.option(fc.nat(4_000), { nil: null }),
      recipients: fc.array(fc.constantFrom('a@example.com', 'B@example.com', 'gone@example.com', 'x@other.test'), {
        minLength: 1,
        maxLength: 4,
      }),
      subject: fc.array(word, { maxLength: 3 }),
      kind: fc.option(word, { nil: null }),
      attachment: fc.option(word, { nil: null }),
      padding: fc.nat(5_000),
      ending: fc.constantFrom('data', 'data', 'data', 'data', 'reset', 'hang-up', 'hang-up-in-data'),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})
type Dialog = typeof dialog extends fc.Arbitrary<infer Value> ? Value : never

function messageOf({ subject, kind, attachment, padding }: Dialog['transactions'][number]): string {
  const headers = [`Subject: ${subject.join(' ')}`, ...(kind === null ? [] : [`X-Kind: ${kind}`])]
  const text = 'x'.repeat(padding).replace(/.{70}/g, '$&\r\n')
  if (attachment === null) return [...headers, '', text].join('\r\n')
  return [
    ...headers,
    'MIME-Version: 1.0',
    'Content-Type: multipart/mixed; boundary=b',
    '',
    '--b',
    '',
    text,
    '--b',
    `Content-Type: application/octet-stream; name=${attachment}.exe`,
    `Content-Disposition: attachment; filename=${attachment}.exe`,
    '',
    'MZ',
    '--b--',
  ].join('\r\n')
}

async function speak(client: Client, { transactions }: Dialog): Promise<void> {
  for (const [index, transaction] of transactions.entries()) {
    if (client.isClosed) return
    if (index === 0 || transaction.helo !== null) await client.line(`EHLO ${transaction.helo ?? 'delta'}`)
    await client.line(
      `MAIL FROM:<${transaction.sender}>${transaction.size === null ? '' : ` SIZE=${transaction.size}`}`,
    )
    for (const recipient of transaction.recipients) await client.line(`RCPT TO:<${recipient}>`)
    if (transaction.ending === 'reset') {
      await client.line('RSET')
      continue
    }
    if (transaction.ending === 'hang-up') return
    const answer = await client.line('DATA')
    if (!answer.startsWith('354')) continue
    const message = messageOf(transaction)
    if (transaction.ending === 'hang-up-in-data') {
      await client.send(message.slice(0, message.length >> 1))
      return
    }
    await client.send(`${message}\r\n.\r\n`)
  }
}

describe('replaying what the gateway logged', () => {
  it(
    'gives no difference with the rules that judged, and explains exactly the hits it logged',
    { timeout: 300_000 },
    async () => {
      const outcomes = new Set<string>()
      const branches = new Set<string>()
      await fc.assert(
        fc.asyncProperty(generated.ruleset(), dialog, async (ruleset, spoken) => {
          const harness = new Harness({ rules: stringify(ruleset), checks: scriptedChecks(spoken) })
          const client = harness.connect(spoken.ip)
          await speak(client, spoken)
          await client.hangUp()
          expect(harness.faults).toEqual([])
          const { rules } = harness.policy
          for (const body of harness.log.transactions) {
            const event = body as TransactionEnded
            outcomes.add(`${event.outcome} at ${event.stage}`)
            for (const { hits } of event.evaluations) for (const { branch } of hits) branches.add(branch)
            const { difference, after } = replayTransaction(event, rules, rules)
            // Told apart from a rule set that only looks the same, nothing is undecidable either.
            expect(replayTransaction(event, compileRuleset(rules.ruleset), rules).difference).toBe('same')
            expect({
              difference,
              outcome: after.outcome,
              ruleId: after.decidingRuleId,
              reason: after.reason,
            }).toEqual({
              difference: 'same',
              outcome: event.outcome,
              ruleId: event.decidingRuleId,
              // What is recognised as a duplicate was judged like any other message.
              reason: event.reason === 'duplicate' ? after.reason : event.reason,
            })
            const explained = explainTransaction(event, rules)
              .rules.filter((told) => told.isLogged)
              .map((told) => [told.stage, told.recipient, told.ruleId, told.weight, told.matchedText])
            const logged = event.evaluations.flatMap(({ stage, recipient, hits }) =>
              hits.map((hit) => [stage, recipient, hit.ruleId, hit.weight, hit.matchedText]),
            )
            expect(explained).toEqual(logged)
          }
        }),
        { numRuns: 400 },
      )
      // The generator reaches every kind of ending; else the sentence above would say little.
      for (const ending of [
        'accepted at complete',
        'marked at complete',
        'refused at rcpt',
        'refused at complete',
        'aborted at rcpt',
        'reset at rcpt',
        'refused at connect',
        'refused at mail',
      ]) {
        expect(outcomes).toContain(ending)
      }
      expect(branches).toEqual(new Set(['then', 'else', 'unknown']))
    },
  )
})
