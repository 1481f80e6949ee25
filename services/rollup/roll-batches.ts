/**
 * Adds ingest batches to the rollups.
 *
 * Owns    rolled_batch and the sums; one transaction holds both, under one lock a tenant, so that two workers never
 *         add a batch twice nor meet in a deadlock.
 * Limits  `batchesPerTransaction` at a time: a worker that was away catches up in steps that can be interrupted.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type pg from 'pg'
import { packageRoot } from '../kit/package-root.ts'
import type { Database } from '../database/open-database.ts'

export const rollupTables = ['traffic_hour', 'rule_hour', 'recipient_day', 'sender_day'] as const

const sumStatements = rollupTables.map((table) => {
  const file = path.join(packageRoot, 'services', 'rollup', 'sql', `${table.replace('_', '-')}.sql`)
  return readFileSync(file, 'utf8')
})

const batchesPerTransaction = 200

/** Adds the oldest batches that are not in the sums yet. Returns how many it added: 0 when nothing was left. */
export async function rollBatches(database: Database, tenantId: string): Promise<number> {
  return await inTenantTransaction(database, tenantId, async (client) => {
    const { rows } = await client.query<{ batch_id: bigint; from_time: Date | null; upto_time: Date | null }>(
      `select batch_id, from_time, upto_time from ingest_batch batch
       where tenant_id = $1
         and not exists (select from rolled_batch rolled where rolled.tenant_id = batch.tenant_id and rolled.batch_id = batch.batch_id)
       order by batch_id limit $2`,
      [tenantId, batchesPerTransaction],
    )
    if (rows.length === 0) return 0
    const batchIds = rows.map((row) => row.batch_id)
    const from = earliest(rows.map((row) => row.from_time))
    const upto = latest(rows.map((row) => row.upto_time))
    if (from !== null && upto !== null) {
      for (const statement of sumStatements) await client.query(statement, [tenantId, batchIds, from, upto])
    }
    await client.query('insert into rolled_batch (tenant_id, batch_id) select $1, unnest($2::bigint[])', [tenantId, batchIds])
    return rows.length
  })
}

/** Empties the rollups of a tenant; the next calls of `rollBatches` make them again from the raw rows. */
export async function emptyRollups(database: Database, tenantId: string): Promise<void> {
  await inTenantTransaction(database, tenantId, async (client) => {
    for (const table of [...rollupTables, 'rolled_batch']) await client.query(`delete from ${table} where tenant_id = $1`, [tenantId])
  })
}

async function inTenantTransaction<Result>(
  database: Database,
  tenantId: string,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await database.pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    await client.query(`select pg_advisory_xact_lock(hashtext('tollgate rollup'), hashtext($1))`, [tenantId])
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    failure = error as Error
    await client.query('rollback').catch(() => {})
    throw error
  } finally {
    client.release(failure)
  }
}

function earliest(times: (Date | null)[]): Date | null {
  return times.reduce((least, time) => (time !== null && (least === null || time < least) ? time : least), null)
}

function latest(times: (Date | null)[]): Date | null {
  return times.reduce((most, time) => (time !== null && (most === null || time > most) ? time : most), null)
}
