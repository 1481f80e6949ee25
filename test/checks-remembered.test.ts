/** Greylisting, rates, traps and sender lists in whole dialogs, on a clock that the test turns. */
import { afterEach, describe, expect, it } from 'vitest'
import { ChecksHarness, type ChecksHarnessOptions } from './checks-harness.ts'
import type { Client } from './gateway-harness.ts'

let harness: ChecksHarness
const start = async (options: ChecksHarnessOptions) => (harness = await ChecksHarness.start(options))
afterEach(() => harness.stop())

const message = 'From: s@remote.example\r\nSubject: hello\r\n\r\nbody'
const networks =
  'networks: [{name: office, class: trusted, cidrs: [10.0.0.0/8]}, ' +
  '{name: scanners, class: device, cidrs: [10.9.0.0/16]}]'
const config = (checks: string) => `{recipients: {domains: [example.com]}, checks: ${checks}, ${networks}}`
const second = 1_000

/** Replies to RCPT, one a recipient; the session ends with QUIT or with a message. */
async function write(
  ip: string,
  sender: string,
  recipients: string[],
  text: string | null = null,
): Promise<string[]> {
  const client = harness.connect(ip)
  await client.line('EHLO client.example')
  const replies: string[] = [await client.line(`MAIL FROM:<${sender}>`)]
  for (const recipient of recipients) replies.push(await client.line(`RCPT TO:<${recipient}>`))
  if (text !== null && (await client.line('DATA')).startsWith('354'))
    replies.push(await client.send(`${text}\r\n.\r\n`))
  await end(client)
  return replies.map((reply) => reply.slice(0, 3))
}
async function end(client: Client): Promise<void> {
  await client.line('QUIT')
  await client.hangUp()
}
const last = () => harness.log.transactions.at(-1)!
const lastResults = () => last().checks.map(({ result, recipient }) => `${recipient ?? '-'} ${result}`)

describe('greylisting', () => {
  const rules = `
markAt: null
rejectAt: null
rules:
  - {id: grey, name: grey, stage: rcpt, when: {check: greylist, is: wait}, then: {defer: {text: 'Come again later'}}}
`
  const grey = (checks = '{greylist: {delaySeconds: 300, retryHours: 48, keepDays: 35, knownAfter: 3}}') =>
    start({ config: config(checks), rules })
  const one = (ip = '203.0.113.9', sender = 's@remote.example', recipient = 'a@example.com') =>
    write(ip, sender, [recipient], message)

  it('defers who is new, takes the retry from the delay on, and knows it afterwards', async () => {
    await grey()
    expect(await one()).toEqual(['250', '451'])
    expect(last()).toMatchObject({ outcome: 'deferred', stage: 'rcpt', dataBytes: 0, decidingRuleId: 'grey' })
    harness.nowMs += 300 * second - 1
    expect(await one()).toEqual(['250', '451'])
    harness.nowMs += 1
    expect(await one()).toEqual(['250', '250', '250'])
    expect(last()).toMatchObject({
      outcome: 'accepted',
      checks: [{ name: 'greylist', result: 'passed', detail: 'after 300 s', recipient: 0 }],
    })
    expect(await one()).toEqual(['250', '250', '250'])
    expect(lastResults()).toEqual(['0 known'])
  })

  it('judges each recipient by itself, each sender and each network; a neighbour is the same sender', async () => {
    await grey()
    await one()
    harness.nowMs += 300 * second
    expect(await write('203.0.113.9', 's@remote.example', ['a@example.com', 'b@example.com'], message)).toEqual([
      '250',
      '250',
      '451',
      '250',
    ])
    expect(lastResults()).toEqual(['0 passed', '1 wait'])
    expect(await one('203.0.113.200', 'S@Remote.example', 'A@example.com')).toEqual(['250', '250', '250'])
    expect(await one('203.0.114.9')).toEqual(['250', '451'])
    expect(await one('203.0.113.9', 'other@remote.example')).toEqual(['250', '451'])
  })

  it('begins anew for a retry that comes too late, and for who was not seen for long', async () => {
    await grey()
    await one()
    harness.nowMs += 48 * 3_600 * second - 1
    expect(await one()).toEqual(['250', '250', '250'])
    harness.nowMs += 35 * 86_400 * second - 1
    expect(await one()).toEqual(['250', '250', '250'])
    harness.nowMs += 35 * 86_400 * second
    expect(await one()).toEqual(['250', '451'])
    await harness.stop()
    await grey()
    await one()
    harness.nowMs += 48 * 3_600 * second
    expect(await one()).toEqual(['250', '451'])
  })

  it('knows a network of which enough has passed, and not one before', async () => {
    await grey()
    for (const sender of ['1@r.example', '2@r.example', '3@r.example']) {
      expect(await one('203.0.113.9', sender)).toEqual(['250', '451'])
      harness.nowMs += 300 * second
      await one('203.0.113.9', sender)
      // A message more of the same is no other success.
      await one('203.0.113.9', sender)
    }
    expect(await one('203.0.113.77', '4@r.example')).toEqual(['250', '250', '250'])
    expect(last().checks[0]).toMatchObject({ result: 'known', detail: 'its network' })
    expect(await one('203.0.114.9', '4@r.example')).toEqual(['250', '451'])
  })

  it('exempts devices and trusted networks', async () => {
    await grey()
    for (const ip of ['10.9.0.1', '10.1.0.1']) {
      expect(await one(ip)).toEqual(['250', '250', '250'])
      expect(lastResults()).toEqual(['0 exempt'])
    }
  })

  it('remembers over two restarts, the second of which nobody announced', async () => {
    await grey()
    await one()
    await harness.boot()
    harness.nowMs += 300 * second
    expect(await one()).toEqual(['250', '250', '250'])
    // What is half a second old is on its way to the disk without a stop.
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    await harness.boot({ isKilled: true })
    expect(await one()).toEqual(['250', '250', '250'])
    expect(lastResults()).toEqual(['0 known'])
  })
})

