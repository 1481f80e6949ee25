import { describe, expect, it } from 'vitest'
import { Client, Harness, held } from '../../../test/gateway-harness.ts'
import type { Stage } from '../../contracts/vocabulary.ts'
import { noChecks, type Checks } from '../checks/checks-contract.ts'
import type { MessagePlugins } from '../plugins/plugin-contract.ts'
import { endingOf } from './ending.ts'
import { reply } from './reply.ts'

const message = 'From: s@remote.example\r\nMessage-ID: <1@remote.example>\r\nSubject: hello\r\n\r\nbody'
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A check of one stage that answers when the test lets it. */
function slowCheck(at: Stage, result: string) {
  const gate = held()
  const checks: Checks = {
    ...noChecks,
    before(transaction, stage) {
      if (stage !== at || transaction.checks.some(({ name }) => name === 'slow')) return null
      return gate.promise.then(() => {
        transaction.checks.push({ name: 'slow', stage, result, detail: null, durationUs: 0 })
        transaction.facts = { ...transaction.facts, remote: { ...transaction.facts.remote, country: 'NZ' } }
      })
    },
  }
  return { gate, checks }
}

const rulesAt = (stage: Stage) => `
markAt: null
rejectAt: null
rules:
  - {id: far, stage: ${stage}, when: {country: NZ}, then: {reject: {text: too far}}}
`

describe('a session that waits for a check', () => {
  it('greets only when the check of connect is done, and what was sent meanwhile is read afterwards', async () => {
    const { gate, checks } = slowCheck('connect', 'near')
    const harness = new Harness()
    harness.deps.checks = checks
    const client = harness.connect()
    client.session.receive(Buffer.from('EHLO client.example\r\nNOOP\r\n'))
    await turn()
    expect(client.said).toBe('')
    gate.resolve()
    await client.session.settled()
    expect(client.said).toMatch(/^220 [^\n]+\n(250-[^\n]+\n)+250 [^\n]+\n250 [^\n]+\n$/)
  })

  it.each(['connect', 'helo', 'mail', 'rcpt', 'complete'] as const)(
    'lets the rules of %s see what was found, and tells it in the event',
    async (stage) => {
      const { gate, checks } = slowCheck(stage, 'far')
      const harness = new Harness({ rules: rulesAt(stage) })
      harness.deps.checks = checks
      gate.resolve()
      const client = harness.connect()
      await client.session.settled()
      await client.deliver(message)
      await client.line('QUIT')
      await client.hangUp()
      expect(client.said).toContain('550 5.7.1 too far')
      const refused = harness.log.transactions.find(({ decidingRuleId }) => decidingRuleId === 'far')
      expect(refused).toMatchObject({
        outcome: 'refused',
        stage,
        remote: { country: 'NZ' },
        checks: [{ name: 'slow', stage, result: 'far' }],
      })
    },
  )

  it('answers pipelined commands in their order while a recipient waits', async () => {
    const { gate, checks } = slowCheck('rcpt', 'near')
    const harness = new Harness()
    harness.deps.checks = checks
    const client = harness.connect()
    await client.line('EHLO client.example')
    client.session.receive(
      Buffer.from('MAIL FROM:<s@x.example>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<nobody@example.com>\r\nDATA\r\n'),
    )
    await turn()
    expect(client.read()).toBe('250 2.1.0 Sender ok\r\n')
    gate.resolve()
    await client.session.settled()
    expect(client.read()).toMatch(/^250 2\.1\.5 [^\n]+\n550 5\.1\.1 [^\n]+\n354 [^\n]+\n$/)
  })

  it('ends in an orderly way when the remote goes away meanwhile', async () => {
    const { gate, checks } = slowCheck('mail', 'near')
    const harness = new Harness()
    harness.deps.checks = checks
    const client = harness.connect()
    await client.line('EHLO client.example')
    client.session.receive(Buffer.from('MAIL FROM:<s@x.example>\r\n'))
    client.session.connectionLost()
    gate.resolve()
    await client.session.closed
    expect(harness.log.transactions).toMatchObject([{ outcome: 'aborted', reason: 'client-gone', sender: 's@x.example' }])
    expect(harness.log.sessions).toHaveLength(1)
  })

  it('ends with 421 when a check breaks its promise never to reject', async () => {
    const harness = new Harness()
    harness.deps.checks = { ...noChecks, before: () => Promise.reject(new Error('bug')) }
    const client = harness.connect()
    await client.session.settled()
    expect(client.said).toMatch(/^421 4\.3\.0 /)
    expect(harness.faults).toEqual(['A session ended by a fault of the gateway: bug'])
  })
})

describe('a session with plug-ins', () => {
  const clean: MessagePlugins = {
    wantsScan: () => true,
    scan: async () => null,
    wantsPrepare: () => false,
    prepare: async (_message, envelope) => envelope,
  }
  const rules = `
markAt: null
rejectAt: null
rules:
  - {id: infected, stage: complete, when: {attribute: messageBytes, above: 0}, then: {weight: 1}}
  - {id: no-shouting, stage: header, when: {attribute: subject, matches: '^LOUD$', caseSensitive: true}, then: {reject: {text: quiet}}}
`

  it('gives a plug-in every octet as received, and puts its result into the event', async () => {
    const harness = new Harness()
    let seen = ''
    harness.deps.plugins = {
      ...clean,
      async scan({ transaction, octets, sizeBytes }) {
        for await (const chunk of octets()) seen += Buffer.from(chunk).toString('latin1')
        transaction.plugins.push({ name: 'scanner', stage: 'complete', result: 'clean', detail: null, durationUs: 0 })
        expect(sizeBytes).toBe(seen.length)
        return null
      },
    }
    expect(await new Client(harness.deps, harness.journal, '203.0.113.9').deliver(`${message}\r\n..dots`)).toMatch(/^250 /)
    expect(seen).toBe(`${message}\r\n.dots\r\n`)
    expect(harness.log.transactions[0]!.plugins).toMatchObject([{ name: 'scanner', result: 'clean' }])
  })

  it('asks no plug-in about what a rule has refused already', async () => {
    const harness = new Harness({ rules })
    let scanCount = 0
    harness.deps.plugins = { ...clean, scan: async () => ((scanCount += 1), null) }
    expect(await harness.connect().deliver(message.replace('hello', 'LOUD'))).toMatch(/^550 5\.7\.1 quiet/)
    expect(scanCount).toBe(0)
  })

  it('keeps nothing where a plug-in that must answer did not', async () => {
    const harness = new Harness()
    const answer = reply(451, '4.7.1', 'The scanner does not answer')
    harness.deps.plugins = { ...clean, scan: async () => endingOf({ outcome: 'deferred', reply: answer }) }
    expect(await harness.connect().deliver(message)).toBe('451 4.7.1 The scanner does not answer\r\n')
    expect(harness.spool.messages.map(({ state }) => state)).toEqual(['aborted'])
    expect(harness.log.transactions).toMatchObject([{ outcome: 'deferred' }])
  })

  it('commits the envelope that a plug-in prepared', async () => {
    const harness = new Harness()
    harness.deps.plugins = {
      ...clean,
      wantsPrepare: () => true,
      prepare: async (_message, envelope) => ({ ...envelope, prependedHeaders: `X-Signed: yes\r\n${envelope.prependedHeaders}` }),
    }
    expect(await harness.connect().deliver(message)).toMatch(/^250 /)
    expect(harness.spool.released[0]!.envelope!.prependedHeaders).toMatch(/^X-Signed: yes\r\nReceived: /)
  })
})
