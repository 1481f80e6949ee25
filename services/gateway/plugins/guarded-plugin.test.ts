import { beforeEach, describe, expect, it } from 'vitest'
import { held, Harness } from '../../../test/gateway-harness.ts'
import { PluginSet } from './plugin-set.ts'
import { MessageFailure, type Plugin, type PluginFinding, type SharedSettings } from './plugin.ts'

const message = 'Subject: hello\r\n\r\ntext'
const settings: SharedSettings = {
  name: 'scanner',
  directions: ['inbound', 'outbound'],
  networkClasses: ['public', 'device', 'trusted'],
  maxBytes: 1_000,
  timeLimitMs: 60_000,
  concurrent: 10,
  onFailure: 'open',
}
const rules = `
markAt: null
rejectAt: null
rules:
  - {id: infected, stage: complete, when: {check: plugin-scanner, is: infected}, then: {reject: {text: 'a virus'}}}
  - {id: signed, stage: complete, when: {check: plugin-signer, is: signed}, then: {reject: {text: 'seen too early'}}}
`

let harness: Harness
let nowMs: number
let told: string[]
beforeEach(() => {
  harness = new Harness({ rules, config: 'recipients: {domains: [example.com]}\nnetworks: [{name: n, class: trusted, cidrs: [192.0.2.7]}]' })
  nowMs = 0
  told = []
})

function use(...plugins: Partial<Omit<Plugin, 'settings'> & { settings: Partial<SharedSettings> }>[]): void {
  const note = ((_fields: object, text: string) => void told.push(text)) as never
  const deps = { clock: { nowMs: () => nowMs, monotonicUs: () => nowMs * 1_000 }, log: { info: note, warn: note, error: note } }
  const whole = plugins.map((plugin) => ({ kind: 'test', ...plugin, settings: { ...settings, ...plugin.settings } }))
  harness.deps.plugins = new PluginSet(whole, deps)
}

const answering = (finding: Partial<PluginFinding>) => ({ scan: async () => ({ result: 'clean', detail: null, ...finding }) })
const lastPlugins = () => harness.log.transactions.at(-1)!.plugins

