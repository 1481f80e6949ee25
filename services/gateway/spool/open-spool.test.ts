import { readdir } from 'node:fs/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startSink, type Sink } from '../../demo/sink.ts'
import type { OpenSpool } from './open-spool.ts'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, newQueueId, openTestSpool, temporaryFolder } from '../../../test/spool-fixture.ts'

describe('the spool with its relay', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let sink: Sink
  let log: MemoryEventLog
  let open: OpenSpool

  beforeEach(async () => {
    place = await temporaryFolder()
    sink = await startSink({ port: 0, keepOctets: true, keepCount: 10_000 })
    log = new MemoryEventLog()
    open = await openTestSpool(place.folder, log, { routes: [{ port: sink.port }] })
  })
  afterEach(async () => {
    await open.stop()
    await sink.stop()
    await place.remove()
  })

  it('delivers a released message byte for byte, with the prepended headers first', async () => {
    const octets = 'Subject: hello\r\n\r\n.dot\r\n..two\r\nbody\r\n'
    await acceptMessage(open.spool, log, envelopeTo(['a@example.org', 'b@example.org'], { prependedHeaders: 'Received: x\r\n' }), octets)
    await eventually(() => log.of('message.finished').length === 1)
    expect(sink.messages).toHaveLength(1)
    expect(sink.messages[0]!.octets!.toString()).toBe(`Received: x\r\n${octets}`)
    expect(sink.messages[0]!.recipients).toEqual(['a@example.org', 'b@example.org'])
    expect(log.of('delivery.attempted')).toMatchObject([
      { attempt: 1, sentBytes: octets.length + 13, recipients: [{ outcome: 'delivered' }, { outcome: 'delivered' }] },
    ])
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 2, failedCount: 0, expiredCount: 0 }])
  })

  it('delivers a message larger than the shared segment takes, from a file of its own that is removed afterwards', async () => {
    const octets = Buffer.alloc(3_000_000, 'line of text\r\n')
    await acceptMessage(open.spool, log, envelopeTo(['a@example.org']), octets)
    expect((await readdir(place.folder)).filter((name) => name.startsWith('large-'))).toHaveLength(1)
    await eventually(() => log.of('message.finished').length === 1)
    expect(sink.messages[0]!.octets!.subarray(0, octets.length).equals(octets)).toBe(true)
    await open.stop()
    expect((await readdir(place.folder)).filter((name) => name.startsWith('large-'))).toHaveLength(0)
  })

  it.each([1_000, 3_000_000])('gives back a message of %i octets before it is committed, as often as it is asked', async (size) => {
    const octets = Buffer.alloc(size, 'line of text\r\n')
    const message = open.spool.begin(newQueueId())
    for (let at = 0; at < size; at += 60_000) await message.write(octets.subarray(at, at + 60_000))
    for (const _reader of ['first', 'second']) {
      const chunks: Uint8Array[] = []
      for await (const chunk of message.octets()) chunks.push(chunk)
      expect(Buffer.concat(chunks).equals(octets)).toBe(true)
    }
    message.abort()
  })

  it('delivers a thousand messages over few connections', async () => {
    await Promise.all(
      Array.from({ length: 1_000 }, (_, index) =>
        acceptMessage(open.spool, log, envelopeTo([`user${index}@example.org`]), `Subject: ${index}\r\n\r\nbody\r\n`),
      ),
    )
    await eventually(() => log.of('message.finished').length === 1_000)
    expect(new Set(sink.messages.map((message) => message.recipients[0])).size).toBe(1_000)
    expect(sink.counts.connections).toBeLessThanOrEqual(10)
  })

  it('every message arrives octet for octet, whatever dots, blank lines and octets it holds', async () => {
    const line = fc.string({ unit: fc.constantFrom('.', '..', 'a', ' ', 'é', '\0', 'Subject: ') })
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 30 }), async (lines) => {
        const octets = Buffer.from(lines.map((text) => `${text}\r\n`).join(''))
        const envelope = envelopeTo([`${newQueueId()}@example.org`])
        await acceptMessage(open.spool, log, envelope, octets)
        await eventually(() => log.of('message.finished').some((event) => event.queueId === envelope.queueId))
        const message = sink.messages.find(({ recipients }) => recipients[0] === envelope.recipients[0]!.address)
        expect(message!.octets!.equals(octets)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })

  it('leaves no spool file behind when everything is delivered', async () => {
    await acceptMessage(open.spool, log, envelopeTo(['a@example.org']), 'Subject: x\r\n\r\nbody\r\n')
    await eventually(() => log.of('message.finished').length === 1)
    await open.stop()
    expect(await readdir(place.folder)).toEqual([])
  })
})
