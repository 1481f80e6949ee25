/** Exactly once, whatever happens to the process, to the files and to the order. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { appendFile, copyFile, mkdir, rename, truncate, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../services/database/open-database.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import { startIngest } from '../services/ingest/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { LogBuilder } from './event-builder.ts'
import { addTenant, emptyTables, isIngested, snapshotOf, until, withTemporaryFolder, type RowSnapshot } from './ingest-rows.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const log = openOperatorLog('ingest', { level: 'silent' })
const childPath = path.join(import.meta.dirname, '../dist/test/harness/ingest-child.js')

type Segment = { fileName: string; lines: string[] }

/** Two boots of one node, three segments each, with a policy, an escaped NUL and a line that is none. */
function twoBoots(transactionsPerSegment: number): { boots: LogBuilder[]; segments: Segment[] } {
  const segments: Segment[] = []
  const boots: LogBuilder[] = []
  for (const bootNumber of [1, 2]) {
    const before = boots.at(-1)
    const builder = new LogBuilder({ bootNumber, seed: 5, previousBoot: before === undefined ? null : { boot: before.boot, seq: before.seq, endedCleanly: true }, ...(before === undefined ? {} : { startMs: before.nowMs + 60_000 }) })
    boots.push(builder)
    for (let segment = 0; segment < 3; segment += 1) {
      const lines = builder.segmentStart()
      lines.push(builder.line({ kind: 'policy.loaded', part: 'ruleset', hash: String(bootNumber).repeat(64), content: { rules: [bootNumber] } }))
      for (let index = 0; index < transactionsPerSegment; index += 1) lines.push(...builder.transaction(index === 3 ? { subject: 'a\0b' } : {}))
      if (segment === 2) lines.push(builder.stopped())
      segments.push({ fileName: builder.fileName, lines })
    }
  }
  return { boots, segments }
}

