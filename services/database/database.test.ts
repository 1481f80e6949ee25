import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { ensureTenant } from './ensure-tenant.ts'
import { migrate, migrationStatus } from './migrate.ts'
import { isDatabaseUnavailable, openDatabase } from './open-database.ts'

describe('database', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  it('applies nothing to a database that is migrated already', async () => {
    expect(await migrate(test.url)).toEqual([])
    expect((await migrationStatus(test.url)).every((migration) => migration.appliedAt !== null)).toBe(true)
  })

  it('refuses a migration file that was changed after it was applied', async () => {
    const owner = openDatabase(test.url, { applicationName: 'test', role: 'owner' })
    await owner.pool.query(`update migration set sha256 = 'other' where name = '0001_tenant.sql'`)
    await expect(migrate(test.url)).rejects.toThrow(/0001_tenant\.sql is not the file/)
    await owner.pool.query('delete from migration where name = $1', ['0001_tenant.sql'])
    await owner.pool.query(`insert into migration (name, sha256) values ('9999_future.sql', 'x')`)
    await expect(migrate(test.url)).rejects.toThrow(/newer Tollgate \(9999_future\.sql\)/)
    await owner.close()
  })

  it('gives concurrent callers the same tenant with the same key', async () => {
    const rows = await Promise.all(Array.from({ length: 8 }, () => ensureTenant(test.database, 'main')))
    expect(new Set(rows.map((row) => row.recipientKey.toString('hex'))).size).toBe(1)
  })

  it('may not change what is append-only, even if it tries', async () => {
    for (const table of ['mail_transaction', 'transaction_recipient', 'transaction_detail', 'usage_entry', 'audit_record', 'ingest_batch']) {
      await expect(test.database.pool.query(`delete from ${table}`)).rejects.toThrow(/permission denied/)
      await expect(test.database.pool.query(`update ${table} set tenant_id = tenant_id`)).rejects.toThrow(/permission denied/)
    }
  })

  it('makes the partitions of a span of months once, for every table partitioned by time', async () => {
    await test.database.pool.query(`select ensure_partitions('2026-10-31T23:59:59Z', '2026-12-01T00:00:00Z')`)
    await test.database.pool.query(`select ensure_partitions('2026-11-05', '2026-11-06')`)
    const { rows } = await test.database.pool.query<{ name: string }>(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'mail_transaction'::regclass order by 1`,
    )
    expect(rows.map((row) => row.name)).toEqual(['mail_transaction_2026_10', 'mail_transaction_2026_11', 'mail_transaction_2026_12'])
    await expect(test.database.pool.query(`select ensure_partitions('1970-01-01', '1970-01-02')`)).rejects.toThrow(/no partitions/)
  })

  it('reads int8 as bigint, past 2^53 too', async () => {
    const { rows } = await test.database.pool.query<{ value: bigint }>('select 9007199254740993::int8 as value')
    expect(rows[0]!.value).toBe(9007199254740993n)
  })

  it('tells a server that is away from a mistake of ours', async () => {
    const nowhere = openDatabase('postgres://nobody@127.0.0.1:1/none', { applicationName: 'test' })
    const error = await nowhere.pool.query('select 1').catch((reason: unknown) => reason)
    await nowhere.close()
    expect(isDatabaseUnavailable(error)).toBe(true)
    const mistake = await test.database.pool.query('select nonsense').catch((reason: unknown) => reason)
    expect(isDatabaseUnavailable(mistake)).toBe(false)
  })
})
