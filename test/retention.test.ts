/** What retention removes, what outlives it, and what an old segment does afterwards. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { MeteringPass } from '../services/billing/metering-pass.ts'
import { messageDetail } from '../services/api/trace/message-detail.ts'
import type { EventBody, TransactionEnded } from '../services/contracts/event.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { logCompleteness } from '../services/database/log-completeness.ts'
import { dueRemovals, listPartitions } from '../services/database/retention/partition-list.ts'
import { removeExpired } from '../services/database/retention/retention-pass.ts'
import { retentionPolicyOf, storeRetentionPolicy, type RetentionPolicy } from '../services/database/retention/retention-policy.ts'
import { ensureAhead } from '../services/database/retention/start-retention.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { rebuildRollups } from '../services/rollup/rebuild-rollups.ts'
import { rollBatches } from '../services/rollup/roll-batches.ts'
import { rollupTables } from '../services/rollup/rollup-table.ts'
import { loggedRecipient, testConfig } from './api-fixture.ts'
import { LogBuilder } from './event-builder.ts'
import { goldenLines, ingestMta } from './mta-fixture.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const tenantId = 'main'
const forever: RetentionPolicy = { detail: null, subject: null, message: null, total: null, usage: null, audit: null }
const taken = { outcome: 'accepted', stage: 'complete', messageBytes: 10, recipients: [loggedRecipient('ann@corp.test')] } satisfies Partial<EventBody<TransactionEnded>>
const longAgoMs = Date.UTC(2024, 2, 31, 23, 59, 58)

describe('retention', () => {
  let test: TestDatabase
  let folder: string
  let log: LogBuilder
  let fileCount = 0
  const silent = openOperatorLog('worker', { level: 'silent' })

  beforeEach(async () => {
    test = await createTestDatabase()
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-retention-'))
    await ensureTenant(test.database, tenantId)
    await ensureBillingPolicy(test.database, tenantId, testConfig())
    log = new LogBuilder({ startMs: longAgoMs })
  })
  afterEach(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })

  const query = async (sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> => (await test.database.pool.query(sql, values)).rows
  const count = async (table: string) => Number((await query(`select count(*) as count from ${table} where tenant_id = '${tenantId}'`))[0]!['count'])
  const stringOf = (rows: unknown) => JSON.stringify(rows, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  const pass = () => removeExpired({ database: test.database, tenantId })

  async function ingest(lines: string[]) {
    const file = path.join(folder, `${fileCount++}.jsonl`)
    await writeFile(file, lines.join(''))
    return { file, summary: await ingestFile({ database: test.database, tenantId, path: file }) }
  }

  async function countAll(): Promise<void> {
    await new MeteringPass(test.database, tenantId, silent).run(new AbortController().signal)
    while ((await rollBatches(test.database, tenantId)) > 0);
  }

  /** Everything that must outlive the messages. */
  async function totals(): Promise<string> {
    const tables = [...rollupTables.map(({ name }) => name), 'usage_entry', 'recipient_name']
    const rows = []
    for (const table of tables) rows.push([table, await query(`select t::text as row from ${table} t order by 1`)])
    return stringOf(rows)
  }

  const lines = () => [...log.segmentStart(), ...Array.from({ length: 30 }, () => log.transaction()).flat()]

  it('drops the month of the messages as a whole, and leaves totals, usage and completeness as they were', async () => {
    await ingest(lines())
    await countAll()
    const [before, complete] = [await totals(), await logCompleteness(test.database, tenantId)]
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    const { removed, held } = await pass()
    expect(held).toEqual([])
    expect(removed.map(({ kind, monthStart }) => `${kind} ${monthStart?.toISOString().slice(0, 7)}`)).toEqual(
      expect.arrayContaining(['details 2024-03', 'details 2024-04', 'messages 2024-03', 'messages 2024-04']),
    )
    for (const table of ['mail_transaction', 'transaction_recipient', 'transaction_detail', 'rule_hit', 'session_closed']) expect(await count(table)).toBe(0)
    expect((await listPartitions(test.database)).filter(({ monthStart }) => monthStart.getTime() < Date.UTC(2024, 5)).map(({ table }) => table)).toEqual(['usage_entry', 'usage_entry'])
    expect(await totals()).toBe(before)
    expect(await logCompleteness(test.database, tenantId)).toEqual(complete)
    const { keptDays } = await rebuildRollups(test.database, tenantId)
    expect(await totals()).toBe(before)
    expect(keptDays).toEqual([{ from: '2024-03-31', upto: '2024-04-02' }])
  })

  it('lets nothing go that is not metered and in the totals yet', async () => {
    await ingest(lines())
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    expect((await pass()).held.map(({ reason }) => reason)).toContain('uncounted')
    expect(await count('mail_transaction')).toBe(30)
    while ((await rollBatches(test.database, tenantId)) > 0);
    await pass()
    expect(await count('mail_transaction')).toBe(30)
    await countAll()
    await pass()
    expect(await count('mail_transaction')).toBe(0)
  })

  it('knows the events of an old segment after its messages are gone, as known and not as contradicting', async () => {
    const { file } = await ingest(lines())
    await countAll()
    const before = await totals()
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    await pass()
    const again = await ingestFile({ database: test.database, tenantId, path: file })
    expect(again).toMatchObject({ newEventCount: 0, rejectedLineCount: 0 })
    await countAll()
    expect(await totals()).toBe(before)
    expect(await count('mail_transaction')).toBe(0)
  })

  it('counts a segment of a dropped month that comes for the first time, and removes its rows at the next look', async () => {
    await ingest(lines())
    await countAll()
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    await pass()
    const entries = await count('usage_entry')
    await ingest(Array.from({ length: 5 }, () => log.transaction(taken)).flat())
    await countAll()
    expect(await count('usage_entry')).toBeGreaterThan(entries)
    expect(await count('mail_transaction')).toBe(5)
    await pass()
    expect(await count('mail_transaction')).toBe(0)
    expect(await query(`select sum(transaction_count)::integer as count from traffic_hour`)).toEqual([{ count: 35 }])
  })

  it('does not count the log of another MTA again whose messages are gone', async () => {
    const file = path.join(folder, 'mail.log')
    await writeFile(file, `${goldenLines('postfix.txt').join('\n')}\n`)
    await ingestMta(test.database, 'postfix', [file], { isFinal: true, clock: { timeZone: 'UTC', year: 2024 } })
    await countAll()
    const before = await totals()
    expect(await count('mail_transaction')).toBeGreaterThan(0)
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    await pass()
    await ingestMta(test.database, 'postfix', [file], { isFinal: true, clock: { timeZone: 'UTC', year: 2024 } })
    await countAll()
    expect(await count('mail_transaction')).toBe(0)
    expect(await totals()).toBe(before)
  })

  it('records an event of a month whose usage is gone, and never bills it', async () => {
    const longLong = new LogBuilder({ startMs: Date.UTC(2012, 5, 10), bootNumber: 7 })
    const old = [...longLong.segmentStart(), ...longLong.transaction(taken)]
    await ingest(old)
    await countAll()
    expect(await count('usage_entry')).toBeGreaterThan(0)
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400, usage: 3_653 })
    await pass()
    expect(await count('usage_entry')).toBe(0)
    await ingest(longLong.transaction(taken))
    await countAll()
    expect(await count('mail_transaction')).toBe(1)
    expect(await count('usage_entry')).toBe(0)
  })

  it('removes details and subjects before the messages, and says of a message when', async () => {
    const own = log.transaction({ subject: 'Quarterly report', headers: [{ name: 'Subject', value: 'Quarterly report' }, { name: 'X-Other', value: '1' }] })
    await ingest([...log.segmentStart(), ...own])
    await countAll()
    const transactionId = (JSON.parse(own[0]!) as { transactionId: string }).transactionId
    const detail = async () =>
      await messageDetail({ database: test.database, tenantId, transactionId, scope: { clientId: null }, nowMs: Date.now(), timeZone: 'UTC', lowersLocalPart: true })
    expect(await detail()).toMatchObject({ removed: { detailsAt: null, subjectAt: null } })
    await storeRetentionPolicy(test.database, tenantId, { ...forever, subject: 180 })
    await pass()
    const emptied = await detail()
    expect(emptied).toMatchObject({ removed: { detailsAt: null, subjectAt: expect.any(String) }, event: { subject: null } })
    expect(emptied!.event.headers.map(({ name }) => name)).toEqual(['X-Other'])
    expect(await query('select subject from mail_transaction')).toEqual([{ subject: null }])
    await storeRetentionPolicy(test.database, tenantId, { ...forever, detail: 180 })
    await pass()
    const bare = await detail()
    expect(bare).toMatchObject({ removed: { detailsAt: expect.any(String) }, event: { transactionId, headers: [], evaluations: [] } })
    expect(bare!.event.recipients.map(({ normalized }) => normalized)).toEqual((JSON.parse(own[0]!) as { recipients: { normalized: string }[] }).recipients.map(({ normalized }) => normalized))
  })

  it('holds everybody to the policy: a month that it keeps cannot be dropped', async () => {
    await ingest(lines())
    await countAll()
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 3_000 })
    await expect(test.database.pool.query(`select drop_expired_month($1, 'messages', '2024-03-01Z')`, [tenantId])).rejects.toThrow(/keeps the messages of 2024-03/)
    await expect(test.database.pool.query('delete from mail_transaction')).rejects.toThrow(/permission denied/)
    await expect(storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400, usage: 399 })).rejects.toThrow(/outlives/)
  })

  it('keeps the rows of a tenant that wants them, and deletes those of another in the same month', async () => {
    await ingest(lines())
    await countAll()
    await ensureTenant(test.database, 'other')
    const other = new LogBuilder({ startMs: longAgoMs, tenantId: 'other', node: 'gateway-2' })
    const file = path.join(folder, 'other.jsonl')
    await writeFile(file, [...other.segmentStart(), ...other.transaction(), ...other.transaction()].join(''))
    await ingestFile({ database: test.database, tenantId: 'other', path: file })
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    await pass()
    expect(await count('mail_transaction')).toBe(0)
    expect(await query(`select count(*)::integer as count from mail_transaction where tenant_id = 'other'`)).toEqual([{ count: 2 }])
  })

  it('gives way to a reader and removes the month at a later look', async () => {
    await ingest(lines())
    await countAll()
    await storeRetentionPolicy(test.database, tenantId, { ...forever, message: 400 })
    const reader = await test.database.pool.connect()
    try {
      await reader.query('begin')
      await reader.query('select count(*) from mail_transaction')
      expect((await pass()).held.map(({ reason }) => reason)).toContain('locked')
      await reader.query('commit')
    } finally {
      reader.release()
    }
    expect((await pass()).held).toEqual([])
    expect(await count('mail_transaction')).toBe(0)
  })

  it('makes the partitions of this month and the next three', async () => {
    expect(await ensureAhead(test.database)).toBe(true)
    const now = new Date()
    const months = [0, 1, 2, 3].map((ahead) => new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)).toISOString())
    const made = (await listPartitions(test.database)).filter(({ table }) => table === 'mail_transaction').map(({ monthStart }) => monthStart.toISOString())
    expect(made).toEqual(expect.arrayContaining(months))
  })

  it('tells what goes next, soonest first, and nothing where all is kept', async () => {
    await ingest(lines())
    const partitions = await listPartitions(test.database)
    expect(dueRemovals(partitions, forever)).toEqual([])
    const due = dueRemovals(partitions, retentionPolicyOf(testConfig().retention))
    expect(due[0]).toEqual({ kind: 'details', monthStart: new Date('2024-03-01Z'), at: new Date('2024-09-28Z') })
    expect(due.map(({ at }) => at.getTime())).toEqual(due.map(({ at }) => at.getTime()).sort((one, other) => one - other))
  })

  it('deletes audit records and rejected lines past their date', async () => {
    const owner = await import('../services/database/open-database.ts').then(({ openDatabase }) => openDatabase(test.url, { applicationName: 'test', role: 'owner' }))
    try {
      await owner.pool.query(`insert into audit_record (tenant_id, at, actor, action) values ('main', now() - interval '401 days', 'ann', 'old'), ('main', now() - interval '399 days', 'ann', 'new')`)
    } finally {
      await owner.close()
    }
    await storeRetentionPolicy(test.database, tenantId, { ...forever, audit: 400 })
    await pass()
    expect(await query('select action from audit_record')).toEqual([{ action: 'new' }])
  })
})
