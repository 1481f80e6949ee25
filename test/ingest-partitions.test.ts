/** A month that begins must not hold up the month that runs. */
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

let test: TestDatabase
const clients: pg.Client[] = []

beforeAll(async () => {
  test = await createTestDatabase()
  await test.database.pool.query(`select ensure_partitions('2026-05-10', '2026-05-10')`)
})
afterAll(async () => {
  for (const client of clients) await client.end()
  await test.drop()
})

async function connection(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: test.url })
  await client.connect()
  clients.push(client)
  return client
}

const row = (id: string, day: string): string =>
  `insert into transaction_detail (tenant_id, transaction_id, id_time, event) values ('main', '${id}', '${day}', '{}')`

it('makes the partitions of a month while the tables are being read and loaded', async () => {
  const reader = await connection()
  await reader.query('begin')
  await reader.query('select count(*) from mail_transaction')
  await reader.query('select count(*) from transaction_detail')
  const loader = await connection()
  await loader.query('begin')
  await loader.query(row('00000000-0000-7000-8000-000000000001', '2026-05-10'))

  const maker = await connection()
  // Not a measure: without it a lock that is never given would only be told by the test's own end.
  await maker.query(`set lock_timeout = '5s'`)
  await maker.query(`select ensure_partitions('2026-06-01', '2026-06-01')`)

  await loader.query(row('00000000-0000-7000-8000-000000000002', '2026-06-10'))
  await loader.query('commit')
  await reader.query('commit')
  const { rows } = await maker.query<{ partition: string }>(`select tableoid::regclass::text as partition from transaction_detail order by 1`)
  expect(rows.map((found) => found.partition)).toEqual(['transaction_detail_2026_05', 'transaction_detail_2026_06'])
})

it('gives a month that was attached all indexes, keys and rights of the tables', async () => {
  await test.database.pool.query(`select ensure_partitions('2026-07-01', '2026-07-01')`)
  const { rows } = await test.database.pool.query<{ missing: string }>(`
    select parent.relname || ' ' || index.relname as missing
    from pg_index i join pg_class index on index.oid = i.indexrelid join pg_class parent on parent.oid = i.indrelid
    where parent.relkind = 'p' and parent.relnamespace = 'public'::regnamespace and not exists (
      select from pg_inherits h join pg_index child on child.indexrelid = h.inhrelid
      where h.inhparent = i.indexrelid and child.indrelid = to_regclass(parent.relname || '_2026_07') and child.indisvalid)`)
  expect(rows).toEqual([])
  await expect(test.database.pool.query(row('00000000-0000-7000-8000-000000000003', '2026-07-10'))).resolves.toBeDefined()
  await expect(test.database.pool.query(row('00000000-0000-7000-8000-000000000003', '2026-07-10'))).rejects.toThrow(/duplicate key/)
})

it('makes a month once when two processes need it at once', async () => {
  await Promise.all(Array.from({ length: 4 }, () => test.database.pool.query(`select ensure_partitions('2026-08-01', '2026-09-01')`)))
  const { rows } = await test.database.pool.query<{ count: number }>(
    `select count(*)::integer as count from pg_inherits where inhparent = 'rule_hit'::regclass and inhrelid::regclass::text ~ '2026_0[89]'`,
  )
  expect(rows[0]!.count).toBe(2)
})
