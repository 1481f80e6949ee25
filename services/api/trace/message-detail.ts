/**
 * Everything about one message: its event, deliveries, entries and neighbours, as far as the scope reaches.
 *
 * Why  to a client, recipients of others do not exist: they are taken out of the event, the rules that ran for them
 *      and the deliveries, and positions are counted anew.
 */
import { sql } from 'kysely'
import type { MessageDetail, UsageEntry } from '../../contracts/api.ts'
import type { DeliveryAttempted, MessageFinished, TransactionEnded } from '../../contracts/event.ts'
import { isTransactionId, timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import type { Database } from '../../database/open-database.ts'
import { nearLinks } from './near-links.ts'
import { rulesetFacts } from './ruleset-facts.ts'
import { ownDeliveries, ownEvent, ownFinished } from './scoped-detail.ts'
import { isInScope, type TraceScope } from './trace-scope.ts'

export type DetailSearch = {
  database: Database
  tenantId: string
  scope: TraceScope
  nowMs: number
  timeZone: string
  lowersLocalPart: boolean
  transactionId: string
}

/** `null` where there is no such message, or none in the scope: the two look the same. */
export async function messageDetail(search: DetailSearch): Promise<MessageDetail | null> {
  const { database, tenantId, transactionId, scope } = search
  if (!isTransactionId(transactionId)) return null
  const key = { tenantId, transactionId, idTime: new Date(timeMsOfTransactionId(transactionId)) }
  const stored = await storedMessage(database, key)
  if (stored === null) return null
  let { event, deliveries, finished } = stored
  if (scope.clientId !== null) {
    const positions = await ownPositions(database, key, scope)
    const usage = await usageEntries(database, key, scope)
    if (positions.length === 0 && usage.length === 0) return null
    event = ownEvent(event, positions)
    deliveries = ownDeliveries(deliveries, event)
    finished = ownFinished(finished, deliveries)
  }
  const { ruleNames, thresholds } = await rulesetFacts(database, tenantId, event)
  return {
    event,
    deliveries,
    finished,
    usage: await usageEntries(database, key, scope),
    ruleNames,
    thresholds,
    near: await nearLinks(search, event),
  }
}

type MessageKey = { tenantId: string; transactionId: string; idTime: Date }
type StoredMessage = { event: TransactionEnded; deliveries: DeliveryAttempted[]; finished: MessageFinished | null }

async function storedMessage(database: Database, key: MessageKey): Promise<StoredMessage | null> {
  const { rows } = await sql<StoredMessage>`
    select s.event,
      coalesce((select jsonb_agg(d.event order by d.ended_at, d.seq) from delivery_attempt d
        where d.tenant_id = s.tenant_id and d.transaction_id = s.transaction_id
          and d.id_time = s.id_time), '[]') as deliveries,
      (select f.event from message_finished f
        where f.tenant_id = s.tenant_id and f.transaction_id = s.transaction_id and f.id_time = s.id_time
        order by f.finished_at desc limit 1) as finished
    from transaction_detail s
    where s.tenant_id = ${key.tenantId} and s.transaction_id = ${key.transactionId}::uuid
      and s.id_time = ${key.idTime}`.execute(
    database.kysely,
  )
  return rows[0] ?? null
}

async function ownPositions(database: Database, key: MessageKey, scope: TraceScope): Promise<number[]> {
  const { rows } = await sql<{ position: number }>`
    select r.position from transaction_recipient r
    where r.tenant_id = ${key.tenantId} and r.transaction_id = ${key.transactionId}::uuid
      and r.id_time = ${key.idTime}
      and ${isInScope(scope)} order by r.position`.execute(database.kysely)
  return rows.map((row) => row.position)
}

async function usageEntries(database: Database, key: MessageKey, scope: TraceScope): Promise<UsageEntry[]> {
  const own = scope.clientId === null ? sql`` : sql` and u.client_id = ${scope.clientId}`
  const { rows } = await sql<
    Omit<UsageEntry, 'fullBytes' | 'splitBytes'> & { fullBytes: bigint; splitBytes: bigint }
  >`
    select coalesce(n.address, 'erased-' || left(u.recipient_id::text, 8)) as recipient, u.direction,
      u.client_id as "clientId",
      c.name as "clientName", u.full_bytes as "fullBytes", u.split_bytes as "splitBytes",
      u.is_billable as billable, u.reason
    from usage_entry u
    left join recipient_name n on n.tenant_id = u.tenant_id and n.recipient_id = u.recipient_id
    left join client c on c.tenant_id = u.tenant_id and c.client_id = u.client_id
    where u.tenant_id = ${key.tenantId} and u.transaction_id = ${key.transactionId}::uuid
      and u.id_time = ${key.idTime}${own}
    order by 1, u.correction`.execute(database.kysely)
  return rows.map((row) => ({ ...row, fullBytes: String(row.fullBytes), splitBytes: String(row.splitBytes) }))
}
