/**
 * Entries for a period that is cut off: noted in the transaction that writes them, with the period that will show them.
 *
 * Why  under the entry lock, which the cut-off takes alone: an entry is written before it, or it is late.
 */
import type { SqlTransaction } from '../in-transaction.ts'

/** Of an ingest batch that is being metered; `from` and `upto` bound the id_time of its transactions. */
export async function noteLateBatch(
  transaction: SqlTransaction,
  tenantId: string,
  batch: { batchId: bigint; from: Date | null; upto: Date | null },
): Promise<void> {
  if (!(await isAnythingCutOff(transaction, tenantId))) return
  await transaction.query(
    `${lateInsert}
     join mail_transaction message on message.tenant_id = $1 and message.batch_id = $2 and message.id_time between $3 and $4
       and message.transaction_id = entry.transaction_id and message.id_time = entry.id_time
     where entry.tenant_id = $1 and entry.id_time between $3 and $4 and entry.correction = 0
     on conflict do nothing`,
    [tenantId, batch.batchId, batch.from, batch.upto],
  )
}

/** Of a correction that has just appended its entries, by the number that they carry. */
export async function noteLateCorrection(transaction: SqlTransaction, tenantId: string, correction: bigint): Promise<void> {
  await transaction.query(
    `${lateInsert}
     where entry.tenant_id = $1 and entry.correction = $2 and entry.correction <> 0
     on conflict do nothing`,
    [tenantId, correction],
  )
}

async function isAnythingCutOff(transaction: SqlTransaction, tenantId: string): Promise<boolean> {
  const { rowCount } = await transaction.query(`select from billing_period where tenant_id = $1 and state <> 'open' limit 1`, [tenantId])
  return rowCount === 1
}

const lateInsert = `
  insert into late_entry (tenant_id, transaction_id, id_time, recipient_id, correction, period, shown_in)
  select entry.tenant_id, entry.transaction_id, entry.id_time, entry.recipient_id, entry.correction, cut.label,
    -- The earliest period without a cut-off; before it opens, the one after the last.
    coalesce(
      (select min(label) from billing_period where tenant_id = $1 and state = 'open' and label > cut.label),
      to_char(to_date((select max(label) from billing_period where tenant_id = $1), 'YYYY-MM') + interval '1 month', 'YYYY-MM'))
  from usage_entry entry
  join billing_period cut on cut.tenant_id = $1 and cut.state <> 'open'
    and entry.ended_at >= cut.from_time and entry.ended_at < cut.upto_time`
