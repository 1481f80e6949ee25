/** The months whose messages retention has removed: what is told of them again can be compared with nothing. */
import type pg from 'pg'
import { timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import type { EventHead } from './decode-line.ts'

export type RemovedMonths = ReadonlySet<string>

export async function removedMonths(client: pg.PoolClient, tenantId: string): Promise<RemovedMonths> {
  const { rows } = await client.query<{ month: Date }>(
    `select distinct month from retention_removal where tenant_id = $1 and kind = 'messages'`,
    [tenantId],
  )
  return new Set(rows.map((row) => row.month.toISOString().slice(0, 7)))
}

/** By the partitioning time of the event. */
export function isOfRemovedMonth(event: EventHead, removed: RemovedMonths): boolean {
  if (removed.size === 0) return false
  const time = event.kind === 'session.closed' ? event.closedAt : 'transactionId' in event ? timeMsOfTransactionId(event.transactionId) : event.at
  return removed.has(new Date(time).toISOString().slice(0, 7))
}
