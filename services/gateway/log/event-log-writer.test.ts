import { appendFile, mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  eventSchemas,
  maxLineBytes,
  type EventBody,
  type RuleHit,
  type TollgateEvent,
  type TransactionEnded,
} from '../../contracts/event.ts'
import { nodeDisk, type Disk } from '../spool/disk.ts'
import { openEventLog, type EventLogOptions, type EventLogWriter } from './event-log-writer.ts'
import { Harness } from '../../../test/gateway-harness.ts'

let folder: string
let nowMs: number
const opened: EventLogWriter[] = []

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-log-'))
  nowMs = Date.UTC(2026, 10, 24)
})
afterEach(async () => {
  for (const writer of opened.splice(0)) await writer.close('end of the test').catch(() => {})
  await rm(folder, { recursive: true })
})

const alive: EventBody = { kind: 'gateway.alive', queuedCount: 0 }

async function open(options: Partial<EventLogOptions> = {}): Promise<EventLogWriter> {
  const clock = { nowMs: () => nowMs, monotonicUs: () => 0 }
  const writer = await openEventLog({ folder, tenantId: 'main', node: 'gw-1', version: '0', clock, ...options })
  opened.push(writer)
  return writer
}

async function segments(): Promise<{ name: string; events: TollgateEvent[] }[]> {
  const names = (await readdir(folder)).sort()
  return Promise.all(
    names.map(async (name) => {
      const text = await readFile(path.join(folder, name), 'utf8')
      expect(text.endsWith('\n')).toBe(true)
      return {
        name,
        events: text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as TollgateEvent),
      }
    }),
  )
}

/** A disk that fails where the test says so. */
function failingDisk(fails: Partial<Record<'writeAt' | 'sync' | 'truncate' | 'create', () => boolean>>): Disk {
  const failure = () => Object.assign(new Error('no space left'), { code: 'ENOSPC' })
  return {
    ...nodeDisk,
    create: async (file) => (fails.create?.() ? Promise.reject(failure()) : nodeDisk.create(file)),
    async writeAt(file, buffers, position) {
      if (!fails.writeAt?.()) return nodeDisk.writeAt(file, buffers, position)
      // A disk that runs full takes the first octets.
      await nodeDisk.writeAt(file, [Buffer.concat(buffers).subarray(0, 30)], position)
      throw failure()
    },
    sync: async (file) => (fails.sync?.() ? Promise.reject(failure()) : nodeDisk.sync(file)),
    truncate: async (file, length) =>
      fails.truncate?.() ? Promise.reject(failure()) : nodeDisk.truncate(file, length),
  }
}