describe('a rate', () => {
  const rated = (rate: string, stage = 'mail') =>
    start({
      config: config(`{rates: [{name: one, ${rate}}]}`),
      rules: `
markAt: null
rejectAt: null
rules:
  - {id: rate, name: rate, stage: ${stage}, when: {check: rate-one, is: over}, then: {defer: {text: 'Too much'}}}
`,
    })
  const to = (count: number) =>
    Array.from({ length: count }, (_, index) => (index % 2 === 0 ? 'a@example.com' : 'b@example.com'))

  it('lets through as many messages as its limit, and more when the window has moved on', async () => {
    await rated('by: remote, limit: 2, windowSeconds: 100')
    expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['250'])
    harness.nowMs += 50 * second
    expect(await write('203.0.113.9', 't@x.example', [])).toEqual(['250'])
    expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['451'])
    expect(last().checks).toMatchObject([
      { name: 'rate-one', stage: 'mail', result: 'over', detail: '3 of 2 messages in 100 s' },
    ])
    expect(await write('203.0.113.10', 's@x.example', [])).toEqual(['250'])
    harness.nowMs += 50 * second
    expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['250'])
    // What was over did not count.
    expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['451'])
    harness.nowMs += 50 * second
    expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['250'])
  })

  it('counts by network, sender, domain of the sender and recipient', async () => {
    for (const [by, same, other] of [
      ['network', ['203.0.113.77', 'u@y.example'], ['203.0.114.9', 's@x.example']],
      ['sender', ['203.0.114.9', 'S@X.example'], ['203.0.113.9', 't@x.example']],
      ['sender-domain', ['203.0.114.9', 'u@x.example'], ['203.0.113.9', 's@y.example']],
    ] as const) {
      await rated(`by: ${by}, limit: 1`)
      expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['250'])
      expect([by, await write(same[0], same[1], [])]).toEqual([by, ['451']])
      expect([by, await write(other[0], other[1], [])]).toEqual([by, ['250']])
      expect([by, await write('203.0.115.9', '', [])]).toEqual([by, ['250']])
      await harness.stop()
    }
    await rated('by: recipient, limit: 1', 'rcpt')
    expect(await write('203.0.113.9', 's@x.example', ['a@example.com', 'b@example.com', 'A@example.com'])).toEqual([
      '250',
      '250',
      '250',
      '451',
    ])
    expect(lastResults()).toEqual(['0 within', '1 within', '2 over'])
  })

  it('counts recipients at RCPT and octets at the end of data', async () => {
    await rated('by: remote, counts: recipients, limit: 3', 'rcpt')
    expect(await write('203.0.113.9', 's@x.example', to(4))).toEqual(['250', '250', '250', '250', '451'])
    await harness.stop()
    const sizeBytes = message.length + 2
    await rated(`by: remote, counts: bytes, limit: ${2 * sizeBytes}`, 'complete')
    for (const expected of ['250', '250', '451'])
      expect((await write('203.0.113.9', 's@x.example', to(1), message)).at(-1)).toBe(expected)
  })

  it('tells before it counts whether anything is left, and counts whoever asks', async () => {
    await rated('by: remote, limit: 1', 'connect')
    expect(await write('203.0.113.9', 's@x.example', [])).toEqual(['250'])
    const client = harness.connect()
    expect(client.said).toMatch(/^451 /)
    await client.session.closed
    expect(last().checks).toMatchObject([{ stage: 'connect', result: 'over', detail: '1 of 1 messages in 3600 s' }])
  })

  it('does not count devices, which split a long scan, unless it is told to', async () => {
    await rated('by: remote, limit: 1')
    for (let part = 0; part < 5; part += 1) expect(await write('10.9.0.1', 's@x.example', [])).toEqual(['250'])
    for (const expected of ['250', '451']) expect(await write('10.1.0.1', 's@x.example', [])).toEqual([expected])
    await harness.stop()
    await rated('by: remote, limit: 1, countsDevices: true')
    for (const expected of ['250', '451']) expect(await write('10.9.0.1', 's@x.example', [])).toEqual([expected])
  })

  it('forgets who was silent longest where more are counted than it may', async () => {
    await start({
      config: config('{rateEntries: 2, rates: [{name: one, by: remote, limit: 1}]}'),
      rules:
        'markAt: null\nrejectAt: null\nrules:\n' +
        '  - {id: r, stage: mail, when: {check: rate-one, is: over}, then: {defer: {text: no}}}\n',
    })
    for (const ip of ['203.0.113.1', '203.0.113.2', '203.0.113.3'])
      expect(await write(ip, 's@x.example', [])).toEqual(['250'])
    expect(await write('203.0.113.2', 's@x.example', [])).toEqual(['451'])
    expect(await write('203.0.113.1', 's@x.example', [])).toEqual(['250'])
  })
})

