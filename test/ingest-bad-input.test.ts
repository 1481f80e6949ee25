/** Lines that are no events, or contradict one: each kept whole with its reason, none stops the log, none is billed. */
import { appendFile, mkdir, truncate, writeFile } from 'node:fs/promises'
import { gzipSync } from 'node:zlib'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { maxLineBytes } from '../services/contracts/event.ts'
import { transactionIdOf } from '../services/contracts/transaction-id.ts'
import { listRejectedLines } from '../services/api/log/rejected-lines.ts'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { MeteringPass } from '../services/billing/metering-pass.ts'
import { listGaps, logCompleteness } from '../services/database/log-completeness.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import { startIngest } from '../services/ingest/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { plainMessage, testConfig } from './api-fixture.ts'
import { createRandom, LogBuilder } from './event-builder.ts'
import { addTenant, emptyTables, isIngested, snapshotOf, until, withTemporaryFolder } from './ingest-rows.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const log = openOperatorLog('ingest', { level: 'silent' })

type Rejected = { reason: string; detail: string; line: Buffer }

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

  const ingest = (content: string | Buffer, name = 'a.jsonl') =>
    withTemporaryFolder(async (folder) => {
      await writeFile(path.join(folder, name), content)
      return await ingestFile({ database: test.database, tenantId: 'main', path: path.join(folder, name) })
    })
  const rejectedLines = async (): Promise<Rejected[]> => (await test.database.pool.query<Rejected>('select reason, detail, line from rejected_line order by rejected_id')).rows
  const countOf = async (table: string): Promise<number> => Number((await test.database.pool.query<{ count: bigint }>(`select count(*) as count from ${table}`)).rows[0]!.count)

  const day = 86_400_000
  const idAt = (timeMs: number): string => transactionIdOf(timeMs, Buffer.alloc(10, 3))
  const changed = (builder: LogBuilder, change: (event: Record<string, unknown>) => void): string => {
    const event = builder.event(builder.transactionBody()) as unknown as Record<string, unknown>
    change(event)
    return JSON.stringify(event)
  }
  const padded = (builder: LogBuilder, lengthBytes: number): string => {
    const event = builder.event(builder.transactionBody()) as { helo: string | null }
    event.helo = ''
    event.helo = 'x'.repeat(lengthBytes - Buffer.byteLength(JSON.stringify(event)))
    return JSON.stringify(event)
  }

  const badLines: [string, string, (builder: LogBuilder) => string | Buffer][] = [
    ['octets that are no UTF-8', 'not-utf8', (builder) => Buffer.concat([Buffer.from('{"kind":"'), Buffer.from([0xc3, 0x28]), Buffer.from(builder.line(builder.transactionBody()).slice(0, 40))])],
    ['NUL octets as a disk leaves them', 'not-json', () => Buffer.alloc(300)],
    ['half a line', 'not-json', (builder) => builder.line(builder.transactionBody()).slice(0, 200)],
    ['an array', 'not-json', () => '[1,2]'],
    ['a field of the wrong type', 'schema', (builder) => changed(builder, (event) => (event['dataBytes'] = '12'))],
    ['a missing field', 'schema', (builder) => changed(builder, (event) => delete event['outcome'])],
    ['a number past 2^53', 'schema', (builder) => changed(builder, () => {}).replace(/"dataBytes":\d+/, '"dataBytes":9007199254740993')],
    ['a day that is not in the calendar', 'schema', (builder) => changed(builder, (event) => (event['endedAt'] = '2026-13-45T00:00:00.000Z'))],
    ['a kind of a newer version', 'schema-version', (builder) => changed(builder, (event) => (event['kind'] = 'message.teleported'))],
    ['a segment of a newer version', 'schema-version', (builder) => builder.line({ kind: 'segment.opened', schemaVersion: 2, bootNumber: 1, segment: 2, previousSeq: 3 }).trimEnd()],
    ['another tenant', 'wrong-tenant', (builder) => changed(builder, (event) => (event['tenantId'] = 'other'))],
    ['a transaction id of 1970', 'time-out-of-range', (builder) => changed(builder, (event) => (event['transactionId'] = idAt(1_000)))],
    ['a transaction id of 2100', 'time-out-of-range', (builder) => changed(builder, (event) => (event['transactionId'] = idAt(Date.UTC(2100, 0, 1))))],
    ['an end in 2100', 'time-out-of-range', (builder) => changed(builder, (event) => (event['endedAt'] = '2100-01-01T00:00:00.000Z'))],
    ['one octet more than a line may have', 'too-long', (builder) => padded(builder, maxLineBytes + 1)],
    ['three times what a line may have', 'too-long', (builder) => padded(builder, maxLineBytes * 3)],
    ['a count that its column cannot hold', 'row', (builder) => JSON.stringify(builder.event({ kind: 'message.finished', transactionId: idAt(builder.nowMs), queueId: idAt(builder.nowMs), deliveredCount: 3_000_000_000, failedCount: 0, expiredCount: 0, ageMs: 1 }))],
    ['a number that only JSON can hold', 'row', (builder) => changed(builder, () => {}).replace('"kind"', '"extra":1e999999,"kind"')],
  ]

  it.each(badLines)('keeps a line with %s, as %s, and goes on', async (_what, reason, make) => {
    const builder = new LogBuilder()
    const before = [...builder.segmentStart(), ...builder.transaction()].join('')
    const bad = Buffer.from(make(builder))
    const after = builder.transaction().join('')
    const content = Buffer.concat([Buffer.from(before), bad, Buffer.from(`\n${after}`)])
    expect(await ingest(content)).toMatchObject({ newTransactionCount: 2, rejectedLineCount: 1 })
    const [rejected] = await rejectedLines()
    expect(rejected).toMatchObject({ reason })
    expect(rejected!.line.equals(bad.subarray(0, maxLineBytes))).toBe(true)
    expect(await ingest(content, 'again.jsonl')).toMatchObject({ newEventCount: 0, rejectedLineCount: 0 })
    expect(await countOf('mail_transaction')).toBe(2)
    expect(await countOf('transaction_detail')).toBe(2)
    expect((await snapshotOf(test.database))['miscounted_batch']).toEqual([])
  })

  it('bills none of them, and lists each with its place, as text that nothing in it can act through', async () => {
    const builder = new LogBuilder()
    const good = plainMessage(builder)
    const parts: Buffer[] = [Buffer.from(builder.segmentStart().join('')), Buffer.from(builder.line(good))]
    for (const [, , make] of badLines) parts.push(Buffer.from(make(builder)), Buffer.from('\n'))
    // The same transaction again with ten times its size, under a place of its own.
    parts.push(Buffer.from(builder.line({ ...good, messageBytes: 99_999_999, dataBytes: 99_999_999 })))
    await ingest(Buffer.concat(parts))
    await ensureBillingPolicy(test.database, 'main', testConfig())
    await new MeteringPass(test.database, 'main', log).run(new AbortController().signal)
    const { rows } = await test.database.pool.query<{ transaction_id: string; largest: bigint }>(
      'select transaction_id, max(full_bytes) as largest from usage_entry group by transaction_id')
    expect(rows).toHaveLength(1)
    for (const row of rows) {
      expect(row.transaction_id).toBe(good.transactionId)
      expect(row.largest < 99_999_999n).toBe(true)
    }
    const listed = await listRejectedLines({ database: test.database, tenantId: 'main', reason: null, cursor: null, limit: 100 })
    expect(listed.rows).toHaveLength(badLines.length + 1)
    expect(new Set(listed.rows.map((row) => row.reason))).toEqual(new Set([...badLines.map(([, reason]) => reason), 'conflict']))
    const whole = Buffer.concat(parts)
    for (const row of listed.rows) {
      expect(row.fileName).toMatch(/a\.jsonl$/)
      expect(row.line).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      expect(whole[Number(row.positionBytes) - 1]).toBe(0x0a)
    }
  })

  it('takes the logs of two nodes at once, packed, plain and shipped again, each event once', async () => {
    const logs = ['gateway-1', 'gateway-2'].map((node, index) => {
      const builder = new LogBuilder({ node, seed: index + 5 })
      const lines = builder.segmentStart()
      for (let count = 0; count < 60; count += 1) lines.push(...builder.transaction())
      return { builder, text: lines.join('') }
    })
    const take = (content: string | Buffer, name: string) =>
      withTemporaryFolder(async (folder) => {
        await writeFile(path.join(folder, name), content)
        return await ingestFile({ database: test.database, tenantId: 'main', path: path.join(folder, name) })
      })
    const summaries = await Promise.all(
      logs.flatMap(({ text }, index) => [
        take(text, `${index}.jsonl`),
        take(gzipSync(text), `${index}-again.jsonl.gz`),
        take(text.slice(0, text.lastIndexOf('\n', text.length / 2) + 1), `${index}-half.jsonl`),
      ]),
    )
    expect(summaries.reduce((sum, one) => sum + one.newTransactionCount, 0)).toBe(120)
    expect(summaries.reduce((sum, one) => sum + one.rejectedLineCount, 0)).toBe(0)
    expect(await countOf('mail_transaction')).toBe(120)
    expect(await listGaps(test.database, 'main')).toEqual([])
    expect((await snapshotOf(test.database))['miscounted_batch']).toEqual([])
  })

  it('takes a line of exactly the largest length', async () => {
    const builder = new LogBuilder()
    const line = padded(builder, maxLineBytes)
    expect(Buffer.byteLength(line)).toBe(maxLineBytes)
    expect(await ingest(`${line}\n`)).toMatchObject({ newTransactionCount: 1, rejectedLineCount: 0 })
  })

  it('takes texts that Postgres cannot hold, mended, and addresses longer than an index entry', async () => {
    const builder = new LogBuilder()
    // Of many different characters: Postgres packs what repeats, and would find room for it.
    const random = createRandom(1)
    const long = `<${Array.from({ length: 4_000 }, () => String.fromCharCode(0xe0 + random() * 4_000)).join('')}@example.org>`
    const line = changed(builder, (event) => Object.assign(event, { subject: 'won\0\ud800 prize \ud83d\ude00', messageId: long, sender: long, helo: long, remote: { ...(event['remote'] as object), country: long } }))
    expect(await ingest(`${line}\n`)).toMatchObject({ newTransactionCount: 1, rejectedLineCount: 0 })
    const { rows } = await test.database.pool.query('select subject, message_id, event from mail_transaction join transaction_detail using (transaction_id)')
    expect(rows[0]).toMatchObject({ subject: 'won\ufffd\ufffd prize \ud83d\ude00', event: { messageId: long, subject: 'won\ufffd\ufffd prize \ud83d\ude00' } })
    expect(long.startsWith(rows[0].message_id)).toBe(true)
    expect(await ingest(`${line}\n`)).toMatchObject({ knownEventCount: 1, rejectedLineCount: 0 })
  })

  it('lets the first stay where a place of the log, or a transaction, comes with other content', async () => {
    const builder = new LogBuilder()
    const [line, ...rest] = [...builder.segmentStart(), ...builder.transaction()].slice(2) as [string, ...string[]]
    const otherAtPlace = line.replace('"weight":', '"weight": ')
    const otherPlace = JSON.stringify({ ...(JSON.parse(line) as object), seq: 500 })
    expect(await ingest([line, ...rest].join(''))).toMatchObject({ newTransactionCount: 1 })
    const before = await snapshotOf(test.database)
    expect(await ingest(`${otherAtPlace}${otherPlace}\n`)).toMatchObject({ newEventCount: 0, rejectedLineCount: 2 })
    expect((await rejectedLines()).map((rejected) => [rejected.reason, rejected.line.toString()])).toEqual([
      ['conflict', otherAtPlace.trimEnd()],
      ['conflict', otherPlace],
    ])
    // The same contradictions within one file, beside what is new.
    const more = builder.transaction()
    expect(await ingest([line, otherAtPlace, `${otherPlace}\n`, ...more, more[0]!.replace('{', '{ ')].join(''))).toMatchObject({ newEventCount: more.length, rejectedLineCount: 1 })
    const after = await snapshotOf(test.database)
    expect(after['mail_transaction']).toEqual(expect.arrayContaining(before['mail_transaction']!))
    expect(after['mail_transaction']).toHaveLength(2)
    expect(after['miscounted_batch']).toEqual([])
  })

  it.each(['session.closed', 'delivery.attempted', 'message.finished', 'segment.opened'])('tells a contradicting %s from a repeated one', async (kind) => {
    const builder = new LogBuilder()
    const lines = builder.segmentStart()
    while (!lines.some((line) => line.includes('"message.finished"'))) lines.push(...builder.transaction())
    await ingest(lines.join(''))
    expect(await ingest(lines.join(''))).toMatchObject({ newEventCount: 0, knownEventCount: lines.length, rejectedLineCount: 0 })
    const index = lines.findIndex((line) => line.includes(`"${kind}"`))
    const contradicting = lines.with(index, lines[index]!.replace('{', '{"extra":1,'))
    expect(await ingest(contradicting.join(''))).toMatchObject({ newEventCount: 0, knownEventCount: lines.length - 1, rejectedLineCount: 1 })
    expect(await rejectedLines()).toEqual([expect.objectContaining({ reason: 'conflict' })])
  })

  it('rejects a line without its place only where no header tells it', async () => {
    await ingest('{"kind":"gateway.alive"}\n', 'foreign.jsonl')
    const builder = new LogBuilder()
    await ingest(`${builder.segmentStart()[0]!}{"kind":"gateway.alive"}\n`)
    expect((await rejectedLines()).map((rejected) => rejected.reason)).toEqual(['no-header', 'schema'])
  })

  it('keeps the torn end of a file, takes a whole event that only lacks its LF, and heals when the file is whole', async () => {
    const builder = new LogBuilder()
    const lines = [...builder.segmentStart(), ...builder.transaction()]
    const text = lines.join('')
    expect(await ingest(text.slice(0, -20))).toMatchObject({ newEventCount: lines.length - 1, rejectedLineCount: 1 })
    expect(await rejectedLines()).toEqual([expect.objectContaining({ reason: 'torn', line: Buffer.from(lines.at(-1)!.slice(0, -20)) })])
    expect(await ingest(text.slice(0, -1))).toMatchObject({ newEventCount: 1, rejectedLineCount: 0 })
    expect(await listGaps(test.database, 'main')).toEqual([])
  })

  it('waits for the rest of a line while the segment grows, and calls it torn only when a later segment is there', async () => {
    await withTemporaryFolder(async (data) => {
      const events = path.join(data, 'events')
      await mkdir(events)
      const start = () => startIngest({ config: { tenant: 'main', data }, database: test.database, log })
      let service = await start()
      const first = new LogBuilder()
      const head = first.segmentStart().join('')
      const [line] = first.transaction() as [string]
      const file = path.join(events, first.fileName)
      await writeFile(file, head + line.slice(0, 300))
      await until(() => isIngested(test.database, first.boot, 2))
      await service.stop()
      expect(await rejectedLines()).toEqual([])
      service = await start()
      await appendFile(file, line.slice(300))
      await until(() => isIngested(test.database, first.boot, 3))
      expect(await rejectedLines()).toEqual([])
      await appendFile(file, '{"kind":"transac')
      const second = new LogBuilder({ bootNumber: 2, previousBoot: { boot: first.boot, seq: 3, endedCleanly: false } })
      await writeFile(path.join(events, second.fileName), second.segmentStart().join(''))
      await until(() => isIngested(test.database, second.boot, 2))
      expect(await rejectedLines()).toEqual([expect.objectContaining({ reason: 'torn', line: Buffer.from('{"kind":"transac') })])
      await service.stop()
    })
  })

  it('reads a segment again from its header when it was cut and written anew under the tail', async () => {
    await withTemporaryFolder(async (data) => {
      const events = path.join(data, 'events')
      await mkdir(events)
      const service = await startIngest({ config: { tenant: 'main', data }, database: test.database, log })
      const first = new LogBuilder()
      const file = path.join(events, 'current.jsonl')
      await writeFile(file, first.segmentStart().join('') + first.transaction().join('') + first.transaction().join(''))
      await until(() => isIngested(test.database, first.boot, first.seq))
      const second = new LogBuilder({ bootNumber: 2 })
      await truncate(file, 0)
      await appendFile(file, second.segmentStart().join(''))
      await until(() => isIngested(test.database, second.boot, 2))
      await appendFile(file, second.transaction().join(''))
      await until(() => isIngested(test.database, second.boot, second.seq))
      expect(await rejectedLines()).toEqual([])
      await service.stop()
    })
  })

  it('leaves a segment of a newer version alone, and takes the others', async () => {
    const builder = new LogBuilder()
    const [header, started] = builder.segmentStart() as [string, string]
    const newer = header.replace('"schemaVersion":1', '"schemaVersion":9') + started
    await expect(ingest(newer)).rejects.toThrow(/newer Tollgate/)
    expect(await countOf('log_boot')).toBe(0)
  })

  it('takes what a damaged packed file still holds, and says that it is damaged', async () => {
    const builder = new LogBuilder()
    const lines = builder.segmentStart()
    for (let index = 0; index < 400; index += 1) lines.push(...builder.transaction())
    const packed = gzipSync(lines.join(''))
    await expect(ingest(packed.subarray(0, packed.length - 2_000))).rejects.toThrow(/unexpected end of file/)
    const taken = await countOf('mail_transaction')
    expect(taken).toBeGreaterThan(300)
    expect(await ingest(packed)).toMatchObject({ lineCount: lines.length, newTransactionCount: 400 - taken, rejectedLineCount: 0 })
  })

  it('finds every gap: within a boot, at its lost end, and a boot that never came', async () => {
    const first = new LogBuilder({ startMs: Date.UTC(2026, 9, 1) })
    const firstLines = [...first.segmentStart(), ...first.transaction(), ...first.transaction(), ...first.transaction()]
    const second = new LogBuilder({ bootNumber: 2, startMs: Date.UTC(2026, 9, 2), previousBoot: { boot: first.boot, seq: first.seq, endedCleanly: false } })
    const secondLines = [...second.segmentStart(), ...second.transaction()]
    const fourth = new LogBuilder({ bootNumber: 4, startMs: Date.UTC(2026, 9, 4), previousBoot: { boot: '00000000-0000-4000-8000-000000000003', seq: 7, endedCleanly: true } })
    await ingest(secondLines.join(''), 'second.jsonl')
    expect(await listGaps(test.database, 'main')).toEqual([expect.objectContaining({ kind: 'missing-boot', boot: first.boot, fromSeq: 1, uptoSeq: first.seq + 1 })])
    expect(await logCompleteness(test.database, 'main')).toMatchObject({ completeUpto: null, gapCount: 1 })

    await ingest(firstLines.toSpliced(3, 1).slice(0, -2).join(''), 'first.jsonl')
    const place = { node: 'gateway-1', boot: first.boot, bootNumber: 1 }
    expect(await listGaps(test.database, 'main')).toEqual([
      { ...place, kind: 'hole', fromSeq: 4, uptoSeq: 5 },
      { ...place, kind: 'lost-tail', fromSeq: first.seq - 1, uptoSeq: first.seq + 1 },
    ])
    const third = JSON.parse(firstLines[2]!) as { at: string }
    expect(await logCompleteness(test.database, 'main')).toMatchObject({ completeUpto: third.at, gapCount: 2 })

    await test.database.pool.query(
      `insert into log_gap_accepted (tenant_id, node, boot, seqs, accepted_by, reason) values ('main', 'gateway-1', $1, '{[4,5)}', 'anna', 'disk lost')`, [first.boot])
    expect(await listGaps(test.database, 'main')).toEqual([expect.objectContaining({ kind: 'lost-tail' })])
    await ingest(firstLines.join(''), 'first-whole.jsonl')
    expect(await logCompleteness(test.database, 'main')).toMatchObject({ completeUpto: (JSON.parse(secondLines.at(-1)!) as { at: string }).at, gapCount: 0, rejectedLineCount: '0' })

    await ingest(fourth.segmentStart().join(''), 'fourth.jsonl')
    expect(await listGaps(test.database, 'main')).toEqual([expect.objectContaining({ kind: 'missing-boot', fromSeq: 1, uptoSeq: 8, bootNumber: 3 })])
    expect((await logCompleteness(test.database, 'main')).nodes).toEqual([{ node: 'gateway-1', newestAt: new Date(fourth.nowMs).toISOString(), gapCount: 1 }])
  })

  it('accepts the clock of a gateway that jumps back, and refuses one that is more than a day ahead', async () => {
    const builder = new LogBuilder()
    const lines = [...builder.segmentStart(), ...builder.transaction()]
    builder.nowMs -= 3 * day
    lines.push(...builder.transaction())
    builder.nowMs = Date.now() + 2 * day
    lines.push(...builder.transaction())
    const summary = await ingest(lines.join(''))
    expect(summary.newTransactionCount).toBe(2)
    expect(new Set((await rejectedLines()).map((rejected) => rejected.reason))).toEqual(new Set(['time-out-of-range']))
    // Understood and refused is not missing.
    expect(await listGaps(test.database, 'main')).toEqual([])
  })
})
