/**
 * Adds ingested and metered batches to the rollups.
 *
 * Owns    rolled_batch, rolled_metering and the sums; one transaction holds both, under one lock a tenant, so that two
 *         workers never add a batch twice nor meet in a deadlock.
 * Limits  `batchesPerTransaction` at a time: a worker that was away catches up in steps that can be interrupted.
 */
import type pg from 'pg'
import type { Database } from '../database/open-database.ts'
import { rollupTables, type RollupTable } from './rollup-table.ts'
import { inTenantTransaction } from './tenant-transaction.ts'

const batchesPerTransaction = 200

/** Adds the oldest batches that are not in the sums yet. Returns how many it added: 0 when nothing was left. */
export async function rollBatches(database: Database, tenantId: string): Promise<number> {
  return await inTenantTransaction(database, tenantId, async (client) => {
    return (await roll(client, tenantId, 'ingested')) + (await roll(client, tenantId, 'metered'))
  })
}

type BatchRow = { batch_id: bigint; from_time: Date | null; upto_time: Date | null }

const unrolledQueries: Record<RollupTable['source'], string> = {
  ingested: `
    select batch_id, from_time, upto_time from ingest_batch batch
    where tenant_id = $1
      and not exists (select from rolled_batch rolled where rolled.tenant_id = batch.tenant_id and rolled.batch_id = batch.batch_id)
    order by batch_id limit $2`,
  metered: `
    select batch.batch_id, batch.from_time, batch.upto_time
    from metered_batch metered join ingest_batch batch using (tenant_id, batch_id)
    where tenant_id = $1
      and not exists (select from rolled_metering rolled where rolled.tenant_id = metered.tenant_id and rolled.batch_id = metered.batch_id)
    order by batch.batch_id limit $2`,
}
const markQueries: Record<RollupTable['source'], string> = {
  ingested: 'insert into rolled_batch (tenant_id, batch_id) select $1, unnest($2::bigint[])',
  metered: 'insert into rolled_metering (tenant_id, batch_id) select $1, unnest($2::bigint[])',
}

async function roll(client: pg.PoolClient, tenantId: string, source: RollupTable['source']): Promise<number> {
  const { rows } = await client.query<BatchRow>(unrolledQueries[source], [tenantId, batchesPerTransaction])
  if (rows.length === 0) return 0
  const batchIds = rows.map((row) => row.batch_id)
  const from = earliest(rows.map((row) => row.from_time))
  const upto = latest(rows.map((row) => row.upto_time))
  if (from !== null && upto !== null) {
    for (const table of rollupTables) {
      if (table.source === source) await client.query(table.sumStatement, [tenantId, batchIds, from, upto, null])
    }
  }
  await client.query(markQueries[source], [tenantId, batchIds])
  return rows.length
}

function earliest(times: (Date | null)[]): Date | null {
  return times.reduce((least, time) => (time !== null && (least === null || time < least) ? time : least), null)
}

function latest(times: (Date | null)[]): Date | null {
  return times.reduce((most, time) => (time !== null && (most === null || time > most) ? time : most), null)
}