describe('a plug-in', () => {
  it('gives the result that rules ask for by its name, and the log keeps it', async () => {
    use(answering({ result: 'infected', detail: 'Eicar\r\n' }))
    expect(await harness.connect().deliver(message)).toMatch(/^550 5\.7\.1 a virus/)
    expect(lastPlugins()).toEqual([
      { name: 'plugin-scanner', stage: 'complete', result: 'infected', detail: 'Eicar??', durationUs: 0 },
    ])
  })

  it.each([
    ['open', /^250 /, 'accepted', null],
    ['closed', /^451 4\.7\.1 The message cannot be checked/, 'deferred', 'plugin-unavailable'],
  ] as const)('that fails %s answers %s', async (onFailure, reply, outcome, reason) => {
    use({ settings: { onFailure }, scan: async () => Promise.reject(new Error('connection refused')) })
    expect(await harness.connect().deliver(message)).toMatch(reply)
    expect(harness.log.transactions.at(-1)).toMatchObject({ outcome, reason })
    expect(lastPlugins()).toMatchObject([{ result: 'unknown', detail: 'connection refused' }])
  })

  it('is given up on after its time limit, and gets no octet of the message from then on', async () => {
    const late = held()
    let octets = 'none'
    use({
      settings: { timeLimitMs: 5 },
      async scan(seen) {
        await late.promise
        for await (const _ of seen.octets()) octets = 'some'
        return { result: 'clean', detail: null }
      },
    })
    await harness.connect().deliver(message)
    expect(lastPlugins()).toMatchObject([{ result: 'unknown', detail: 'no answer within 5 ms' }])
    late.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    expect(octets).toBe('none')
  })

  it('is not asked about a message over its size limit, which is no failure', async () => {
    let askedCount = 0
    use({ settings: { maxBytes: message.length + 2, onFailure: 'closed' }, scan: async () => ((askedCount += 1), { result: 'clean', detail: null }) })
    expect(await harness.connect().deliver(message)).toMatch(/^250 /)
    expect(await harness.connect().deliver(`${message}.`)).toMatch(/^250 /)
    expect(askedCount).toBe(1)
    expect(lastPlugins()).toMatchObject([{ result: 'skipped' }])
  })

  it('is asked only about directions and networks that it wants', async () => {
    use(
      { ...answering({}), settings: { name: 'in', directions: ['inbound'] } },
      { ...answering({}), settings: { name: 'out', directions: ['outbound'] } },
      { ...answering({}), settings: { name: 'public', networkClasses: ['public'] } },
    )
    const names = () => lastPlugins().map(({ name }) => name)
    await harness.connect().deliver(message)
    expect(names()).toEqual(['plugin-in', 'plugin-public'])
    await harness.connect('192.0.2.7').deliver(message, ['else@where.example'])
    expect(names()).toEqual(['plugin-out'])
  })

  it('that gives no short word as its result has given none', async () => {
    use(answering({ result: 'Clean, or so' }))
    await harness.connect().deliver(message)
    expect(lastPlugins()).toMatchObject([{ result: 'unknown' }])
  })

  it('scans side by side with others', async () => {
    const both = held()
    let count = 0
    const scan = async () => {
      if ((count += 1) === 2) both.resolve()
      await both.promise
      return { result: 'clean', detail: null }
    }
    use({ scan, settings: { name: 'a' } }, { scan, settings: { name: 'b' } })
    expect(await harness.connect().deliver(message)).toMatch(/^250 /)
  })

  it('has so many messages at once, and a message waits for its turn', async () => {
    const first = held()
    let running = 0
    let most = 0
    use({
      settings: { concurrent: 1 },
      async scan() {
        most = Math.max(most, (running += 1))
        await first.promise
        running -= 1
        return { result: 'clean', detail: null }
      },
    })
    const replies = [1, 2, 3].map(() => harness.connect().deliver(message))
    await new Promise((resolve) => setTimeout(resolve, 20))
    first.resolve()
    for (const reply of await Promise.all(replies)) expect(reply).toMatch(/^250 /)
    expect(most).toBe(1)
  })

  it('prepares the envelope after the rules, each on what the one before made, and no rule sees its result', async () => {
    const adding = (name: string): Partial<Plugin> => ({
      prepare: async (_message, envelope) => ({
        result: 'signed',
        detail: null,
        envelope: { ...envelope, prependedHeaders: `X-${name}: 1\r\n${envelope.prependedHeaders}` },
      }),
    })
    use({ ...adding('A'), settings: { name: 'signer' } }, { ...adding('B'), settings: { name: 'other' } })
    expect(await harness.connect().deliver(message)).toMatch(/^250 /)
    expect(harness.spool.released[0]!.envelope!.prependedHeaders).toMatch(/^X-B: 1\r\nX-A: 1\r\nReceived: /)
    expect(lastPlugins()).toMatchObject([{ name: 'prepare-signer', result: 'signed' }, { name: 'prepare-other' }])
  })

  it('that cannot prepare and must leaves nothing in the spool', async () => {
    use({ settings: { onFailure: 'closed' }, prepare: async () => Promise.reject(new Error('disk full')) })
    expect(await harness.connect().deliver(message)).toMatch(/^451 4\.7\.1 /)
    expect(harness.spool.messages.map(({ state }) => state)).toEqual(['aborted'])
  })
})

describe('a dead daemon', () => {
  let isDead: boolean
  let askedCount: number
  const scan = async () => {
    askedCount += 1
    if (isDead) throw new Error('connection refused')
    return { result: 'clean', detail: null }
  }
  beforeEach(() => {
    isDead = true
    askedCount = 0
    use({ scan })
  })
  const deliver = (count: number) => Promise.all(Array.from({ length: count }, () => harness.connect().deliver(message)))

  it('is not asked for a while after three failures, then by one message at a time until it answers', async () => {
    for (let at = 0; at < 5; at += 1) await deliver(1)
    expect(askedCount).toBe(3)
    expect(lastPlugins()).toMatchObject([{ result: 'unknown', detail: 'not asked, as it failed before: connection refused' }])
    nowMs += 10_000
    await deliver(4)
    expect(askedCount).toBe(4)
    isDead = false
    nowMs += 10_000
    await deliver(1)
    await deliver(4)
    expect(askedCount).toBe(9)
    expect(told).toEqual(['A plug-in does not answer: mail goes on without it', 'A plug-in answers again'])
  })

  it('is none where it answers and only cannot take these messages', async () => {
    use({ scan: async () => ((askedCount += 1), Promise.reject(new MessageFailure('odd message'))) })
    for (let at = 0; at < 5; at += 1) await deliver(1)
    expect(askedCount).toBe(5)
    expect(lastPlugins()).toMatchObject([{ result: 'unknown', detail: 'odd message' }])
  })
})
