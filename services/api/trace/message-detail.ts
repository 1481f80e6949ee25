/**
 * Everything about one message: its event, deliveries, entries and neighbours, as far as the scope reaches.
 *
 * Why  to a client, recipients of others do not exist: they are taken out of the event, the rules that ran for them
 *      and the deliveries, and positions are counted anew.
 */
import { sql } from 'kysely'
import type { MessageDetail } from '../../contracts/api.ts'
import type { DeliveryAttempted, MessageFinished, TransactionEnded } from '../../contracts/event.ts'
import { isTransactionId, timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import type { Database } from '../../database/open-database.ts'
import { messageBilling, usageEntries, type MessageKey } from './message-billing.ts'
import { gatewayActs, messageSession } from './message-session.ts'
import { messageTimeline } from './message-timeline.ts'
import { nearLinks } from './near-links.ts'
import { narrowEvent, removedParts } from './removed-parts.ts'
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
  const removed = await removedParts(database, key, stored.hasDetails)
  const usage = await usageEntries(database, key, scope)
  const isWhole = scope.clientId === null
  if (!isWhole) {
    const positions = await ownPositions(database, key, scope)
    if (positions.length === 0 && usage.length === 0) return null
    event = ownEvent(event, positions)
    deliveries = ownDeliveries(deliveries, event)
    finished = ownFinished(finished, deliveries)
  }
  const facts = await rulesetFacts(database, tenantId, event)
  const session = isWhole ? await messageSession(database, tenantId, event) : null
  const acts = (await gatewayActs(database, tenantId, transactionId)).map((act) => (isWhole ? act : { ...act, by: null }))
  return {
    event,
    deliveries,
    finished,
    timeline: messageTimeline({ event, deliveries, finished, session, acts }),
    session,
    usage,
    billing: await messageBilling(database, key, event, search.timeZone),
    ...facts,
    // The rules that did not hit are the administrator's, and a connection may have brought other people's mail.
    ...(isWhole ? {} : { rules: null, rulesUnknown: 'not-shown' as const }),
    removed,
    near: await nearLinks(search, event),
  }
}

type StoredMessage = {
  event: TransactionEnded
  deliveries: DeliveryAttempted[]
  finished: MessageFinished | null
  hasDetails: boolean
}

async function storedMessage(database: Database, key: MessageKey): Promise<StoredMessage | null> {
  const { rows } = await sql<Omit<StoredMessage, 'event' | 'hasDetails'> & { event: TransactionEnded | null }>`
    select s.event,
      coalesce((select jsonb_agg(d.event order by d.ended_at, d.seq) from delivery_attempt d
        where d.tenant_id = k.tenant_id and d.transaction_id = k.transaction_id
          and d.id_time = k.id_time), '[]') as deliveries,
      (select f.event from message_finished f
        where f.tenant_id = k.tenant_id and f.transaction_id = k.transaction_id and f.id_time = k.id_time
        order by f.finished_at desc limit 1) as finished
    from (select ${key.tenantId}::text as tenant_id, ${key.transactionId}::uuid as transaction_id,
      ${key.idTime}::timestamptz as id_time) k
    left join transaction_detail s using (tenant_id, transaction_id, id_time)`.execute(
    database.kysely,
  )
  const { event, deliveries, finished } = rows[0]!
  if (event !== null) return { event, deliveries, finished, hasDetails: true }
  const narrow = await narrowEvent(database, key)
  return narrow === null ? null : { event: narrow, deliveries, finished, hasDetails: false }
}

async function ownPositions(database: Database, key: MessageKey, scope: TraceScope): Promise<number[]> {
  const { rows } = await sql<{ position: number }>`
    select r.position from transaction_recipient r
    where r.tenant_id = ${key.tenantId} and r.transaction_id = ${key.transactionId}::uuid
      and r.id_time = ${key.idTime}
      and ${isInScope(scope)} order by r.position`.execute(database.kysely)
  return rows.map((row) => row.position)
}
