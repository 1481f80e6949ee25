/** The rows of some ingest batches that match a query: one statement for the keys, one for the rows that are shown. */
import { sql } from 'kysely'
import type { LiveRow } from '../../contracts/api.ts'
import { timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import { messageRows } from '../trace/message-row.ts'
import type { MessageSearch } from '../trace/search-messages.ts'
import { traceSelect } from '../trace/trace-select.ts'
import type { IngestBatch } from './batch-reader.ts'
import type { LivePosition } from './live-position.ts'

export type LiveSearch = Omit<MessageSearch, 'cursor' | 'limit' | 'nowMs'>

export type FoundRow = { row: LiveRow; batchId: number }
export type FoundRows = {
  /** In the order in which they are told: by batch, then by the time in the id. */
  rows: FoundRow[]
  /** How many more matched and are not told, all of them before the first row. */
  skippedCount: number
  /** The last of those. */
  lastSkipped: { batchId: number; transactionId: string } | null
}

/** What came so long after its end came late: from a log that was shipped, or that waited for the database. */
const lateMs = 5 * 60_000

/** The newest `limit` of them; `partly` is where the first of the batches was left. */
export async function findLiveRows(
  search: LiveSearch & { nowMs: number },
  batches: readonly IngestBatch[],
  partly: LivePosition['partly'],
  limit: number,
): Promise<FoundRows> {
  const filled = batches.filter((batch) => batch.transactionCount > 0)
  if (filled.length === 0) return { rows: [], skippedCount: 0, lastSkipped: null }
  const keys = await matchingKeys(search, filled, partly, limit + 1)
  const shown = keys.slice(0, limit).reverse()
  const lastSkipped = keys[limit] ?? null
  const found = await rowsOf(search, shown.map((key) => key.transactionId))
  return {
    rows: shown.flatMap(({ transactionId, batchId, ingestedAt }) => {
      const row = found.get(transactionId)
      if (row === undefined) return []
      const isLate = ingestedAt.getTime() - Date.parse(row.endedAt) > lateMs
      return [{ row: { ...row, ingestedAt: ingestedAt.toISOString(), isLate }, batchId: Number(batchId) }]
    }),
    skippedCount: (keys[0]?.matchedCount ?? 0) - shown.length,
    lastSkipped: lastSkipped === null ? null : { batchId: Number(lastSkipped.batchId), transactionId: lastSkipped.transactionId },
  }
}

type MatchingKey = { transactionId: string; batchId: bigint; ingestedAt: Date; matchedCount: number }

/** Newest first. */
async function matchingKeys(
  search: LiveSearch & { nowMs: number },
  batches: readonly IngestBatch[],
  partly: LivePosition['partly'],
  limit: number,
): Promise<MatchingKey[]> {
  const select = traceSelect(
    { ...search, clock: { nowMs: search.nowMs, timeZone: search.timeZone } },
    { columns: sql`t.tenant_id, t.transaction_id, t.id_time, t.batch_id`, limit: null },
  )
  const left =
    partly === null
      ? sql``
      : sql` and (found.batch_id <> ${partly.batchId} or (found.id_time, found.transaction_id)
          > (${new Date(timeMsOfTransactionId(partly.transactionId))}, ${partly.transactionId}::uuid))`
  // The times of the batches name the partitions.
  const from = new Date(Math.min(...batches.map((batch) => batch.from?.getTime() ?? Infinity)))
  const upto = new Date(Math.max(...batches.map((batch) => batch.upto?.getTime() ?? -Infinity)))
  const { rows } = await sql<MatchingKey>`
    select found.transaction_id as "transactionId", found.batch_id as "batchId", b.ingested_at as "ingestedAt",
      (count(*) over ())::integer as "matchedCount"
    from (${select}) as found
    join ingest_batch b on b.tenant_id = found.tenant_id and b.batch_id = found.batch_id
    where found.batch_id = any(${batches.map((batch) => batch.batchId)}::bigint[])
      and found.id_time >= ${from} and found.id_time <= ${upto}${left}
    order by found.batch_id desc, found.id_time desc, found.transaction_id desc limit ${limit}`.execute(
    search.database.kysely,
  )
  return rows
}

async function rowsOf(search: LiveSearch, transactionIds: string[]): Promise<Map<string, LiveRowBase>> {
  if (transactionIds.length === 0) return new Map()
  const times = transactionIds.map((id) => new Date(timeMsOfTransactionId(id)))
  const page = sql`select t.transaction_id, t.id_time from mail_transaction t
    join unnest(${transactionIds}::uuid[], ${times}::timestamptz[]) as wanted (transaction_id, id_time)
      using (transaction_id, id_time) where t.tenant_id = ${search.tenantId}`
  const rows = await messageRows(search.database, page, search.scope)
  return new Map(rows.map((row) => [row.transactionId, row]))
}

type LiveRowBase = Omit<LiveRow, 'ingestedAt' | 'isLate'>
