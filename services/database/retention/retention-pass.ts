/**
 * One look at what is past its date, and removing it.
 *
 * Owns    the order and the size of the steps; each is a transaction of its own and can be interrupted.
 * Leaves  whether a step is allowed to the owner's functions (migrations/0012_retention.sql): they hold to the stored
 *         policy, and let nothing go that is not in usage and totals yet.
 * Limits  `rowsPerStep`. A partition whose lock cannot be had within 0.8 s is left for the next look: neither readers
 *         nor ingest wait for retention.
 * Fails   with the error of Postgres where the database is away.
 */
import type { Database } from '../open-database.ts'
import { dueRemovals, listPartitions, type DueRemoval, type RemovalKind } from './partition-list.ts'
import { readRetentionPolicy } from './retention-policy.ts'

const rowsPerStep = 5_000
const hourMs = 3_600_000

export type Removed = { kind: RemovalKind | 'records'; monthStart: Date | null; rowCount: bigint | null }
export type Held = { kind: RemovalKind; monthStart: Date; reason: 'uncounted' | 'locked' }
export type PassResult = { removed: Removed[]; held: Held[] }
type Pass = { database: Database; tenantId: string; signal?: AbortSignal }

/** Every month that is past its date, oldest first. */
export async function removeExpired(pass: Pass): Promise<PassResult> {
  const result: PassResult = { removed: [], held: [] }
  const policy = await readRetentionPolicy(pass.database, pass.tenantId)
  if (policy === null) return result
  const due = dueRemovals(await listPartitions(pass.database), policy).filter((removal) => removal.at.getTime() <= Date.now())
  const whole = new Set(due.filter(({ kind }) => kind === 'messages').map(({ monthStart }) => monthStart.getTime()))
  for (const removal of due) {
    if (pass.signal?.aborted === true) return result
    if (removal.kind !== 'subjects') await removeMonth(pass, removal, result)
    else if (!whole.has(removal.monthStart.getTime())) await emptySubjects(pass, removal.monthStart, result)
  }
  let rowCount = 0n
  for (;;) {
    const deleted = await call(pass.database, 'select delete_expired_records($1, $2) as count', [pass.tenantId, rowsPerStep])
    rowCount += deleted
    if (deleted === 0n || pass.signal?.aborted === true) break
  }
  if (rowCount > 0n) result.removed.push({ kind: 'records', monthStart: null, rowCount })
  return result
}

async function removeMonth({ database, tenantId, signal }: Pass, { kind, monthStart }: DueRemoval, result: PassResult): Promise<void> {
  try {
    const { rows } = await database.pool.query<{ outcome: 'dropped' | 'uncounted' | 'shared' }>(
      'select drop_expired_month($1, $2, $3) as outcome',
      [tenantId, kind, monthStart],
    )
    const outcome = rows[0]!.outcome
    if (outcome === 'dropped') result.removed.push({ kind, monthStart, rowCount: null })
    if (outcome === 'uncounted') result.held.push({ kind, monthStart, reason: 'uncounted' })
    if (outcome !== 'shared') return
    let rowCount = 0n
    while (signal?.aborted !== true) {
      const deleted = await call(database, 'select delete_expired_rows($1, $2, $3, $4) as count', [tenantId, kind, monthStart, rowsPerStep])
      if (deleted === 0n) break
      rowCount += deleted
    }
    if (rowCount > 0n) result.removed.push({ kind, monthStart, rowCount })
  } catch (error) {
    if (!isLocked(error)) throw error
    result.held.push({ kind, monthStart, reason: 'locked' })
  }
}

/** Hour by hour: a step looks only at the messages of its hour. */
async function emptySubjects({ database, tenantId, signal }: Pass, monthStart: Date, result: PassResult): Promise<void> {
  const monthEnd = new Date(Date.UTC(monthStart.getUTCFullYear(), monthStart.getUTCMonth() + 1, 1))
  // Done once, and again only where a batch came since that reaches into the month.
  const { rows } = await database.pool.query<{ newest_batch_id: bigint; is_due: boolean }>(
    `select retention_batch_seen($1) as newest_batch_id, not exists (
       select from retention_removal r where r.tenant_id = $1 and r.kind = 'subjects' and r.month = $2
         and not exists (select from ingest_batch b where b.tenant_id = $1 and b.batch_id > r.newest_batch_id
           and b.from_time < $3 and b.upto_time >= $2 and b.ingested_at > r.removed_at)) as is_due`,
    [tenantId, monthStart, monthEnd],
  )
  const { newest_batch_id: newestBatchId, is_due: isDue } = rows[0]!
  if (!isDue) return
  let rowCount = 0n
  for (let fromMs = monthStart.getTime(); fromMs < monthEnd.getTime(); fromMs += hourMs) {
    for (;;) {
      if (signal?.aborted === true) return
      const range = [new Date(fromMs), new Date(fromMs + hourMs)]
      const emptied = await call(database, 'select empty_subjects($1, $2, $3, $4) as count', [tenantId, ...range, rowsPerStep])
      rowCount += emptied
      if (emptied < BigInt(rowsPerStep)) break
    }
  }
  await database.pool.query(
    `insert into retention_removal (tenant_id, kind, month, newest_batch_id) values ($1, 'subjects', $2, $3)`,
    [tenantId, monthStart, newestBatchId],
  )
  if (rowCount > 0n) result.removed.push({ kind: 'subjects', monthStart, rowCount })
}

async function call(database: Database, statement: string, values: unknown[]): Promise<bigint> {
  const { rows } = await database.pool.query<{ count: bigint }>(statement, values)
  return rows[0]!.count
}

/** Lock not available, or a deadlock that was broken up. */
function isLocked(error: unknown): boolean {
  return ['55P03', '40P01'].includes(String((error as { code?: unknown }).code))
}
