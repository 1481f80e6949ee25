/**
 * The lock that keeps who writes entries apart from who changes what decides about them.
 *
 * Owns    one advisory lock a tenant, held until the transaction ends. Writers of entries share it; a change of
 *         owners or of the policy takes it alone (so will the cut-off of a period).
 * Why     a change holds for messages from a time on. That time must lie after every message that is metered
 *         already, else the same log metered in another order would give other entries. Only under the lock does
 *         "every message that is metered already" stand still.
 * Limits  a statement sees what was committed before it began: take the lock in a statement of its own, first.
 */
import type { SqlTransaction } from './in-transaction.ts'

export async function shareEntryLock(transaction: SqlTransaction, tenantId: string): Promise<void> {
  await transaction.query(`select pg_advisory_xact_lock_shared(hashtext('tollgate entries'), hashtext($1))`, [
    tenantId,
  ])
}

export async function takeEntryLock(transaction: SqlTransaction, tenantId: string): Promise<void> {
  await transaction.query(`select pg_advisory_xact_lock(hashtext('tollgate entries'), hashtext($1))`, [tenantId])
}

/** The time of the newest message that is metered, or `null`; meant for the holder of the lock. */
export async function newestEntryAt(transaction: SqlTransaction, tenantId: string): Promise<Date | null> {
  const { rows } = await transaction.query<{ newest: Date | null }>(
    'select max(ended_at) as newest from usage_entry where tenant_id = $1',
    [tenantId],
  )
  return rows[0]?.newest ?? null
}

/** The earliest time from which a change may hold that should hold from `wanted` on: never over a metered message. */
export function earliestChangeAt(wanted: Date, newest: (Date | null)[]): Date {
  return new Date(
    newest.reduce(
      (latest, time) => Math.max(latest, time === null ? -Infinity : time.getTime() + 1),
      wanted.getTime(),
    ),
  )
}
