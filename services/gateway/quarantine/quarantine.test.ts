import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualTime } from '../../../test/manual-time.ts'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, newQueueId, openTestSpool, relayConfig, temporaryFolder } from '../../../test/spool-fixture.ts'
import { startSink, type Sink, type SinkOptions } from '../../demo/sink.ts'
import type { Envelope } from '../spool/spool-contract.ts'
import type { OpenSpool } from '../spool/open-spool.ts'

const octets = 'From: A <a@example.com>\r\nSubject: hello\r\n\r\nbody\r\n'
const dayMs = 86_400_000

describe('the quarantine', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let time: ManualTime
  let sink: Sink
  const opened: OpenSpool[] = []
  const sinks: Sink[] = []
  let copyCount = 0

  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
    time = new ManualTime()
    sink = await sinkWith({})
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((open) => open.stop()))
    await Promise.all(sinks.splice(0).map((one) => one.stop()))
    await place.remove()
  })

  async function sinkWith(options: Partial<SinkOptions>): Promise<Sink> {
    const started = await startSink({ port: 0, keepOctets: true, keepCount: 10_000, ...options })
    sinks.push(started)
    return started
  }

  async function start(options: Parameters<typeof openTestSpool>[2] & { folder?: string; eventLog?: MemoryEventLog } = {}): Promise<OpenSpool> {
    const { folder = join(place.folder, 'spool'), eventLog = log, ...rest } = options
    const open = await openTestSpool(folder, eventLog, { routes: [{ port: sink.port }], clock: time, timers: time, random: () => 0.5, ...rest })
    opened.push(open)
    return open
  }

  /** The spool as the process would leave it if it died now. */
  async function crashed(): Promise<string> {
    const copy = join(place.folder, `copy-${(copyCount += 1)}`)
    await cp(join(place.folder, 'spool'), copy, { recursive: true })
    return copy
  }

  async function accept(open: OpenSpool, recipients: string[], settings: Partial<Envelope> = {}, content: string | Buffer = octets): Promise<string> {
    const envelope = envelopeTo(recipients, { acceptedAtMs: time.nowMs(), disposition: 'quarantine', ...settings })
    await acceptMessage(open.spool, log, envelope, content)
    return envelope.queueId
  }

  /** The sweep sets its next alarm when its work is done, so that it needs a turn of its own. */
  async function passing(durationMs: number): Promise<void> {
    time.pass(durationMs)
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  }

  /** b is held by a rule, a is delivered. */
  function mixed(): Pick<Envelope, 'recipients' | 'disposition'> {
    const [a, b] = envelopeTo(['a@example.org', 'b@example.org']).recipients
    return { recipients: [a!, { ...b!, disposition: 'quarantine', heldByRuleId: 'no-invoices' }], disposition: 'deliver' }
  }

  const received = (from: Sink = sink): string[] => from.messages.flatMap((message) => message.recipients).sort()
  const released = () => log.of('quarantine.released')
  const finished = () => log.of('message.finished')

  it('a released message goes out as it was received, its added lines once, without a tag, and is told with who did it', async () => {
    const open = await start()
    const queueId = await accept(open, ['a@example.org'], { prependedHeaders: 'Received: by us\r\nX-Spam: yes\r\n', subjectTag: '[SPAM]' })
    expect(await open.quarantine.release(queueId, null, 'anna')).toEqual({ outcome: 'released', recipients: ['a@example.org'] })
    await eventually(() => finished().length === 1)
    expect(sink.messages.map((message) => message.octets!.toString())).toEqual([`Received: by us\r\nX-Spam: yes\r\n${octets}`])
    expect(released()).toEqual([{ kind: 'quarantine.released', transactionId: queueId, by: 'anna', serial: 1, recipients: ['a@example.org'] }])
    expect(log.bodies.map(({ kind }) => kind)).toEqual(['quarantine.released', 'delivery.attempted', 'message.finished'])
    await eventually(() => open.relay.counts().queuedCount === 0)
    expect(open.relay.counts().heldCount).toBe(0)
    expect(await open.quarantine.release(queueId, null, 'anna')).toEqual({ outcome: 'not-found' })
  })

  it('a message released twice at the same moment goes out once and is told once', async () => {
    const open = await start()
    const queueId = await accept(open, ['a@example.org'])
    const both = await Promise.all([open.quarantine.release(queueId, null, 'anna'), open.quarantine.release(queueId, null, 'ben')])
    expect(both.map(({ outcome }) => outcome)).toEqual(['released', 'not-found'])
    await eventually(() => finished().length === 1)
    expect([received(), released().map(({ by }) => by)]).toEqual([['a@example.org'], ['anna']])
  })

  it('a message that is being deleted can be neither released nor deleted again', async () => {
    const open = await start()
    const queueId = await accept(open, ['a@example.org'])
    const deletion = open.quarantine.delete(queueId, 'anna')
    expect(await open.quarantine.release(queueId, null, 'ben')).toEqual({ outcome: 'not-found' })
    expect(await open.quarantine.delete(queueId, 'ben')).toBe('not-found')
    expect(await deletion).toBe('deleted')
    expect(log.bodies.map(({ kind }) => kind)).toEqual(['quarantine.deleted'])
  })

  it('a message released to some of its recipients stays held from the others, over a restart too', async () => {
    const first = await start()
    const queueId = await accept(first, ['a@example.org', 'b@example.org', 'c@example.org'], { heldByRuleId: 'r7' })
    expect(await first.quarantine.release(queueId, ['B@example.org', 'z@example.org'], 'anna')).toEqual({ outcome: 'not-held', addresses: ['z@example.org'] })
    await first.quarantine.release(queueId, ['B@example.org'], 'anna')
    await eventually(() => received().length === 1 && first.relay.counts().heldCount === 1)
    await first.stop()
    const second = await start()
    expect((await second.quarantine.view(queueId))!.recipients).toEqual([
      { address: 'a@example.org', reason: 'rule', ruleId: 'r7' },
      { address: 'c@example.org', reason: 'rule', ruleId: 'r7' },
    ])
    expect(finished()).toEqual([])
    await second.quarantine.release(queueId, null, 'ben')
    await eventually(() => finished().length === 1)
    expect(received()).toEqual(['a@example.org', 'b@example.org', 'c@example.org'])
    expect(finished()).toMatchObject([{ deliveredCount: 3, failedCount: 0 }])
    expect(released().map(({ by, recipients }) => `${by}: ${recipients!.join(' ')}`)).toEqual(['anna: b@example.org', 'ben: a@example.org c@example.org'])
  })

  it('a recipient that a rule keeps back is let go while another still waits for its next hop', async () => {
    const slow = await sinkWith({ refuseRecipient: (address) => (address.startsWith('a') ? { code: 451, text: '4.2.1 later' } : null) })
    const open = await start({ routes: [{ port: slow.port }] })
    const queueId = await accept(open, [], mixed())
    await eventually(() => open.relay.counts().deferredCount === 1)
    expect((await open.quarantine.list({})).messages).toMatchObject([{ queueId, isDelivering: true, recipients: [{ address: 'b@example.org', ruleId: 'no-invoices' }] }])
    expect(await open.quarantine.delete(queueId, 'anna')).toBe('delivering')
    await open.quarantine.release(queueId, null, 'anna')
    await eventually(() => received(slow).length === 1)
    expect(received(slow)).toEqual(['b@example.org'])
    expect(open.relay.counts()).toMatchObject({ queuedCount: 1, heldCount: 0 })
  })

  it('undeliverable mail can be released again and again, and each end is told', async () => {
    const refusing = await sinkWith({ refuseRecipient: () => ({ code: 550, text: '5.1.1 unknown' }) })
    const first = await start({ routes: [{ port: refusing.port }] })
    const queueId = await accept(first, ['a@example.org'], { disposition: 'deliver' })
    await eventually(() => first.relay.counts().heldCount === 1)
    expect((await first.quarantine.list({})).messages[0]!.recipients).toEqual([{ address: 'a@example.org', reason: 'undeliverable', ruleId: null }])
    await first.quarantine.release(queueId, null, 'anna')
    await eventually(() => finished().length === 2 && first.relay.counts().heldCount === 1)
    await first.stop()
    const second = await start()
    await second.quarantine.release(queueId, null, 'anna')
    await eventually(() => finished().length === 3)
    expect(finished().map(({ deliveredCount, failedCount }) => [deliveredCount, failedCount])).toEqual([[0, 1], [0, 1], [1, 0]])
    expect(received()).toEqual(['a@example.org'])
    expect(log.of('delivery.attempted').map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  })

  it('a message that was held longer than delivery is tried has its whole time from its release', async () => {
    let isClosed = true
    const door = await sinkWith({ refuseRecipient: () => (isClosed ? { code: 451, text: '4.2.1 later' } : null) })
    const open = await start({ routes: [{ port: door.port }], delivery: { expireHours: 1 } })
    const queueId = await accept(open, ['a@example.org'])
    time.pass(10 * dayMs)
    await open.quarantine.release(queueId, null, 'anna')
    await eventually(() => open.relay.counts().deferredCount === 1)
    isClosed = false
    time.pass(120_000)
    await eventually(() => finished().length === 1)
    expect(received(door)).toEqual(['a@example.org'])
  })

  it('a deleted message is gone for good and told once, also where the process dies before the spool notes it', async () => {
    const first = await start({ limits: { journal: { lazyMs: 100_000 } } })
    const queueId = await accept(first, ['a@example.org', 'b@example.org'])
    expect(await first.quarantine.delete(queueId, 'anna')).toBe('deleted')
    expect(await first.quarantine.delete(queueId, 'anna')).toBe('not-found')
    const second = await start({ folder: await crashed() })
    expect(second.relay.counts()).toMatchObject({ heldCount: 0, queuedCount: 0 })
    expect(log.bodies).toEqual([{ kind: 'quarantine.deleted', transactionId: queueId, by: 'anna', recipients: ['a@example.org', 'b@example.org'] }])
  })

  it('a deletion whose event cannot be written has not happened', async () => {
    const open = await start()
    const queueId = await accept(open, ['a@example.org'])
    log.failNext = 1
    await expect(open.quarantine.delete(queueId, 'anna')).rejects.toThrow('no space left')
    expect((await open.quarantine.list({})).messages).toMatchObject([{ queueId }])
    expect(await open.quarantine.delete(queueId, 'anna')).toBe('deleted')
  })

  describe('a release survives the death of the process, delivered once and told once,', () => {
    /** Stops at an append of this kind for ever, as if the process had died in it; `isDurable`: just after. */
    function dyingLog(kind: string, isDurable: boolean): MemoryEventLog {
      const dying = new MemoryEventLog()
      dying.append = async (body) => {
        if (body.kind !== kind) return await log.append(body)
        if (isDurable) await log.append(body)
        await new Promise(() => {})
      }
      return dying
    }
    const limits = { relay: { stopMs: 1 }, journal: { lazyMs: 100_000 } }

    it.each([
      ['before its event is durable', 'quarantine.released', false, 0],
      ['when its event is durable and the spool has not noted that', 'quarantine.released', true, 0],
      ['when it is delivered and that is not told', 'delivery.attempted', false, 1],
      ['when it is delivered and its end is not told', 'message.finished', false, 1],
      ['when its end is told and the spool has not noted that', 'message.finished', true, 1],
    ] as const)('%s', async (_, kind, isDurable, deliveredBefore) => {
      // Undeliverable before: the log already tells an end of it, which must not be taken for the one after its release.
      const refusing = await sinkWith({ refuseRecipient: () => ({ code: 550, text: '5.1.1 unknown' }) })
      const before = await start({ routes: [{ port: refusing.port }] })
      const queueId = await accept(before, ['a@example.org'], { disposition: 'deliver' })
      const heldToo = await accept(before, ['kept@example.org'])
      await eventually(() => before.relay.counts().heldCount === 2)
      await before.stop()
      const first = await start({ eventLog: dyingLog(kind, isDurable), limits, wasLogged: log.wasLogged, wasFinished: log.wasFinished, wasDeleted: log.wasDeleted, wasReleaseLogged: log.wasReleaseLogged })
      const eventsBefore = log.bodies.length
      void first.quarantine.release(queueId, null, 'anna').catch(() => {})
      const reached = isDurable ? () => log.bodies.slice(eventsBefore).some((body) => body.kind === kind) : () => received().length === deliveredBefore
      await eventually(reached)
      // What is durable by now went through an fsync that this one follows.
      await accept(first, ['other@example.org'])
      const second = await start({ folder: await crashed() })
      await eventually(() => second.relay.counts().queuedCount === 0)
      expect(second.relay.counts()).toMatchObject({ heldCount: 2 })
      expect((await second.quarantine.list({})).messages.map((message) => message.queueId)).toContain(heldToo)
      expect(received()).toEqual(['a@example.org'])
      expect(released()).toHaveLength(1)
      expect(finished().map(({ deliveredCount }) => deliveredCount)).toEqual([0, 1])
    })
  })

  it('what is held longer than it is kept is deleted by the gateway itself, undeliverable mail counted from its failure', async () => {
    const refusing = await sinkWith({ refuseRecipient: () => ({ code: 550, text: '5.1.1 unknown' }) })
    const open = await start({ routes: [{ port: refusing.port }] })
    const ruled = await accept(open, ['a@example.org'])
    await passing(29 * dayMs)
    const undeliverable = await accept(open, ['b@example.org'], { disposition: 'deliver', acceptedAtMs: time.nowMs() - 3_600_000 })
    await eventually(() => open.relay.counts().heldCount === 2)
    await passing(dayMs - 120_000)
    await passing(60_000)
    expect(log.of('quarantine.deleted')).toEqual([])
    await passing(60_000)
    await passing(60_000)
    await eventually(() => open.relay.counts().heldCount === 1)
    expect(log.of('quarantine.deleted')).toMatchObject([{ transactionId: ruled, by: 'expiry' }])
    await passing(29 * dayMs - 300_000)
    await passing(60_000)
    expect(log.of('quarantine.deleted')).toHaveLength(1)
    await passing(300_000)
    await passing(60_000)
    await eventually(() => log.of('quarantine.deleted').length === 2)
    expect(log.of('quarantine.deleted').at(-1)).toMatchObject({ transactionId: undeliverable, by: 'expiry' })
  })

  it('nothing expires where mail is kept for ever', async () => {
    const open = await openTestSpool(join(place.folder, 'spool'), log, {
      clock: time,
      timers: time,
      config: { ...relayConfig([]), quarantine: { keepDays: 0 } },
    })
    opened.push(open)
    const queueId = await accept(open, ['a@example.org'])
    time.pass(100 * dayMs)
    expect((await open.quarantine.list({})).messages).toMatchObject([{ queueId, expiresAt: null }])
  })

  it('lists newest first in pages that follow one another, by sender, recipient, rule, reason and age', async () => {
    const open = await start()
    const ids: string[] = []
    for (let index = 0; index < 7; index += 1) {
      ids.push(await accept(open, [`r${index}@example.org`], { queueId: newQueueId(), sender: index % 2 === 0 ? 'Even@example.com' : '', heldByRuleId: `rule-${index % 3}` }))
      time.pass(60_000)
    }
    const sorted = [...ids].sort().reverse()
    const seen: string[] = []
    let cursor: string | null = null
    do {
      const page: Awaited<ReturnType<typeof open.quarantine.list>> = await open.quarantine.list({ limit: 3, ...(cursor === null ? {} : { cursor }) })
      expect(page.messages.length).toBeLessThanOrEqual(3)
      seen.push(...page.messages.map(({ queueId }) => queueId))
      cursor = page.nextCursor
    } while (cursor !== null)
    expect(seen).toEqual(sorted)
    const idsOf = async (query: Parameters<typeof open.quarantine.list>[0]) => (await open.quarantine.list(query)).messages.map(({ queueId }) => queueId).sort()
    const at = (...positions: number[]) => positions.map((position) => ids[position]!).sort()
    expect(await idsOf({ sender: 'even@' })).toEqual(at(0, 2, 4, 6))
    expect(await idsOf({ recipient: 'R3@' })).toEqual(at(3))
    expect(await idsOf({ rule: 'rule-1' })).toEqual(at(1, 4))
    expect(await idsOf({ reason: 'undeliverable' })).toEqual([])
    const startMs = time.nowMs() - 7 * 60_000
    const iso = (index: number) => new Date(startMs + index * 60_000).toISOString()
    expect(await idsOf({ after: iso(2), before: iso(4) })).toEqual(at(2, 3))
    expect((await open.quarantine.list({ limit: 1 })).heldCount).toBe(7)
  })
})
