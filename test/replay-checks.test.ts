/** Sessions whose checks had answers, none, or came too late, replayed from their events: nothing may differ. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { TransactionEnded } from '../services/contracts/event.ts'
import type { Stage } from '../services/contracts/vocabulary.ts'
import type { Answer, RecordType, Resolver } from '../services/gateway/checks/resolver.ts'
import { replayTransaction } from '../services/rules/replay-transaction.ts'
import { ChecksHarness } from './checks-harness.ts'

const conditions: Record<Stage, readonly string[]> = {
  connect: [
    '{check: reverse-dns, is: none}',
    '{attribute: remote.forwardConfirmed, equals: true}',
    '{country: AU}',
    '{check: rate-far, is: over}',
  ],
  helo: [
    '{check: helo-plausible, is: [ok, unresolvable]}',
    '{check: dnsbl-bad, is: 127.0.0.2}',
    '{attribute: remote.reverseName, exists: false}',
  ],
  mail: [
    '{check: spf, is: [none, pass]}',
    '{check: sender-domain, is: mx}',
    '{not: {check: dnsbl-bad, is: not-listed}}',
    '{check: sender-list, is: black}',
    '{check: rate-far, is: over}',
  ],
  rcpt: [
    '{check: greylist, is: wait}',
    '{check: trap, is: listed}',
    '{check: rate-near, is: over}',
    '{not: {check: greylist, is: known}}',
    '{country: AU}',
  ],
  header: ['{check: greylist, is: passed}', '{check: spf, is: unknown}'],
  complete: [
    '{check: dkim, is: none}',
    '{check: dmarc, is: [none, fail]}',
    '{check: trap, is: listed}',
    '{check: rate-bytes, is: over}',
    '{attribute: check.greylist, matches: "^k"}',
  ],
}
const branches = [
  '{weight: 2}',
  '{weight: -1}',
  '{reject: {text: no}}',
  '{defer: {text: later}}',
  '{stop: true}',
  '{quarantine: true}',
]
const settings = `
recipients: {domains: [example.com]}
networks: [{name: scanners, class: device, cidrs: [10.9.0.0/16]}]
checks:
  timeLimitMs: 10
  dnsLists: [{name: bad, zone: bad.example}]
  traps: {addresses: [trap@example.com]}
  greylist: {knownAfter: 2}
  rates:
    - {name: far, by: remote, limit: 2}
    - {name: near, by: sender, counts: recipients, limit: 3}
    - {name: bytes, by: network, counts: bytes, limit: 100}
`
const stageNames = Object.keys(conditions) as Stage[]

const rule = fc.constantFrom(...stageNames).chain((stage) =>
  fc.record({
    stage: fc.constant(stage),
    when: fc.constantFrom(...conditions[stage]),
    then: fc.constantFrom(...branches),
    else: fc.option(fc.constantFrom(...branches.slice(0, 2)), { nil: null }),
    unknown: fc.option(fc.constantFrom(...branches.slice(0, 4)), { nil: null }),
    mode: fc.constantFrom('active', 'active', 'active', 'shadow'),
  }),
)
const session = fc.record({
  ip: fc.constantFrom('203.0.113.9', '198.51.100.7', '10.9.0.1'),
  passMs: fc.constantFrom(0, 1_000, 400_000),
  mails: fc.array(
    fc.record({
      sender: fc.constantFrom('', 's@one.example', 't@two.example', 'u@black.example'),
      recipients: fc.subarray(['a@example.com', 'b@example.com', 'trap@example.com', 'gone@example.com'], {
        minLength: 1,
      }),
    }),
    { minLength: 1, maxLength: 3 },
  ),
})
/** By number of the question: what a name server made of it. */
const weather = fc.array(fc.constantFrom('found', 'none', 'none', 'unknown', 'late'), {
  minLength: 30,
  maxLength: 30,
})

function resolverIn(answers: readonly string[]): Resolver {
  let count = 0
  const records = {
    A: ['127.0.0.2'],
    AAAA: ['2001:db8::1'],
    PTR: ['r.example'],
    MX: [{ priority: 1, exchange: 'mx.example' }],
    TXT: ['v=spf1 -all'],
  }
  return {
    async ask<Type extends RecordType>(_name: string, type: Type) {
      const answer = answers[(count += 1) % answers.length]
      if (answer === 'late') await new Promise((resolve) => setTimeout(resolve, 30))
      if (answer === 'found') return { status: 'found', records: records[type] } as unknown as Answer<never>
      return answer === 'none' ? { status: 'none', hasName: true } : { status: 'unknown', why: 'a cloud' }
    },
  }
}

it(
  'replays zero differences of sessions with answers, time-outs, greylist waits, rates and traps',
  { timeout: 240_000 },
  async () => {
    const seen = new Set<string>()
    await fc.assert(
      fc.asyncProperty(
        fc.array(rule, { minLength: 1, maxLength: 8 }),
        fc.array(session, { minLength: 1, maxLength: 4 }),
        weather,
        async (rules, sessions, answers) => {
          const lines = rules.map((one, index) => {
            const rest = ['else', 'unknown'].flatMap((branch) =>
              one[branch as 'else'] === null ? [] : [`${branch}: ${one[branch as 'else']}`],
            )
            return `  - {id: r${index}, name: r${index}, ${['stage', 'when', 'then', 'mode']
              .map((key) => `${key}: ${one[key as 'stage']}`)
              .concat(rest)
              .join(', ')}}`
          })
          const harness = await ChecksHarness.start({
            config: settings,
            clients: [
              { id: 'acme', name: 'Acme', addresses: ['a@example.com', 'b@example.com', 'trap@example.com'] },
            ],
            rules: `markAt: 4\nrejectAt: 7\nlists: {black-senders: [black.example]}\nrules:\n${lines.join('\n')}\n`,
            resolver: resolverIn(answers),
            countryOf: (ip) => (ip.startsWith('203') ? 'AU' : null),
          })
          try {
            for (const { ip, passMs, mails } of sessions) {
              harness.nowMs += passMs
              const client = harness.connect(ip)
              await client.session.settled()
              for (const { sender, recipients } of mails) {
                if (client.isClosed) break
                await client.deliver('From: s@one.example\r\nSubject: hello\r\n\r\nbody', recipients, sender)
              }
              await client.hangUp()
            }
            expect(harness.faults).toEqual([])
            const { rules: compiled } = harness.policy
            for (const body of harness.log.transactions) {
              const event = body as TransactionEnded
              for (const { name, result } of event.checks) seen.add(`${name} ${result}`)
              const { difference, after } = replayTransaction(event, compiled, compiled)
              expect({
                difference,
                outcome: after.outcome,
                weight: after.progress.weightThousandths / 1000,
                ruleId: after.decidingRuleId,
              }).toEqual({
                difference: 'same',
                outcome: event.outcome,
                weight: event.weight,
                ruleId: event.decidingRuleId,
              })
            }
          } finally {
            await harness.stop()
          }
        },
      ),
      { numRuns: 150 },
    )
    for (const answer of [
      'reverse-dns unknown',
      'reverse-dns none',
      'spf none',
      'spf unknown',
      'greylist wait',
      'greylist passed',
      'trap listed',
      'rate-far over',
      'rate-near over',
      'dkim none',
      'dmarc none',
    ])
      expect(seen).toContain(answer)
  },
)
