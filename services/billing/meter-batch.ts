/**
 * Metering: one ingest batch becomes usage entries, in one transaction with the mark that it did.
 *
 * Owns    usage_entry, recipient_name and metered_batch.
 * Leaves  what an entry is to meter-batch.sql; in the same transaction their sums to usage-rollup.ts, and which of them are
 *         late to periods/late-entries.ts.
 * Why     by batch and not by a position in time: batches come late, and commit in another order than they began.
 * Fails   with the error of Postgres; nothing of the batch is written then, and it is found again.
 */
import type { Database } from '../database/open-database.ts'
import { shareEntryLock } from './entry-lock.ts'
import { inTransaction } from './in-transaction.ts'
import { noteLateBatch } from './periods/late-entries.ts'
import { sqlStatement } from './sql-statement.ts'
import { rollUsageBatch } from './usage-rollup.ts'

const meterBatchSql = sqlStatement('meter-batch.sql')

/** Number of entries written; `null` where another worker meters the batch, or has. */
export async function meterBatch(database: Database, tenantId: string, batchId: bigint): Promise<bigint | null> {
  return await inTransaction(database, async (transaction) => {
    await shareEntryLock(transaction, tenantId)
    // Only saves waiting for the other worker: that a batch is metered once is the key of metered_batch.
    const claim = await transaction.query<{ claimed: boolean }>(
      `select pg_try_advisory_xact_lock(hashtextextended('tollgate batch ' || $1::text || ' ' || $2::text, 0))
         as claimed`,
      [tenantId, batchId],
    )
    if (claim.rows[0]?.claimed !== true) return null
    const batch = await transaction.query<{ from_time: Date | null; upto_time: Date | null }>(
      `select from_time, upto_time from ingest_batch b where tenant_id = $1 and batch_id = $2
        and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)`,
      [tenantId, batchId],
    )
    const found = batch.rows[0]
    if (found === undefined) return null
    const { rows } = await transaction.query<{ entry_count: bigint }>(meterBatchSql, [
      tenantId,
      batchId,
      found.from_time,
      found.upto_time,
    ])
    await noteLateBatch(transaction, tenantId, { batchId, from: found.from_time, upto: found.upto_time })
    await rollUsageBatch(transaction, tenantId, { batchId, from: found.from_time, upto: found.upto_time })
    return rows[0]!.entry_count
  })
}

/** Oldest first. Batches up to `afterBatchId` are not looked at. */
export async function unmeteredBatches(
  database: Database,
  tenantId: string,
  afterBatchId: bigint,
  limit: number,
): Promise<bigint[]> {
  const { rows } = await database.pool.query<{ batch_id: bigint }>(
    `select batch_id from ingest_batch b where tenant_id = $1 and batch_id > $2
      and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)
      order by batch_id limit $3`,
    [tenantId, afterBatchId, limit],
  )
  return rows.map((row) => row.batch_id)
}