describe('the event log', () => {
  it('numbers lines without a gap however many append at once', async () => {
    const writer = await open({ segmentBytes: 20_000, batchBytes: 2_000 })
    const waiting: Promise<void>[] = []
    for (let round = 0; round < 30; round += 1) {
      for (let index = 0; index < 20; index += 1) waiting.push(writer.append(alive))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(waiting)
    await writer.close('done')
    const found = await segments()
    expect(found.length).toBeGreaterThan(3)
    const seqs = found.flatMap(({ events }) => events.map(({ seq }) => seq))
    expect(seqs).toEqual(seqs.map((_, index) => index + 1))
    expect(seqs.length).toBe(602 + found.length)
  })

  it('is on the disk and fsynced when an append resolves, and shares fsyncs', async () => {
    let syncs = 0
    let unsynced = 0
    const disk: Disk = {
      ...nodeDisk,
      async writeAt(...write) {
        unsynced += 1
        await nodeDisk.writeAt(...write)
      },
      async sync(file) {
        await nodeDisk.sync(file)
        syncs += 1
        unsynced = 0
      },
    }
    const writer = await open({ disk })
    await Promise.all(Array.from({ length: 100 }, () => writer.append(alive).then(() => expect(unsynced).toBe(0))))
    expect(syncs).toBeLessThan(6)
  })

  it('begins every segment with its header, which names the last line of the one before', async () => {
    const writer = await open({ segmentBytes: 600, segmentAgeMs: 1_000 })
    for (let index = 0; index < 6; index += 1) await writer.append(alive)
    nowMs += 1_000
    await writer.append(alive)
    await writer.close('done')
    const found = await segments()
    let lastSeq = 0
    found.forEach(({ name, events }, index) => {
      expect(name).toBe(`gw-1-1-${String(index + 1).padStart(6, '0')}.jsonl`)
      expect(events[0]).toMatchObject({
        kind: 'segment.opened',
        segment: index + 1,
        bootNumber: 1,
        previousSeq: lastSeq,
        boot: writer.boot,
      })
      expect(events.filter(({ kind }) => kind === 'segment.opened')).toHaveLength(1)
      lastSeq = events.at(-1)!.seq
    })
    expect(found.at(-1)!.events.at(-1)).toMatchObject({ kind: 'gateway.stopped', reason: 'done' })
  })

  it('tells a new boot how the one before ended', async () => {
    const first = await open()
    await first.append(alive)
    await first.close('done')
    const second = await open()
    await second.append(alive)
    const third = await open()
    await third.close('done')
    const started = (await segments()).flatMap(({ events }) =>
      events.filter((event) => event.kind === 'gateway.started'),
    )
    expect(started).toMatchObject([
      { bootNumber: 1, previousBoot: null, previousSeq: null, previousEndedCleanly: null },
      { bootNumber: 2, previousBoot: first.boot, previousSeq: 4, previousEndedCleanly: true },
      { bootNumber: 3, previousBoot: second.boot, previousSeq: 3, previousEndedCleanly: false },
    ])
  })

  it('leaves a torn last line as it is and writes into a new segment', async () => {
    const first = await open()
    await first.append(alive)
    const file = path.join(folder, 'gw-1-1-000001.jsonl')
    await appendFile(file, '{"tenantId":"main","node":"gw-1","bo')
    const torn = await readFile(file)
    const second = await open()
    expect(second.previous).toMatchObject({ boot: first.boot, lastSeq: 3, endedCleanly: false })
    expect(await readFile(file)).toEqual(torn)
  })

  it('never uses the number of a boot again of which no line is whole', async () => {
    const first = await open()
    await first.close('done')
    await appendFile(path.join(folder, 'gw-1-2-000001.jsonl'), '{"tenantId":"ma')
    const next = await open()
    expect(next.bootNumber).toBe(3)
    expect(next.previous).toMatchObject({ boot: first.boot, endedCleanly: true })
  })

  for (const step of ['writeAt', 'sync'] as const) {
    it(`rejects what a failed ${step} was to keep, and takes the next events without a gap or a half line`, async () => {
      let isFailing = false
      const failures: string[] = []
      const writer = await open({
        disk: failingDisk({ [step]: () => isFailing }),
        onFailure: (error) => failures.push(error.message),
      })
      await writer.append(alive)
      isFailing = true
      await expect(writer.append(alive)).rejects.toThrow('the event log could not be written')
      isFailing = false
      await writer.append(alive)
      await writer.close('done')
      const found = await segments()
      expect(found.flatMap(({ events }) => events.map(({ seq, kind }) => `${seq} ${kind}`))).toEqual([
        '1 segment.opened',
        '2 gateway.started',
        '3 gateway.alive',
        '4 segment.opened',
        '5 gateway.alive',
        '6 gateway.stopped',
      ])
      expect(found[1]!.events[0]).toMatchObject({ previousSeq: 3, segment: 2 })
      expect(failures.length).toBeGreaterThan(0)
    })
  }

  it('takes nothing until the half line of a failed write is cut off', async () => {
    let isFailing = false
    let isUncuttable = false
    const writer = await open({ disk: failingDisk({ writeAt: () => isFailing, truncate: () => isUncuttable }) })
    isFailing = isUncuttable = true
    await expect(writer.append(alive)).rejects.toThrow()
    isFailing = false
    await expect(writer.append(alive)).rejects.toThrow()
    isUncuttable = false
    await writer.append(alive)
    await writer.close('done')
    expect((await segments()).flatMap(({ events }) => events.map(({ seq }) => seq))).toEqual([1, 2, 3, 4, 5])
  })

  it('leaves no empty segment behind when the disk is full at its creation', async () => {
    let isFailing = false
    const writer = await open({ disk: failingDisk({ create: () => isFailing }), segmentBytes: 1 })
    isFailing = true
    await expect(writer.append(alive)).rejects.toThrow()
    isFailing = false
    await writer.append(alive)
    expect((await segments()).map(({ name }) => name)).toEqual(['gw-1-1-000001.jsonl', 'gw-1-1-000002.jsonl'])
  })

  it('gives the time of the line to the message, so that no later line is older', async () => {
    const harness = new Harness()
    await harness.connect().deliver('Subject: a\r\n\r\nb')
    const writer = await open()
    await writer.append(harness.log.transactions[0]!)
    const event = (await segments())[0]!.events.at(-1) as TransactionEnded
    expect(event.endedAt).toBe(event.at)
  })

  it('cuts matched text and headers of a line that is too long, and never a recipient', async () => {
    const harness = new Harness()
    await harness.connect().deliver('Subject: a\r\n\r\nb')
    const base = harness.log.transactions[0]!
    const recipient = base.recipients[0]!
    const hit: RuleHit = {
      ruleId: 'r',
      revision: 1,
      branch: 'then',
      attribute: 'subject',
      matchedText: '€'.repeat(21),
      weight: 1,
      marks: [],
      action: 'none',
      shadow: false,
    }
    const evaluation = { stage: 'rcpt', weightBefore: 0, weightAfter: 1, durationUs: 1 } as const
    const check = Compile(eventSchemas['transaction.ended'])
    const writer = await open()
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2_000 }),
        fc.integer({ min: 0, max: 100 }),
        async (recipientCount, headerCount) => {
          const recipients = Array.from({ length: recipientCount }, (_, index) => ({
            ...recipient,
            address: `${index}@example.com`,
          }))
          await writer.append({
            ...base,
            recipients,
            headers: Array.from({ length: headerCount }, (_, index) => ({
              name: `X-${index}`,
              value: 'v'.repeat(1_000),
            })),
            evaluations: recipients.map((_, index) => ({
              ...evaluation,
              recipient: index,
              hits: Array.from({ length: 5 }, () => hit),
            })),
          })
          const lines = (await readFile(path.join(folder, 'gw-1-1-000001.jsonl'), 'utf8')).trimEnd().split('\n')
          const line = lines.at(-1)!
          expect(Buffer.byteLength(line) + 1).toBeLessThanOrEqual(maxLineBytes)
          const event = JSON.parse(line) as TransactionEnded
          expect(event.recipients.map(({ address }) => address)).toEqual(recipients.map(({ address }) => address))
          expect(check.Check(event)).toBe(true)
        },
      ),
      { numRuns: 12 },
    )
  })

  it('writes a history on another clock and syncs it at its close', async () => {
    let syncs = 0
    const disk: Disk = { ...nodeDisk, sync: async (file) => void ((syncs += 1), await nodeDisk.sync(file)) }
    nowMs = Date.UTC(2026, 9, 1)
    const writer = await open({ sync: 'at-close', disk })
    for (let index = 0; index < 50; index += 1) {
      nowMs += 1_000
      await writer.append(alive)
    }
    expect(syncs).toBe(0)
    await writer.close('done')
    expect(syncs).toBe(1)
    expect((await segments())[0]!.events.at(-2)).toMatchObject({ at: '2026-10-01T00:00:50.000Z' })
  })
})
