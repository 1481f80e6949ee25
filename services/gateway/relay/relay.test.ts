import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ManualTime } from '../../../test/manual-time.ts'
import { startScriptedServer, type ScriptedServer } from '../../../test/scripted-server.ts'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, openTestSpool, temporaryFolder } from '../../../test/spool-fixture.ts'
import { startSink, type Sink, type SinkOptions } from '../../demo/sink.ts'
import type { OpenSpool } from '../spool/open-spool.ts'

const octets = 'Subject: hello\r\n\r\nbody\r\n'
const hourMs = 3_600_000

describe('the relay', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let time: ManualTime
  let open: OpenSpool
  const closing: { stop(): Promise<void> }[] = []
  let operatorLines: string[]

  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
    time = new ManualTime()
    operatorLines = []
  })
  afterEach(async () => {
    await open.stop()
    await Promise.all(closing.splice(0).map((one) => one.stop()))
    await place.remove()
  })

  async function sinkWith(options: Partial<SinkOptions> = {}): Promise<Sink> {
    const sink = await startSink({ port: 0, keepCount: 10_000, ...options })
    closing.push(sink)
    return sink
  }

  async function serverWith(script: Parameters<typeof startScriptedServer>[0]): Promise<ScriptedServer> {
    const server = await startScriptedServer(script)
    closing.push(server)
    return server
  }

  /** `random: 0.5` takes the jitter away. */
  async function start(options: Parameters<typeof openTestSpool>[2]): Promise<void> {
    const stream = new Writable({ write: (chunk, _, done) => (operatorLines.push(String(chunk)), done()) })
    open = await openTestSpool(place.folder, log, { clock: time, timers: time, random: () => 0.5, log: pino(stream), ...options })
  }

  const accept = (recipients: string[], settings: Parameters<typeof envelopeTo>[1] = {}) => {
    const envelope = envelopeTo(recipients, { acceptedAtMs: time.nowMs(), ...settings })
    return acceptMessage(open.spool, log, envelope, octets).then(() => envelope.queueId)
  }
  const attempts = () => log.of('delivery.attempted')
  const waitForAttempts = (count: number) => eventually(() => attempts().length >= count)
  const waitForFinished = (count: number) => eventually(() => log.of('message.finished').length >= count)
  /** A port on which nothing listens. */
  async function closedPort(): Promise<number> {
    const server = await startScriptedServer(async () => {})
    await server.stop()
    return server.port
  }

  it('tries a deferred recipient again after the first delay, then doubles it up to the last', async () => {
    const sink = await sinkWith({ refuseRecipient: () => ({ code: 451, text: '4.2.1 later' }) })
    await start({ routes: [{ port: sink.port }], delivery: { firstRetrySeconds: 60, lastRetrySeconds: 200 } })
    await accept(['a@example.org'])
    await waitForAttempts(1)
    for (const [index, delaySeconds] of [60, 120, 200, 200].entries()) {
      await eventually(() => open.relay.counts().deferredCount === 1)
      time.pass(delaySeconds * 1_000 - 1)
      expect(open.relay.counts().deferredCount, `try ${index + 2} is not early`).toBe(1)
      time.pass(1)
      await waitForAttempts(index + 2)
    }
    expect(attempts().map((event) => event.attempt)).toEqual([1, 2, 3, 4, 5])
  })

  it('a recipient that a rule keeps back gets nothing while others are delivered, and the message is kept for it', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ port: sink.port }] })
    const [delivered, kept] = envelopeTo(['a@example.org', 'b@example.org']).recipients
    const queueId = await accept([], { recipients: [delivered!, { ...kept!, disposition: 'quarantine' }] })
    await eventually(() => open.relay.counts().heldCount === 1)
    expect(attempts().flatMap((event) => event.recipients.map(({ address, outcome }) => `${address} ${outcome}`))).toEqual(['a@example.org delivered'])
    expect([...open.relay.list()]).toMatchObject([{ queueId, status: 'held', recipients: [{ address: 'b@example.org' }] }])
    await open.stop()
    await start({ routes: [{ port: sink.port }] })
    expect(open.relay.counts()).toMatchObject({ heldCount: 1, queuedCount: 0 })
    expect(log.of('message.finished')).toEqual([])
    expect(sink.messages.flatMap((message) => message.recipients)).toEqual(['a@example.org'])
  })

  it('a message that is not delivered within its hours ends as expired and is kept in quarantine, with a warning', async () => {
    const sink = await sinkWith({ refuseRecipient: (address) => (address.startsWith('a') ? { code: 451, text: '4.2.1 later' } : null) })
    await start({ routes: [{ port: sink.port }], delivery: { lastRetrySeconds: 3_600, expireHours: 2 } })
    const queueId = await accept(['a@example.org', 'b@example.org'])
    for (let count = 1; log.of('message.finished').length === 0; count += 1) {
      await waitForAttempts(count)
      await eventually(() => open.relay.counts().deferredCount === 1 || log.of('message.finished').length === 1)
      time.pass(hourMs)
    }
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 1, failedCount: 0, expiredCount: 1 }])
    expect(attempts().at(-1)!.recipients).toMatchObject([{ address: 'a@example.org', outcome: 'failed', reply: { code: 451 } }])
    expect(attempts().at(-1)!.recipients[0]!.error).toContain('not delivered within 2 hours')
    await eventually(() => open.relay.counts().heldCount === 1)
    expect([...open.relay.list()]).toMatchObject([{ queueId, status: 'held' }])
    expect(operatorLines.join('')).toContain('kept in quarantine as undeliverable')
  })

  it('a refused recipient is a failed one, and its mail is kept in quarantine though another was delivered', async () => {
    const sink = await sinkWith({ refuseRecipient: (address) => (address.startsWith('a') ? { code: 550, text: '5.1.1 unknown' } : null) })
    await start({ routes: [{ port: sink.port }] })
    await accept(['a@example.org', 'b@example.org'], { mayNotifySender: true })
    await waitForFinished(1)
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 1, failedCount: 1 }])
    await eventually(() => open.relay.counts().heldCount === 1)
    expect(open.relay.counts().queuedCount).toBe(0)
  })

  it('a next hop that is down costs one connection for any number of messages, and each is told once why it waits', async () => {
    let connections = 0
    const server = await serverWith(async (dialog) => {
      connections += 1
      dialog.send('421 4.3.2 closed for the night\r\n')
    })
    await start({ routes: [{ port: server.port }], delivery: { connectionsPerRoute: 1 } })
    for (let index = 0; index < 50; index += 1) await accept([`${index}@example.org`])
    await waitForAttempts(50)
    expect(connections).toBe(1)
    for (let probe = 2; probe <= 4; probe += 1) {
      time.pass(60_000)
      await eventually(() => connections >= probe)
      await eventually(() => open.relay.routes()[0]!.connectionCount === 0)
    }
    expect(connections).toBeLessThanOrEqual(5)
    expect(attempts()).toHaveLength(50)
    expect(new Set(attempts().map((event) => event.queueId)).size).toBe(50)
    expect(attempts()[0]!.recipients[0]!.error).toContain('closed for the night')
    expect(operatorLines.filter((line) => line.includes('is down'))).toHaveLength(1)
    expect(open.relay.counts()).toMatchObject({ queuedCount: 50, deferredCount: 50 })
  })

  it('a next hop that comes back gets everything that waited with the next probe', async () => {
    const port = await closedPort()
    await start({ routes: [{ port }] })
    for (let index = 0; index < 20; index += 1) await accept([`${index}@example.org`])
    await waitForAttempts(20)
    await eventually(() => open.relay.routes()[0]!.downBecause !== null)
    const sink = await sinkWith({ port })
    time.pass(300_000)
    await waitForFinished(20)
    expect(sink.counts.messages).toBe(20)
    expect(open.relay.routes()[0]!.downBecause).toBeNull()
    expect(operatorLines.join('')).toContain('is back')
  })

  it('a next hop that is down does not delay another route', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ domain: 'down.example', port: await closedPort() }, { domain: 'up.example', port: sink.port }] })
    await accept(['a@down.example', 'b@up.example'])
    await accept(['c@up.example'])
    await waitForFinished(1)
    await eventually(() => sink.counts.messages === 2)
    expect(sink.messages.flatMap((message) => message.recipients).sort()).toEqual(['b@up.example', 'c@up.example'])
    await eventually(() => open.relay.counts().queuedCount === 1)
    expect(open.relay.counts().deferredCount).toBe(1)
  })

  it('mail behind a next hop that stays down expires', async () => {
    await start({ routes: [{ port: await closedPort() }], delivery: { expireHours: 1 } })
    await accept(['a@example.org'])
    await waitForAttempts(1)
    time.pass(hourMs - 60_000)
    await eventually(() => open.relay.counts().deferredCount === 1)
    expect(log.of('message.finished')).toHaveLength(0)
    await eventually(() => open.relay.routes()[0]!.connectionCount === 0)
    time.pass(120_000)
    await waitForFinished(1)
    expect(log.of('message.finished')).toMatchObject([{ expiredCount: 1 }])
  })

  it('a domain without a route waits, the event and the operator log name the setting, and the log says it once', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ domain: 'example.org', port: sink.port }] })
    await accept(['a@sub.example.org', 'b@example.org'])
    await accept(['c@sub.example.org'])
    await waitForAttempts(3)
    const refused = attempts().find((event) => event.nextHop.route === '')!
    expect(refused.recipients).toMatchObject([{ address: 'a@sub.example.org', outcome: 'deferred' }])
    expect(refused.recipients[0]!.error).toContain('routes in tollgate.yaml')
    expect(operatorLines.filter((line) => line.includes('No route for sub.example.org'))).toHaveLength(1)
    await eventually(() => sink.counts.messages === 1)
    expect(open.relay.counts()).toMatchObject({ queuedCount: 2, deferredCount: 2 })
  })

  it('recipients of all domains with the same next hop go in one transaction', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ domain: 'one.example', port: sink.port }, { domain: 'TWO.example', port: sink.port }] })
    await accept(['a@one.example', 'b@two.example'])
    await waitForFinished(1)
    expect(sink.messages).toMatchObject([{ recipients: ['a@one.example', 'b@two.example'] }])
  })

  it('many messages share the connections of the route, and an idle one is used again', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ port: sink.port }], delivery: { connectionsPerRoute: 3 } })
    for (let round = 1; round <= 3; round += 1) {
      await Promise.all(Array.from({ length: 100 }, (_, index) => accept([`${index}@example.org`])))
      await waitForFinished(round * 100)
    }
    expect(sink.counts.messages).toBe(300)
    expect(sink.counts.connections).toBeLessThanOrEqual(3)
  })

  it('a connection is left after as many messages as the setting says', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ port: sink.port }], delivery: { connectionsPerRoute: 1, messagesPerConnection: 10 } })
    await Promise.all(Array.from({ length: 100 }, (_, index) => accept([`${index}@example.org`])))
    await waitForFinished(100)
    expect(sink.counts.messages).toBe(100)
    expect(sink.counts.connections).toBeGreaterThanOrEqual(10)
  })

  it('a message whose idle connection had died unnoticed goes over another one at once, without a failed attempt', async () => {
    const server = await serverWith(async (dialog, connection) => {
      await dialog.greet()
      await dialog.takeMessage()
      if (connection > 1) return
      await dialog.line()
      dialog.socket.destroy()
    })
    await start({ routes: [{ port: server.port }] })
    await accept(['a@example.org'])
    await waitForFinished(1)
    await accept(['b@example.org'])
    await waitForFinished(2)
    expect(attempts().map((event) => event.recipients[0]!.outcome)).toEqual(['delivered', 'delivered'])
  })

  it('a message that makes the next hop hang up waits alone: others are delivered past it', async () => {
    const server = await serverWith(async (dialog) => {
      await dialog.greet()
      for (;;) {
        const line = await dialog.line()
        if (line.includes('<poison@')) return void dialog.socket.destroy()
        if (line.startsWith('DATA')) {
          dialog.send('354 go\r\n')
          await dialog.data()
        }
        dialog.send('250 ok\r\n')
      }
    })
    await start({ routes: [{ port: server.port }], delivery: { connectionsPerRoute: 1 } })
    await accept(['x@example.org'], { sender: 'poison@example.com' })
    await accept(['y@example.org'])
    await waitForAttempts(1)
    for (let minute = 0; log.of('message.finished').length === 0; minute += 1) {
      time.pass(10_000)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(attempts().filter((event) => event.recipients[0]!.outcome === 'delivered')).toMatchObject([{ recipients: [{ address: 'y@example.org' }] }])
  })

  it('while the event log fails nothing is lost: the message ends once its events are written', async () => {
    const sink = await sinkWith()
    await start({ routes: [{ port: sink.port }] })
    log.failNext = 5
    await accept(['a@example.org'])
    await eventually(() => sink.counts.messages === 1)
    while (log.of('message.finished').length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(open.relay.counts().queuedCount).toBe(1)
      time.pass(1_000)
    }
    await eventually(() => open.relay.counts().queuedCount === 0)
    expect(log.bodies.map((body) => body.kind).sort()).toEqual(['delivery.attempted', 'message.finished'])
  })

  it('retry now tries a deferred message at once, and one behind a next hop that is down too, and tells who asked', async () => {
    let isOpen = false
    const sink = await sinkWith({ refuseRecipient: () => (isOpen ? null : { code: 451, text: 'later' }) })
    const port = await closedPort()
    await start({ routes: [{ domain: 'a.example', port: sink.port }, { domain: 'b.example', port }] })
    const first = await accept(['x@a.example'])
    const second = await accept(['x@b.example'])
    await waitForAttempts(2)
    await eventually(() => open.relay.routes()[1]!.downBecause !== null && open.relay.counts().deferredCount === 2)
    isOpen = true
    await sinkWith({ port })
    expect(open.relay.retryNow(first, 'anna')).toBe(true)
    expect(open.relay.retryNow(second, 'anna')).toBe(true)
    await waitForFinished(2)
    expect(open.relay.retryNow(first, 'anna')).toBe(false)
    const requests = log.of('delivery.attempted').map((body) => [body.queueId, body.requestedBy])
    expect(requests.filter(([, by]) => by !== undefined)).toEqual(expect.arrayContaining([[first, 'anna'], [second, 'anna']]))
    expect(requests.slice(0, 2).map(([, by]) => by)).toEqual([undefined, undefined])
  })

  it('a removed message leaves the queue for good, and its event says so', async () => {
    await start({ routes: [{ port: await closedPort() }] })
    const queueId = await accept(['a@example.org'])
    await waitForAttempts(1)
    expect(await open.relay.remove(queueId, 'anna')).toBe(true)
    await waitForFinished(1)
    expect(attempts().at(-1)!.recipients[0]!).toMatchObject({ outcome: 'failed', error: 'removed from the queue by anna' })
    await eventually(() => open.relay.counts().queuedCount === 0)
    expect([...open.relay.list()]).toEqual([])
    expect(await open.relay.remove(queueId, 'anna')).toBe(false)
  })

  it('stopping lets a delivery under way end, and leaves what waits in the spool', async () => {
    let release = (): void => {}
    const isHeld = new Promise<void>((resolve) => (release = resolve))
    const server = await serverWith(async (dialog) => {
      await dialog.greet()
      for (let index = 0; index < 3; index += 1) dialog.send((await dialog.line()) === 'DATA' ? '354 go\r\n' : '250 ok\r\n')
      await dialog.data()
      await isHeld
      dialog.send('250 taken\r\n')
      await dialog.line()
    })
    await start({ routes: [{ port: server.port }], delivery: { connectionsPerRoute: 1 } })
    await accept(['a@example.org'])
    await eventually(() => server.dialogs[0]?.lines.includes('DATA') === true)
    await accept(['b@example.org'])
    const stopped = open.stop()
    release()
    await stopped
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 1 }])
    const sink = await sinkWith()
    await start({ routes: [{ port: sink.port }] })
    await waitForFinished(2)
    expect(sink.messages).toMatchObject([{ recipients: ['b@example.org'] }])
  })

  it('stopping does not wait for a next hop that never answers', async () => {
    const server = await serverWith((dialog) => dialog.greet())
    await start({ routes: [{ port: server.port }], limits: { relay: { stopMs: 20 } } })
    await accept(['a@example.org'])
    await eventually(() => server.dialogs.length === 1)
    await open.stop()
    expect(log.of('message.finished')).toHaveLength(0)
  })
})
