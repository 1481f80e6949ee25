import { afterEach, describe, expect, it } from 'vitest'
import { ChecksHarness, type ChecksHarnessOptions } from '../../../test/checks-harness.ts'
import type { Client } from '../../../test/gateway-harness.ts'
import type { Stage } from '../../contracts/vocabulary.ts'
import type { Resolver } from './resolver.ts'

let harness: ChecksHarness
const start = async (options: ChecksHarnessOptions) => (harness = await ChecksHarness.start(options))
afterEach(() => harness.stop())

const rule = (id: string, stage: Stage, when: string, then = '{weight: 1}', rest = '') =>
  `  - {id: ${id}, name: ${id}, stage: ${stage}, when: ${when}, then: ${then}${rest}}\n`
const ruleset = (...rules: string[]) => `markAt: null\nrejectAt: null\nrules:\n${rules.join('')}`
const networks =
  'networks: [{name: office, class: trusted, cidrs: [10.0.0.0/8]}, ' +
  '{name: scanners, class: device, cidrs: [10.9.0.0/16]}]'
const config = (checks = '{}') => `{recipients: {domains: [example.com]}, checks: ${checks}, ${networks}}`
const message = 'From: s@remote.example\r\nSubject: hello\r\n\r\nbody'
const turn = () => new Promise((resolve) => setImmediate(resolve))

async function deliver(client: Client, sender = 's@remote.example'): Promise<string> {
  await client.session.settled()
  return client.deliver(message, ['a@example.com', 'b@example.com'], sender)
}
const resultsOf = (index: number) =>
  harness.log.transactions[index]!.checks.map(({ name, stage, result }) => `${name} ${stage} ${result}`)

describe('a session asks', () => {
  it('nothing where no rule asks, and waits for nothing', async () => {
    await start({ rules: ruleset(rule('one', 'mail', '{attribute: sender, matches: x}')) })
    const client = harness.connect()
    expect(client.said).toMatch(/^220 /)
    expect(await deliver(client)).toMatch(/^250 /)
    expect([harness.names.questions, harness.log.transactions[0]!.checks]).toEqual([[], []])
  })

  it('what rules of the stage ask for, shadow ones too, and ahead what can be known at connect', async () => {
    await start({
      config: config('{dnsLists: [{name: bad, zone: bad.example}]}'),
      rules: ruleset(
        rule('mx', 'mail', '{check: sender-domain, is: none}'),
        rule('shadow', 'rcpt', '{check: dnsbl-bad, is: 127.0.0.2}', '{weight: 1}', ', mode: shadow'),
        rule('off', 'mail', '{check: spf, is: fail}', '{weight: 1}', ', mode: off'),
      ),
    })
    const client = harness.connect()
    // The greeting does not wait for what is asked ahead.
    expect(client.said).toMatch(/^220 /)
    await deliver(client)
    expect(resultsOf(0)).toEqual(['sender-domain mail none', 'dnsbl-bad rcpt not-listed'])
    expect(harness.names.questions.sort()).toEqual(['A 9.113.0.203.bad.example', 'MX remote.example'])
    expect(harness.log.transactions[0]!.weight).toBe(1)
  })

  it('about itself once, whatever number of messages it sends, and about each sender anew', async () => {
    await start({
      rules: ruleset(
        rule('name', 'mail', '{attribute: remote.forwardConfirmed, equals: true}'),
        rule('mx', 'mail', '{check: sender-domain, is: mx}'),
      ),
    })
    harness.names.zones = { '9.113.0.203.in-addr.arpa': { PTR: ['r.example'] }, 'r.example': { A: ['203.0.113.9'] } }
    const client = harness.connect()
    await deliver(client)
    harness.names.zones = {}
    harness.nowMs += 3_600_000
    await deliver(client, 'x@other.example')
    expect(harness.names.questions.filter((question) => question.startsWith('PTR'))).toHaveLength(1)
    expect(
      harness.log.transactions.map(({ remote, weight }) => [remote.reverseName, remote.forwardConfirmed, weight]),
    ).toEqual([
      ['r.example', true, 1],
      ['r.example', true, 1],
    ])
    expect(resultsOf(1)).toEqual(['sender-domain mail none', 'reverse-dns mail confirmed'])
  })

  it('side by side what one stage needs', async () => {
    const waiting: (() => void)[] = []
    const resolver: Resolver = {
      ask: async () => {
        await new Promise<void>((resolve) => waiting.push(resolve))
        return { status: 'none', hasName: false }
      },
    }
    await start({
      resolver,
      rules: ruleset(
        rule('a', 'mail', '{check: sender-domain, is: none}'),
        rule('b', 'mail', '{check: spf, is: none}'),
      ),
    })
    const client = harness.connect()
    await client.line('EHLO client.example')
    client.session.receive(Buffer.from('MAIL FROM:<s@remote.example>\r\n'))
    while (waiting.length < 2) await turn()
    expect(client.read()).toBe('')
    for (const go of waiting) go()
    await client.session.settled()
    expect(client.read()).toMatch(/^250 /)
  })

  it('nobody about devices and trusted networks unless the configuration says so', async () => {
    const rules = ruleset(
      rule('name', 'connect', '{check: reverse-dns, is: none}', '{reject: {text: no}}'),
      rule('mx', 'mail', '{check: sender-domain, is: none}', '{reject: {text: no}}'),
    )
    await start({ config: config(), rules })
    for (const ip of ['10.9.0.1', '10.1.0.1']) {
      const client = harness.connect(ip)
      expect(client.said).toMatch(/^220 /)
      expect(await deliver(client)).toMatch(/^250 /)
    }
    expect(harness.names.questions).toEqual([])
    expect(harness.log.transactions[0]!.checks[0]).toMatchObject({
      result: 'unknown',
      detail: 'not asked about device networks',
    })
    await harness.stop()
    await start({ config: config('{networkClasses: [public, trusted]}'), rules })
    const client = harness.connect('10.1.0.1')
    await client.session.settled()
    expect(client.said).toMatch(/^550 /)
  })
})

