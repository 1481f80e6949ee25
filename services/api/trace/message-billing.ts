/** The entries that a message caused, the month in which they stand, and how recipients count in it. */
import { sql } from 'kysely'
import type { MessageDetail, UsageEntry } from '../../contracts/api.ts'
import type { TransactionEnded } from '../../contracts/event.ts'
import { monthLabelAt } from '../../contracts/period.ts'
import type { MeteringMode } from '../../contracts/vocabulary.ts'
import type { Database } from '../../database/open-database.ts'
import type { TraceScope } from './trace-scope.ts'

export type MessageKey = { tenantId: string; transactionId: string; idTime: Date }

export async function usageEntries(database: Database, key: MessageKey, scope: TraceScope): Promise<UsageEntry[]> {
  const own = scope.clientId === null ? sql`` : sql` and u.client_id = ${scope.clientId}`
  const { rows } = await sql<
    Omit<UsageEntry, 'fullBytes' | 'splitBytes' | 'correction'> & Record<'fullBytes' | 'splitBytes' | 'correction', bigint>
  >`
    select coalesce(n.address, 'erased-' || left(u.recipient_id::text, 8)) as recipient, u.direction,
      u.client_id as "clientId",
      c.name as "clientName", u.full_bytes as "fullBytes", u.split_bytes as "splitBytes",
      u.is_billable as billable, u.reason, u.correction
    from usage_entry u
    left join recipient_name n on n.tenant_id = u.tenant_id and n.recipient_id = u.recipient_id
    left join client c on c.tenant_id = u.tenant_id and c.client_id = u.client_id
    where u.tenant_id = ${key.tenantId} and u.transaction_id = ${key.transactionId}::uuid
      and u.id_time = ${key.idTime}${own}
    order by 1, u.correction`.execute(database.kysely)
  return rows.map((row) => ({
    ...row,
    fullBytes: String(row.fullBytes),
    splitBytes: String(row.splitBytes),
    // An odd one adds what an even one takes back: both are of one correction.
    correction: String(row.correction / 2n),
  }))
}

/** `timeZone` is meant where billing has stored no policy yet. */
export async function messageBilling(
  database: Database,
  key: MessageKey,
  event: TransactionEnded,
  timeZone: string,
): Promise<MessageDetail['billing']> {
  const endedAt = new Date(event.endedAt)
  const { rows } = await sql<{ mode: MeteringMode | null; timeZone: string | null; isMetered: boolean }>`
    select p.mode, p.time_zone as "timeZone",
      exists (select from mail_transaction t
        join metered_batch m on m.tenant_id = t.tenant_id and m.batch_id = t.batch_id
        where t.tenant_id = ${key.tenantId} and t.transaction_id = ${key.transactionId}::uuid
          and t.id_time = ${key.idTime}) as "isMetered"
    from (select) as one left join lateral (
      select b.mode, b.time_zone from billing_policy b
      where b.tenant_id = ${key.tenantId} and b.valid_from <= ${endedAt}
      order by b.valid_from desc, b.revision desc limit 1) p on true`.execute(database.kysely)
  const { mode, timeZone: stored, isMetered } = rows[0]!
  return { period: monthLabelAt(endedAt, stored ?? timeZone), mode, isMetered }
}