describe('a trap', () => {
  const rules = (stage = 'rcpt') => `
markAt: null
rejectAt: null
lists: {traps: [old@example.com]}
rules:
  - {id: trap, stage: ${stage}, when: {check: trap, is: listed}, then: {reject: {text: You wrote to a trap}}}
`
  const trapped = (stage?: string) =>
    start({ config: config('{traps: {addresses: [B@example.com], markHours: 24}}'), rules: rules(stage) })

  it('lists who writes to it, its network and its sender, for as long as is configured', async () => {
    await trapped()
    expect(await write('203.0.113.9', 's@x.example', ['a@example.com', 'b@example.com'])).toEqual([
      '250',
      '250',
      '550',
    ])
    expect(lastResults()).toEqual(['0 clear', '1 listed'])
    expect(await write('203.0.113.77', 'u@y.example', ['a@example.com'])).toEqual(['250', '550'])
    expect(last().checks[0]!.detail).toBe('its network wrote to a trap')
    expect(await write('203.0.114.9', 'S@X.example', ['a@example.com'])).toEqual(['250', '550'])
    expect(last().checks[0]!.detail).toBe('its sender wrote to a trap')
    expect(await write('203.0.114.9', 'u@y.example', ['a@example.com'])).toEqual(['250', '250'])
    harness.nowMs += 24 * 3_600 * second - 1
    expect(await write('203.0.113.9', 'v@z.example', ['a@example.com'])).toEqual(['250', '550'])
    harness.nowMs += 1
    expect(await write('203.0.113.9', 's@x.example', ['a@example.com'])).toEqual(['250', '250'])
  })

  it('works with an address that nobody has, and over a restart', async () => {
    await trapped('complete')
    expect(await write('203.0.113.9', 's@x.example', ['old@example.com'])).toEqual(['250', '550'])
    await harness.boot()
    expect(await write('203.0.113.9', 'u@x.example', ['a@example.com'], message)).toEqual(['250', '250', '550'])
    expect(last().checks).toMatchObject([{ name: 'trap', stage: 'rcpt', recipient: 0, result: 'listed' }])
    await harness.boot()
    expect(await write('203.0.113.9', 'u@x.example', ['a@example.com'], message)).toEqual(['250', '250', '550'])
  })

  it('never lists devices and trusted networks, nor bounces by their sender', async () => {
    await trapped()
    for (const ip of ['10.9.0.1', '10.1.0.1'])
      for (let count = 0; count < 2; count += 1)
        expect(await write(ip, 's@x.example', ['b@example.com'])).toEqual(['250', '250'])
    // Somebody forged their sender.
    expect(await write('203.0.115.9', 's@x.example', ['b@example.com'])).toEqual(['250', '550'])
    expect(await write('10.1.0.1', 's@x.example', ['a@example.com'])).toEqual(['250', '250'])
    expect(await write('203.0.113.9', '', ['b@example.com'])).toEqual(['250', '550'])
    expect(await write('203.0.114.9', '', ['a@example.com'])).toEqual(['250', '250'])
  })
})

it('a sender is white or black by the nearer entry, and white where both lists have it', async () => {
  await start({
    rules: `
markAt: null
rejectAt: null
lists:
  white-senders: [Ann@bad.example, both@x.example, good.example]
  black-senders: [bad.example, '@worse.example', both@x.example, Bob@good.example]
rules:
  - {id: black, name: black, stage: mail, when: {check: sender-list, is: black}, then: {reject: {text: no}}}
`,
  })
  for (const [sender, result] of [
    ['ann@Bad.example', 'white'],
    ['carl@bad.example', 'black'],
    ['carl@sub.bad.example', 'none'],
    ['x@worse.example', 'black'],
    ['both@x.example', 'white'],
    ['bob@good.example', 'black'],
    ['carl@good.example', 'white'],
    ['', 'none'],
  ]) {
    expect(await write('203.0.113.9', sender!, [])).toEqual([result === 'black' ? '550' : '250'])
    expect(`${sender} ${last().checks[0]!.result}`).toBe(`${sender} ${result}`)
  }
})