describe('what nobody can tell', () => {
  const branches = ', else: {reject: {text: else}}, unknown: {weight: 7}'

  it('is unknown after the time limit, takes the branch for it, and blocks nothing', async () => {
    await start({
      config: config('{timeLimitMs: 50}'),
      rules: ruleset(rule('spf', 'mail', '{check: spf, is: pass}', '{weight: 1}', branches)),
    })
    harness.names.mishaps.set('*', 'silent')
    expect(await deliver(harness.connect())).toMatch(/^250 /)
    expect(harness.log.transactions[0]).toMatchObject({
      weight: 7,
      checks: [{ name: 'spf', result: 'unknown', detail: 'no answer within 50 ms' }],
    })
  })

  it('is unknown in conditions on the name of the remote too, and in their opposite', async () => {
    await start({
      rules: ruleset(
        rule('named', 'mail', '{attribute: remote.reverseName, exists: true}', '{reject: {text: named}}', branches),
        rule(
          'nameless',
          'mail',
          '{not: {attribute: remote.reverseName, exists: true}}',
          '{reject: {text: nameless}}',
        ),
        rule('open', 'mail', '{not: {attribute: remote.forwardConfirmed, equals: true}}', '{reject: {text: open}}'),
      ),
    })
    harness.names.mishaps.set('*', 'servfail')
    expect(await deliver(harness.connect())).toMatch(/^250 /)
    expect(harness.log.transactions[0]).toMatchObject({
      weight: 7,
      checks: [{ name: 'reverse-dns', result: 'unknown' }],
    })
  })

  it('is unknown where a check fails by a fault, and the operator is told', async () => {
    await start({
      resolver: { ask: () => Promise.reject(new Error('bug\u001b[2J')) },
      rules: ruleset(rule('mx', 'mail', '{check: sender-domain, is: mx}', '{weight: 1}', branches)),
    })
    expect(await deliver(harness.connect())).toMatch(/^250 /)
    expect(harness.log.transactions[0]).toMatchObject({
      weight: 7,
      checks: [{ result: 'unknown', detail: 'the check failed: bug?[2J' }],
    })
    expect(harness.warnings).toEqual(['The check sender-domain failed: bug?[2J'])
  })

  it('is unknown where the configuration has no such check, which the operator is told once', async () => {
    await start({
      rules: ruleset(rule('list', 'mail', '{check: dnsbl-none, is: 127.0.0.2}', '{weight: 1}', branches)),
    })
    for (let count = 0; count < 2; count += 1) expect(await deliver(harness.connect())).toMatch(/^250 /)
    expect(harness.log.transactions[0]!.weight).toBe(7)
    expect(harness.warnings).toEqual([expect.stringMatching(/dnsbl-none/)])
  })
})

describe('the country', () => {
  it('is known where a rule asks for it, without a question to anybody', async () => {
    await start({
      rules: ruleset(rule('far', 'helo', '{country: AU}', '{weight: 3}')),
      countryOf: (ip) => (ip === '203.0.113.9' ? 'AU' : null),
    })
    await deliver(harness.connect())
    await deliver(harness.connect('192.0.2.1'))
    expect(harness.log.transactions.map(({ remote, weight }) => [remote.country, weight])).toEqual([
      ['AU', 3],
      [null, 0],
    ])
    expect(harness.names.questions).toEqual([])
  })

  it('comes from the database that is installed, and is nothing where the file is not there, told once', async () => {
    const rules = ruleset(rule('any', 'connect', '{attribute: remote.country, exists: true}'))
    await start({ rules })
    for (const ip of ['8.8.8.8', '2001:4860:4860::8888', '192.0.2.1', '127.0.0.1']) await deliver(harness.connect(ip))
    expect(harness.log.transactions.map(({ remote }) => remote.country)).toEqual(['US', 'US', null, null])
    await harness.stop()
    await start({ config: config('{countryFile: /nowhere/countries.mmdb}'), rules })
    for (let count = 0; count < 2; count += 1) expect(await deliver(harness.connect('8.8.8.8'))).toMatch(/^250 /)
    expect(harness.log.transactions[0]!.remote.country).toBeNull()
    expect(harness.warnings).toEqual([expect.stringMatching(/countries\.mmdb.*checks\.countryFile/)])
  })
})

it('hundreds of sessions that wait for a silent name server all go on', async () => {
  await start({
    config: config('{timeLimitMs: 200, dns: {concurrent: 16}}'),
    rules: ruleset(
      rule('name', 'connect', '{check: reverse-dns, is: none}'),
      rule('mx', 'mail', '{check: sender-domain, is: none}'),
    ),
  })
  harness.names.mishaps.set('*', 'silent')
  const clients = Array.from({ length: 400 }, (_, index) => harness.connect(`203.0.${index >> 8}.${index & 255}`))
  const answers = await Promise.all(clients.map((client, index) => deliver(client, `s@r${index}.example`)))
  expect(new Set(answers.map((answer) => answer.slice(0, 3)))).toEqual(new Set(['250']))
  expect(
    harness.log.transactions.every(
      ({ checks }) => checks.length === 2 && checks.every(({ result }) => result === 'unknown'),
    ),
  ).toBe(true)
})