describe('ingest', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })
  beforeEach(async () => {
    await emptyTables(test.url)
    await addTenant(test.database)
  })

  const ingest = (file: string, limits?: { events: number; sizeBytes: number }) =>
    ingestFile({ database: test.database, tenantId: 'main', path: file, ...(limits === undefined ? {} : { limits }) })

  /** Follows until the newest segment of the folder is in: every other file was read before it. */
  const followUntil = async (data: string, boot: LogBuilder): Promise<void> => {
    const service = await startIngest({ config: { tenant: 'main', data }, database: test.database, log })
    await until(() => isIngested(test.database, boot.boot, boot.seq))
    await service.stop()
  }

  const undisturbed = async (segments: Segment[]): Promise<RowSnapshot> =>
    await withTemporaryFolder(async (folder) => {
      for (const segment of segments) {
        await writeFile(path.join(folder, segment.fileName), segment.lines.join(''))
        await ingest(path.join(folder, segment.fileName))
      }
      const rows = await snapshotOf(test.database)
      await emptyTables(test.url)
      return rows
    })

  it('loads every row of an undisturbed log, and says that it is complete', async () => {
    const { boots, segments } = twoBoots(20)
    const rows = await undisturbed(segments)
    expect(rows['mail_transaction']).toHaveLength(120)
    expect(rows['session_closed']).toHaveLength(120)
    expect(rows['policy_version']).toHaveLength(2)
    expect(rows['rejected_line']).toEqual([])
    expect(rows['miscounted_batch']).toEqual([])
    expect(rows['log_boot']).toHaveLength(2)
    for (const builder of boots) {
      expect(rows['log_boot']).toContainEqual(expect.objectContaining({ boot: builder.boot, seqs: `{[1,${builder.seq + 1})}`, ended_cleanly: true, boot_number: builder.bootNumber }))
    }
    const recipients = segments.flatMap((segment) => segment.lines).map((line) => JSON.parse(line) as { recipients?: { normalized?: string }[] })
      .flatMap((event) => event.recipients ?? []).filter((recipient) => recipient.normalized !== undefined)
    expect(rows['transaction_recipient']).toHaveLength(recipients.length)
  })

  const steps = [
    'locked', 'batch', 'copied delivery_attempt', 'copied mail_transaction', 'copied message_finished', 'copied rule_hit', 'copied session_closed',
    'copied transaction_detail', 'copied transaction_recipient', 'rows', 'rejected', 'seqs', 'position', 'before-commit', 'committed',
  ]
  it.each(steps)('ends in the same rows when the process is killed at the step "%s" of a batch', { timeout: 120_000 }, async (step) => {
    if (!existsSync(childPath)) throw new Error('dist is missing: run `npm run build:services` first')
    const { boots, segments } = twoBoots(40)
    const expected = await undisturbed(segments)
    await addTenant(test.database)
    await withTemporaryFolder(async (data) => {
      const events = path.join(data, 'events')
      await mkdir(events)
      for (const segment of segments) await writeFile(path.join(events, segment.fileName), segment.lines.join(''))
      for (const count of [2, 1]) {
        const child = spawn(process.execPath, [childPath, test.url, data, step, String(count)], { stdio: ['ignore', 'ignore', 'inherit'] })
        const signal = await new Promise((resolve) => child.on('exit', (_code, name) => resolve(name)))
        expect(signal).toBe('SIGKILL')
      }
      await followUntil(data, boots[1]!)
    })
    expect(await snapshotOf(test.database)).toEqual(expected)
  })

  it('counts every message once when segments are copied, renamed, cut, packed and shipped again', { timeout: 120_000 }, async () => {
    const { boots, segments } = twoBoots(60)
    const expected = await undisturbed(segments)
    await addTenant(test.database)
    await withTemporaryFolder(async (data) => {
      const events = path.join(data, 'events')
      await mkdir(events)
      const at = (name: string): string => path.join(events, name)
      for (const segment of segments) await writeFile(at(segment.fileName), segment.lines.join(''))
      const [first, second, third] = segments as [Segment, Segment, Segment]
      await writeFile(at('half.jsonl'), second.lines.slice(0, 100).join(''))
      await writeFile(at('without-header.jsonl'), second.lines.slice(50, 150).join(''))
      await writeFile(at('one-file.jsonl'), [...third.lines, ...first.lines].join(''))
      await writeFile(at('packed.jsonl.gz'), gzipSync(second.lines.join('')))
      await followUntil(data, boots[1]!)
      expect(await snapshotOf(test.database)).toEqual(expected)

      await copyFile(at(first.fileName), at('copy.jsonl'))
      await rename(at(second.fileName), at('renamed.jsonl'))
      await truncate(at(third.fileName), 5_000)
      await appendFile(at(third.fileName), third.lines.at(-1)!)
      const sentinel = new LogBuilder({ bootNumber: 3, seed: 5, previousBoot: { boot: boots[1]!.boot, seq: boots[1]!.seq, endedCleanly: true } })
      await writeFile(at(sentinel.fileName), sentinel.segmentStart().join(''))
      await followUntil(data, sentinel)
      for (const name of ['copy.jsonl', 'renamed.jsonl', 'half.jsonl', 'packed.jsonl.gz', first.fileName]) {
        expect(await ingest(at(name))).toMatchObject({ newEventCount: 0, rejectedLineCount: 0 })
      }
    })
    const rows = await snapshotOf(test.database)
    for (const table of Object.keys(expected)) {
      if (['log_boot', 'gateway_event', 'rejected_line'].includes(table)) continue
      expect(rows[table], table).toEqual(expected[table])
    }
    // Where the cut line and the one behind it ran together.
    expect(rows['rejected_line']).toEqual([expect.objectContaining({ reason: 'not-json' })])
  })

  it('loads each event once when two processes follow the same files and a third is given them', { timeout: 120_000 }, async () => {
    const { boots, segments } = twoBoots(150)
    const expected = await undisturbed(segments)
    await addTenant(test.database)
    await withTemporaryFolder(async (data) => {
      const events = path.join(data, 'events')
      await mkdir(events)
      const other = openDatabase(test.url, { applicationName: 'test' })
      const services = [
        await startIngest({ config: { tenant: 'main', data }, database: test.database, log }),
        await startIngest({ config: { tenant: 'main', data }, database: other, log }),
      ]
      for (const segment of segments) {
        const file = path.join(events, segment.fileName)
        for (let from = 0; from < segment.lines.length; from += 100) await appendFile(file, segment.lines.slice(from, from + 100).join(''))
        await Promise.all([ingest(file), ingest(file, { events: 37, sizeBytes: 1_000_000 })])
      }
      await until(() => isIngested(test.database, boots[1]!.boot, boots[1]!.seq))
      await Promise.all(services.map((service) => service.stop()))
      await other.close()
    })
    expect(await snapshotOf(test.database)).toEqual(expected)
  })

  it('lets a second loader of the same boot wait until the first is through', async () => {
    const builder = new LogBuilder()
    const lines = [...builder.segmentStart(), ...builder.transaction(), ...builder.transaction()]
    let first: ReturnType<typeof ingest> | null = null
    await withTemporaryFolder(async (folder) => {
      const [head, tail] = [path.join(folder, 'head'), path.join(folder, 'tail')]
      await writeFile(head, lines.slice(0, 3).join(''))
      await writeFile(tail, lines.slice(3).join(''))
      await ingest(head)
      let release = (): void => {}
      const released = new Promise<void>((resolve) => (release = resolve))
      const isHeld = new Promise<void>((resolve) => {
        const onStep = async (step: string): Promise<void> => {
          if (step !== 'locked') return
          resolve()
          await released
        }
        first = ingestFile({ database: test.database, tenantId: 'main', path: tail, onStep })
      })
      await isHeld
      // Only the owner sees what other sessions wait for.
      const owner = openDatabase(test.url, { applicationName: 'test', role: 'owner', maxConnections: 1 })
      let isSecondDone = false
      const second = ingest(head).finally(() => (isSecondDone = true))
      let waitingCount = 0n
      await until(async () => {
        const { rows } = await owner.pool.query<{ count: bigint }>(
          `select count(*) as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        )
        waitingCount = rows[0]!.count
        return isSecondDone || waitingCount > 0n
      })
      await owner.close()
      release()
      expect(waitingCount).toBe(1n)
      expect(await first).toMatchObject({ newEventCount: lines.length - 3 })
      expect(await second).toMatchObject({ newEventCount: 0, knownEventCount: 3, rejectedLineCount: 0 })
    })
  })

  it('reads a whole segment from its header where a copy with a hole had come as far', async () => {
    const builder = new LogBuilder()
    const start = builder.segmentStart()
    // Of equal length: the copy without the first of them ends where a line of the whole segment ends.
    const alive = Array.from({ length: 4 }, () => builder.line({ kind: 'gateway.alive', queuedCount: 0 }))
    await withTemporaryFolder(async (data) => {
      const events = path.join(data, 'events')
      await mkdir(events)
      const file = path.join(events, 'segment.jsonl')
      await writeFile(file, [...start, ...alive.slice(1)].join(''))
      const service = await startIngest({ config: { tenant: 'main', data }, database: test.database, log })
      await until(async () => (await test.database.pool.query('select from log_boot where seqs @> 6::bigint')).rows.length > 0)
      await service.stop()
      await writeFile(file, [...start, ...alive].join(''))
      await followUntil(data, builder)
    })
  })

  it('gives the same rows for any partition of a log into files, batches, repetitions and orders', { timeout: 300_000 }, async () => {
    const { segments } = twoBoots(12)
    const expected = await undisturbed(segments)
    const lines = segments.flatMap((segment) => segment.lines)
    const cut = fc.record({ from: fc.nat(lines.length - 1), count: fc.integer({ min: 1, max: lines.length }), events: fc.integer({ min: 1, max: 60 }), gzip: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { maxLength: 5 }), fc.integer({ min: 1, max: 80 }), fc.nat(1_000_000), async (cuts, events, seed) => {
        await emptyTables(test.url)
        await withTemporaryFolder(async (folder) => {
          const pieces = [...cuts.map((piece) => ({ ...piece, text: lines.slice(piece.from, piece.from + piece.count).join('') }))]
          // Whatever the cuts left out comes with the segments, which are shuffled among them.
          for (const segment of segments) pieces.push({ from: 0, count: 0, events, gzip: false, text: segment.lines.join('') })
          const order = pieces.map((piece, index) => ({ piece, key: (index * 7_919 + seed) % 101 })).sort((a, b) => a.key - b.key)
          for (const [index, { piece }] of order.entries()) {
            const file = path.join(folder, `${index}.jsonl`)
            await writeFile(file, piece.gzip ? gzipSync(piece.text) : piece.text)
            await ingest(file, { events: piece.events, sizeBytes: 1_000_000 })
          }
        })
        expect(await snapshotOf(test.database)).toEqual(expected)
      }),
      { numRuns: 12 },
    )
  })
})
