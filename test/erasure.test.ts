/** One person's data on request: what goes, what stays, and what comes back. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { importDirectory } from '../services/billing/import-directory.ts'
import { MeteringPass } from '../services/billing/metering-pass.ts'
import { usageReport } from '../services/billing/usage-report.ts'
import type { EventBody, TransactionEnded } from '../services/contracts/event.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { eraseAddress, erasureFault } from '../services/database/erasure/erase-address.ts'
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
const silent = openOperatorLog('worker', { level: 'silent' })
const mailTables = ['mail_transaction', 'transaction_recipient', 'transaction_detail', 'delivery_attempt', 'message_finished', 'session_closed']

describe('erasure', () => {
  let test: TestDatabase
  let folder: string
  let fileCount = 0
  beforeEach(async () => {
    test = await createTestDatabase()
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-erasure-'))
    await prepare(test)
  })
  afterEach(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })

  async function prepare({ database }: TestDatabase): Promise<void> {
    await ensureTenant(database, tenantId)
    await ensureBillingPolicy(database, tenantId, testConfig())
    const clients = [{ id: 'acme', name: 'Acme', addresses: ['ann@corp.test', 'joann@corp.test'] }]
    await importDirectory({ database, tenantId, directory: { clients }, at: new Date('2026-01-01Z') })
  }

  async function ingest(lines: string[], into = test): Promise<string> {
    const file = path.join(folder, `${fileCount++}.jsonl`)
    await writeFile(file, lines.join(''))
    await ingestFile({ database: into.database, tenantId, path: file })
    await new MeteringPass(into.database, tenantId, silent).run(new AbortController().signal)
    while ((await rollBatches(into.database, tenantId)) > 0);
    return file
  }

  const rowsOf = async (table: string, from = test): Promise<string[]> =>
    (await from.database.pool.query<{ row: string }>(`select to_jsonb(t)::text as row from ${table} t order by 1`)).rows.map(({ row }) => row)

  /** Everything in which an address could stand. */
  async function everything(from = test): Promise<string> {
    const tables = [...mailTables, 'recipient_name', 'gateway_event', 'rejected_line', 'erased_address', 'audit_record']
    const lines = await from.database.pool.query<{ line: Buffer }>('select line from rejected_line')
    return [...(await Promise.all(tables.map((table) => rowsOf(table, from)))).flat(), ...lines.rows.map(({ line }) => line.toString())].join('\n')
  }

  async function totals(): Promise<string> {
    const tables = await Promise.all([...rollupTables.map(({ name }) => name), 'usage_entry'].map((table) => rowsOf(table)))
    const reports = []
    for (const by of ['client', 'day', 'domain'] as const) {
      const report = await usageReport({ database: test.database, tenantId, period: '2026-10', by, mode: 'split' })
      const rows = []
      for await (const row of report.rows) rows.push(row)
      reports.push(rows)
    }
    return JSON.stringify([tables, reports], (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  }

  const log = new LogBuilder()
  const taken = (change: Partial<EventBody<TransactionEnded>>): string[] =>
    log.transaction({ outcome: 'accepted', stage: 'complete', messageBytes: 1_001, messageId: '<1@corp.test>', ...change })
  const lines = [
    ...log.segmentStart(),
    ...taken({ subject: 'Private matters', sender: 'bo@partner.test', recipients: [loggedRecipient('Ann@corp.test'), loggedRecipient('joann@corp.test')] }),
    ...taken({ sender: 'ANN@corp.test', authUser: 'ann@corp.test', subject: 'From me', recipients: [loggedRecipient('cy@corp.test')] }),
    ...taken({
      sender: 'bo@partner.test',
      subject: 'About ann@corp.test',
      recipients: [loggedRecipient('joann@corp.test')],
      headers: [{ name: 'Cc', value: 'Ann Smith <ann@corp.test>,\n joann@corp.test' }, { name: 'X-Other', value: 'kept' }],
    }),
    ...log.transaction(),
    '{"broken": "ann@corp.test\n',
  ]
  const erase = (isDry = false, from = test) => eraseAddress({ database: from.database, tenantId, address: 'Ann@Corp.Test', actor: 'test', isDry })

  it('leaves the address nowhere, and everybody else alone', async () => {
    await ingest(lines)
    expect((await everything()).match(/(?<!jo)ann@corp\.test/gi)!.length).toBeGreaterThan(10)
    const { replacement, counts } = await erase()
    expect(replacement).toMatch(/^erased-[0-9a-f]{12}@corp\.test$/)
    expect(counts).toMatchObject({ messages: 3n, details: 3n, 'rejected lines': 1n, names: 1n })
    const rest = await everything()
    expect(rest).not.toMatch(/(?<!jo)ann@corp\.test/i)
    expect(rest).not.toMatch(/Ann Smith|Private matters|From me/)
    expect(rest).toContain('joann@corp.test')
    expect(rest).toContain('"kept"')
    expect(rest).toContain(replacement!)
  })

  it('changes no total, no usage entry and no statement', async () => {
    await ingest(lines)
    const before = await totals()
    await erase()
    expect(await totals()).toBe(before)
    await rebuildRollups(test.database, tenantId)
    expect(await totals()).toBe(before)
  })

  it('holds when the same segment comes again, and another one', async () => {
    const file = await ingest(lines)
    await erase()
    const [rows, before] = [await everything(), await totals()]
    await ingestFile({ database: test.database, tenantId, path: file })
    expect(await everything()).toBe(rows)
    expect(await totals()).toBe(before)
    await ingest(taken({ recipients: [loggedRecipient('ann@corp.test')], subject: 'Late and private' }))
    await ingest(['    {"broken": "ann@corp.test\n'])
    expect(await everything()).not.toMatch(/(?<!jo)ann@corp\.test|Late and private/i)
    expect((await test.database.pool.query(`select count(distinct recipient_id)::integer as count from transaction_recipient where address like 'erased-%'`)).rows).toEqual([{ count: 1 }])
  })

  it('makes of an event the same, whether it was stored before or comes afterwards', async () => {
    await ingest(lines)
    await erase()
    const other = await createTestDatabase()
    try {
      await prepare(other)
      const { rows } = await test.database.pool.query<{ recipient_key: Buffer }>('select recipient_key from tenant')
      await asOwner(other, 'update tenant set recipient_key = $1', [rows[0]!.recipient_key])
      await erase(false, other)
      await ingest(lines, other)
      for (const table of mailTables) expect(await rowsOf(table, other), table).toEqual(await rowsOf(table))
    } finally {
      await other.drop()
    }
  })

  it('holds for the log of another MTA, its unfinished messages included', async () => {
    const file = path.join(folder, 'mail.log')
    const text = goldenLines('postfix.txt').join('\n')
    const address = /to=<([^<>\s]+@corp\.test)>/.exec(text)![1]!
    await writeFile(file, `${text}\n`)
    const namesIt = async () => (await everything()).includes(address) || (await rowsOf('log_source_thread')).join().includes(address)
    await ingestMta(test.database, 'postfix', [file])
    expect(await namesIt()).toBe(true)
    await eraseAddress({ database: test.database, tenantId, address, actor: 'test', isDry: false })
    expect(await namesIt()).toBe(false)
    await asOwner(test, 'truncate mail_transaction, transaction_recipient, transaction_detail, delivery_attempt, message_finished, log_source_file', [])
    await ingestMta(test.database, 'postfix', [file], { isFinal: true })
    expect((await rowsOf('transaction_recipient')).length).toBeGreaterThan(0)
    expect(await everything()).not.toContain(address)
  })

  it('leaves mail alone that comes after the erasure', async () => {
    await erase()
    const later = new LogBuilder({ startMs: Date.now() + 60_000, bootNumber: 3 })
    const sent = later.transaction({ recipients: [loggedRecipient('ann@corp.test')], outcome: 'accepted', stage: 'complete', messageBytes: 5 })
    await ingest([...later.segmentStart(), ...sent])
    expect(await everything()).toContain('"ann@corp.test"')
  })

  it('only tells with a dry run what it would change', async () => {
    await ingest(lines)
    const before = await everything()
    const { replacement, counts } = await erase(true)
    expect(replacement).toBe(null)
    expect(counts).toMatchObject({ messages: 3n, names: 1n })
    expect(await everything()).toBe(before)
  })

  it('waits for a batch that is being stored, and then finds its rows', async () => {
    const storing = await test.database.pool.connect()
    try {
      await storing.query('begin')
      await storing.query(`select pg_advisory_xact_lock_shared(hashtext('tollgate erasure'), hashtext('main'))`)
      let isDone = false
      const erasing = erase().then(() => (isDone = true))
      const isWaiting = async () => (await storing.query(`select from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())`)).rowCount! > 0
      while (!isDone && !(await isWaiting()));
      expect(isDone).toBe(false)
      await storing.query('commit')
      await erasing
    } finally {
      storing.release()
    }
  })

  it('is not to be had with a pattern, and leaves the services without the right to change a message themselves', async () => {
    expect(erasureFault('*@corp.test')).toMatch(/no whole address/)
    expect(erasureFault('ann')).toMatch(/no whole address/)
    expect(erasureFault('ann@corp.test')).toBe(null)
    await ingest(lines)
    const call = `select * from erase_messages('main', array['ann@corp.test'], '2026-10-01', '2026-11-01', false)`
    await expect(test.database.pool.query(call)).rejects.toThrow(/has not begun/)
    await expect(test.database.pool.query(`update transaction_recipient set address = 'x'`)).rejects.toThrow(/permission denied/)
  })
})

async function asOwner(test: TestDatabase, sql: string, values: unknown[]): Promise<void> {
  const { openDatabase } = await import('../services/database/open-database.ts')
  const owner = openDatabase(test.url, { applicationName: 'test', role: 'owner' })
  try {
    await owner.pool.query(sql, values)
  } finally {
    await owner.close()
  }
}
