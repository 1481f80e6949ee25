import { cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { powerCutDisk } from '../../../test/power-cut-disk.ts'
import {
  acceptMessage,
  envelopeTo,
  eventually,
  MemoryEventLog,
  openTestSpool,
  silentLog,
  temporaryFolder,
  type RouteSetting,
} from '../../../test/spool-fixture.ts'
import { watchedDisk } from '../../../test/watched-disk.ts'
import { startSink, type Sink, type SinkOptions } from '../../demo/sink.ts'
import { nodeDisk } from './disk.ts'
import type { OpenSpool, SpoolOptions } from './open-spool.ts'
import { recoverSpool } from './recover-spool.ts'

const octets = 'Subject: hello\r\n\r\nbody\r\n'
const nothingReleased = { wasDeleted: () => false, wasReleaseLogged: () => false }

describe('recovery of the spool', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let sink: Sink
  const opened: OpenSpool[] = []
  const sinks: Sink[] = []
  let copyCount = 0

  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
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

  /** The spool as the process would leave it if it died now. */
  async function crashed(): Promise<string> {
    const copy = join(place.folder, `copy-${(copyCount += 1)}`)
    await cp(join(place.folder, 'spool'), copy, { recursive: true })
    return copy
  }

  async function start(folder = join(place.folder, 'spool'), routes: RouteSetting[] = [], more: Partial<SpoolOptions> = {}): Promise<OpenSpool> {
    const open = await openTestSpool(folder, log, { routes, ...more })
    opened.push(open)
    return open
  }

  const toSink = (to: Sink): RouteSetting[] => [{ port: to.port }]
  const waitForFinished = (count: number) => eventually(() => log.of('message.finished').length >= count)
  /** Lets anything that should not happen have its chance: a message sent through arrives after it. */
  async function sendLater(open: OpenSpool): Promise<void> {
    const finishedBefore = log.of('message.finished').length
    await acceptMessage(open.spool, log, envelopeTo(['later@example.org']), octets)
    await waitForFinished(finishedBefore + 1)
  }
  const received = (from: Sink): string[] => from.messages.flatMap((message) => message.recipients).sort()

  it('nothing is delivered of a message that was written but not committed', async () => {
    const { spool } = await start()
    await spool.begin(envelopeTo([]).queueId).write(Buffer.from(octets))
    await sendLater(await start(await crashed(), toSink(sink)))
    expect(received(sink)).toEqual(['later@example.org'])
  })

  it('a committed message whose event is not durable is dropped: nobody was told that it was accepted', async () => {
    const { spool } = await start()
    const envelope = envelopeTo(['a@example.org'])
    const message = spool.begin(envelope.queueId)
    await message.write(Buffer.from(octets))
    await message.commit(envelope)
    await sendLater(await start(await crashed(), toSink(sink)))
    expect(received(sink)).toEqual(['later@example.org'])
  })

  it('a message whose event is durable is delivered though it was never released', async () => {
    const { spool } = await start()
    const envelope = envelopeTo(['a@example.org'])
    const message = spool.begin(envelope.queueId)
    await message.write(Buffer.from(octets))
    await message.commit(envelope)
    log.logged.add(envelope.queueId)
    await start(await crashed(), toSink(sink))
    await waitForFinished(1)
    expect(sink.messages).toMatchObject([{ recipients: ['a@example.org'], octets: Buffer.from(octets) }])
  })

  it('a released message lives on after the event log has forgotten it', async () => {
    const first = await start()
    const held = envelopeTo(['held@example.org'], { disposition: 'quarantine' })
    await acceptMessage(first.spool, log, held, octets)
    await first.stop()
    log.logged.clear()
    const second = await start(await crashed(), toSink(sink))
    expect([...second.relay.list()]).toMatchObject([{ queueId: held.queueId, status: 'held' }])
  })

  it('an aborted message is not delivered, even if its event reached the disk after all', async () => {
    const { spool } = await start()
    const envelope = envelopeTo(['a@example.org'])
    const message = spool.begin(envelope.queueId)
    await message.write(Buffer.from(octets))
    await message.commit(envelope)
    message.abort()
    log.logged.add(envelope.queueId)
    // A record of its own is fsynced at once; a commit after it is durable after it.
    await acceptMessage(spool, log, envelopeTo(['b@example.org']), octets)
    await start(await crashed(), toSink(sink))
    await waitForFinished(1)
    expect(received(sink)).toEqual(['b@example.org'])
  })

  it('a message aborted while it is being committed is not delivered', async () => {
    const { spool } = await start()
    const envelope = envelopeTo(['a@example.org'])
    const message = spool.begin(envelope.queueId)
    await message.write(Buffer.from(octets))
    const committed = message.commit(envelope)
    message.abort()
    await committed
    message.release()
    log.logged.add(envelope.queueId)
    await acceptMessage(spool, log, envelopeTo(['b@example.org']), octets)
    await start(await crashed(), toSink(sink))
    await waitForFinished(1)
    expect(received(sink)).toEqual(['b@example.org'])
  })

  it('only the recipients without a result are tried again, and attempts are counted on', async () => {
    const picky = await sinkWith({ refuseRecipient: (address) => (address.startsWith('later') ? { code: 451, text: '4.2.1 later' } : null) })
    const first = await start(undefined, toSink(picky))
    await acceptMessage(first.spool, log, envelopeTo(['a@example.org', 'later@example.org', 'c@example.org']), octets)
    await eventually(() => log.of('delivery.attempted').length === 1)
    await first.stop()
    await start(await crashed(), toSink(sink))
    await waitForFinished(1)
    expect(received(picky)).toEqual(['a@example.org', 'c@example.org'])
    expect(received(sink)).toEqual(['later@example.org'])
    expect(log.of('delivery.attempted').map((event) => event.attempt)).toEqual([1, 2])
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 3, failedCount: 0 }])
  })

  it('a delivered message is not sent again when the crash came before its events: they are written once more', async () => {
    const deadLog = new MemoryEventLog()
    deadLog.append = () => new Promise(() => {})
    const first = await openTestSpool(join(place.folder, 'spool'), deadLog, {
      routes: toSink(sink),
      limits: { relay: { stopMs: 1 }, journal: { lazyMs: 1 } },
    })
    const envelope = envelopeTo(['a@example.org'])
    const message = first.spool.begin(envelope.queueId)
    await message.write(Buffer.from(octets))
    await message.commit(envelope)
    message.release()
    await eventually(() => sink.messages.length === 1)
    await first.stop()
    await start(await crashed(), toSink(sink))
    await waitForFinished(1)
    expect(received(sink)).toEqual(['a@example.org'])
    expect(log.of('delivery.attempted')).toMatchObject([{ recipients: [{ outcome: 'delivered' }] }])
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 1 }])
  })

  it('a message that the event log knows as finished is not finished twice', async () => {
    const first = await start(undefined, toSink(sink), { limits: { journal: { lazyMs: 100_000 } } })
    await acceptMessage(first.spool, log, envelopeTo(['a@example.org']), octets)
    await waitForFinished(1)
    const copy = await crashed()
    await sendLater(await start(copy, toSink(sink)))
    expect(received(sink)).toEqual(['a@example.org', 'later@example.org'])
    expect(log.of('message.finished')).toHaveLength(2)
  })

  it('a message in quarantine stays there and is not delivered', async () => {
    const first = await start(undefined, toSink(sink))
    await acceptMessage(first.spool, log, envelopeTo(['a@example.org'], { disposition: 'quarantine' }), octets)
    await first.stop()
    const second = await start(await crashed(), toSink(sink))
    await sendLater(second)
    await eventually(() => second.relay.counts().queuedCount === 0)
    expect(second.relay.counts().heldCount).toBe(1)
    expect(received(sink)).toEqual(['later@example.org'])
  })

  it('undeliverable mail is held, and its end is told once over any number of restarts', async () => {
    const refusing = await sinkWith({ refuseRecipient: () => ({ code: 550, text: '5.1.1 unknown' }) })
    const first = await start(undefined, toSink(refusing))
    await acceptMessage(first.spool, log, envelopeTo(['a@example.org']), octets)
    await waitForFinished(1)
    await first.stop()
    const forgetful = { wasFinished: () => false, ...nothingReleased }
    for (let restart = 0; restart < 3; restart += 1) {
      const again = await openTestSpool(join(place.folder, 'spool'), log, { routes: toSink(sink), ...forgetful })
      expect(again.relay.counts()).toMatchObject({ heldCount: 1, queuedCount: 0 })
      await again.stop()
    }
    expect(log.of('message.finished')).toMatchObject([{ failedCount: 1, deliveredCount: 0 }])
    expect(received(sink)).toEqual([])
  })

  it('undeliverable mail whose end was not yet told when the process died is told after it', async () => {
    const refusing = await sinkWith({ refuseRecipient: () => ({ code: 550, text: '5.1.1 unknown' }) })
    const deadLog = new MemoryEventLog()
    deadLog.append = async (body) => (body.kind === 'message.finished' ? new Promise(() => {}) : undefined)
    const first = await openTestSpool(join(place.folder, 'spool'), deadLog, { routes: toSink(refusing), limits: { relay: { stopMs: 1 } } })
    const envelope = envelopeTo(['a@example.org'])
    await acceptMessage(first.spool, log, envelope, octets)
    await eventually(() => refusing.counts.refusedRecipients === 1)
    await first.stop()
    const second = await start(await crashed(), toSink(sink))
    await waitForFinished(1)
    await eventually(() => second.relay.counts().heldCount === 1)
    expect(log.of('message.finished')).toMatchObject([{ failedCount: 1 }])
  })

  it('a segment cut at any octet of its last record gives every message before it', async () => {
    const folder = join(place.folder, 'spool')
    const first = await start(folder)
    const [kept, last] = [envelopeTo(['kept@example.org']), envelopeTo(['last@example.org'])]
    await acceptMessage(first.spool, log, kept, octets)
    const path = join(folder, (await readdir(folder))[0]!)
    const lengthBefore = (await stat(path)).size
    const message = first.spool.begin(last.queueId)
    await message.write(Buffer.from(octets))
    await message.commit(last)
    const whole = await readFile(path)
    const all = { wasLogged: () => true, wasFinished: () => false, ...nothingReleased }
    const cutFolder = join(place.folder, 'cut')
    await mkdir(cutFolder)
    for (let length = lengthBefore; length <= whole.length; length += 1) {
      await writeFile(join(cutFolder, 'segment-0000000001.spool'), whole.subarray(0, length))
      const recovered = await recoverSpool(cutFolder, nodeDisk, all, silentLog)
      const ids = recovered.messages.map((one) => one.queueId)
      if (length === whole.length) expect(ids).toEqual([kept.queueId, last.queueId])
      else {
        expect(ids, `cut at ${length} of ${whole.length}`).toContain(kept.queueId)
        expect(ids).not.toContain(last.queueId)
      }
      const isTorn = length !== whole.length && recovered.torn.length === 1
      expect(isTorn || recovered.torn.length === 0).toBe(true)
    }
  })

  it('a segment damaged in the middle is reported and kept for a person, and the others are read', async () => {
    const folder = join(place.folder, 'spool')
    const first = await start(folder, [], { limits: { journal: { segmentBytes: 600 } } })
    for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await acceptMessage(first.spool, log, envelopeTo([`${name}@example.org`]), octets)
    await first.stop()
    const names = (await readdir(folder)).sort()
    expect(names.length).toBeGreaterThan(2)
    const damaged = await readFile(join(folder, names[0]!))
    damaged[40]! ^= 0xff
    await writeFile(join(folder, names[0]!), damaged)
    const second = await start(folder, toSink(sink))
    await waitForFinished(1)
    await eventually(() => second.relay.counts().queuedCount === 0)
    expect(received(sink)).toContain('f@example.org')
    expect(received(sink)).not.toContain('a@example.org')
    await second.stop()
    expect(await readdir(folder)).toEqual([`${names[0]}.damaged`])
  })

  it('a large message is delivered after a crash, and one whose file is cut is reported as lost', async () => {
    const folder = join(place.folder, 'spool')
    const first = await start(folder)
    const large = Buffer.alloc(2_000_000, 'a line of text\r\n')
    const [whole, cut] = [envelopeTo(['whole@example.org']), envelopeTo(['cut@example.org'])]
    await acceptMessage(first.spool, log, whole, large)
    await acceptMessage(first.spool, log, cut, large)
    const copy = await crashed()
    await truncate(join(copy, `large-${cut.queueId}.eml`), 1_999_999)
    await writeFile(join(copy, 'large-01890000-0000-7000-8000-000000000000.eml'), 'of a message that was never committed')
    const recovered = await recoverSpool(copy, nodeDisk, log, silentLog)
    expect(recovered.lost).toEqual([cut.queueId])
    await start(copy, toSink(sink))
    await waitForFinished(1)
    expect(received(sink)).toEqual(['whole@example.org'])
    await eventually(() => sink.messages[0]!.octets!.equals(large))
    expect(await readdir(copy)).not.toContain('large-01890000-0000-7000-8000-000000000000.eml')
  })

  it('octets and name of a large message are on the medium before the record that speaks of it is written', async () => {
    const disk = watchedDisk()
    const first = await start(undefined, [], { disk })
    await acceptMessage(first.spool, log, envelopeTo(['a@example.org']), octets)
    disk.steps.length = 0
    await acceptMessage(first.spool, log, envelopeTo(['b@example.org']), Buffer.alloc(2_000_000, 'x'))
    const steps = disk.steps.map(({ operation, name }) => `${operation} ${name.replace(/-.*/, '')}`)
    const recorded = steps.lastIndexOf('write segment')
    expect(steps.slice(0, recorded)).toEqual(expect.arrayContaining(['sync large', 'sync-folder spool']))
    expect(steps.indexOf('sync-folder spool')).toBeGreaterThan(steps.indexOf('create large'))
    expect(steps.indexOf('sync large')).toBeGreaterThan(steps.lastIndexOf('write large'))
  })

  it('one old message does not pin the segments of all that were delivered since, and survives being moved', async () => {
    const picky = await sinkWith({ refuseRecipient: (address) => (address.startsWith('old') ? { code: 451, text: 'later' } : null) })
    const folder = join(place.folder, 'spool')
    const limits = { journal: { segmentBytes: 20_000, lazyMs: 1 }, store: { deadBytes: 40_000 } }
    const first = await start(folder, toSink(picky), { limits })
    await acceptMessage(first.spool, log, envelopeTo(['old@example.org']), octets)
    for (let index = 0; index < 40; index += 1) {
      await acceptMessage(first.spool, log, envelopeTo([`new${index}@example.org`]), 'x'.repeat(5_000))
    }
    await waitForFinished(40)
    await first.stop()
    const sizes = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size))
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(100_000)
    await start(folder, toSink(sink))
    await waitForFinished(41)
    expect(received(sink)).toEqual(['old@example.org'])
    expect(sink.messages[0]!.octets!.toString()).toBe(octets)
  })

  it('messages over the memory budget are read back from the disk, unchanged', async () => {
    const first = await start(undefined, toSink(sink), { limits: { store: { octetsInMemoryBytes: 0 } } })
    for (let index = 0; index < 20; index += 1) await acceptMessage(first.spool, log, envelopeTo([`${index}@example.org`]), `${index}\r\n${octets}`)
    await waitForFinished(20)
    for (const message of sink.messages) {
      expect(message.octets!.toString()).toBe(`${Number.parseInt(message.recipients[0]!)}\r\n${octets}`)
    }
  })

  it('whenever the power fails, every message that was acknowledged is recovered and none that was aborted', async () => {
    // Every cut point of one run: how many operations there are is seen from a run without a cut.
    let stepCount = 0
    for (let cutAtStep = 1; cutAtStep <= stepCount + 1 || stepCount === 0; cutAtStep += 1) {
      const isUncut = stepCount === 0
      const disk = powerCutDisk(isUncut ? Infinity : cutAtStep)
      const folder = join(place.folder, `powered-${cutAtStep}-${isUncut}`)
      const acknowledged: string[] = []
      const logged = new Set<string>()
      const aborted: string[] = []
      const opening = openTestSpool(folder, log, {
        disk,
        limits: { journal: { segmentBytes: 4_000, lazyMs: 1 }, store: { smallMessageBytes: 1_000 } },
      })
      const open = await Promise.race([opening, new Promise<null>((resolve) => setTimeout(resolve, 1_000, null))])
      if (open !== null) {
        const accept = async (size: number, isAborted: boolean) => {
          const envelope = envelopeTo(['a@example.org'])
          const message = open.spool.begin(envelope.queueId)
          await message.write(Buffer.alloc(size, 'x'))
          await message.commit(envelope)
          if (isAborted) {
            message.abort()
            aborted.push(envelope.queueId)
            return
          }
          logged.add(envelope.queueId)
          message.release()
          acknowledged.push(envelope.queueId)
        }
        for (let round = 0; round < 3; round += 1) {
          const all = Promise.all([accept(100, false), accept(900, false), accept(3_000, false), accept(50, true)])
          await (isUncut ? all : Promise.race([all, new Promise((resolve) => setTimeout(resolve, 60))]))
        }
      }
      // Before a cut that has not come yet more may be acknowledged: only what was by now has to be there.
      const promised = [...acknowledged]
      const restored = join(place.folder, `restored-${cutAtStep}-${isUncut}`)
      await mkdir(restored)
      await disk.restoreInto(restored)
      const recovered = await recoverSpool(restored, nodeDisk, { wasLogged: (id) => logged.has(id), wasFinished: () => false, ...nothingReleased }, silentLog)
      const ids = recovered.messages.map((message) => message.queueId)
      expect(ids, `power cut at step ${cutAtStep}`).toEqual(expect.arrayContaining(promised))
      expect(ids.filter((id) => aborted.includes(id))).toEqual([])
      expect(recovered.lost).toEqual([])
      await rm(folder, { recursive: true, force: true })
      if (isUncut) {
        stepCount = disk.stepCount
        expect(acknowledged).toHaveLength(9)
        cutAtStep = 0
        void open!.stop()
      }
    }
    expect(stepCount).toBeGreaterThan(10)
  })
})
