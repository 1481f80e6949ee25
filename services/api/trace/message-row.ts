/** Transactions, found by their keys, as the rows that trace shows. */
import { sql, type RawBuilder } from 'kysely'
import type { MessageRow } from '../../contracts/api.ts'
import type { Outcome, Stage } from '../../contracts/vocabulary.ts'
import type { Database } from '../../database/open-database.ts'
import { isQueueable, wasTried } from './has-condition.ts'
import { isInScope, type TraceScope } from './trace-scope.ts'

const shownRecipients = 3

type StoredRow = {
  transactionId: string
  endedAt: Date
  outcome: Outcome
  stage: Stage
  reason: string | null
  decidingRuleId: string | null
  sender: string | null
  recipients: { address: string; outcome: string }[]
  recipientCount: number
  acceptedCount: number
  subject: string | null
  remoteIp: string | null
  messageBytes: bigint | null
  declaredBytes: bigint | null
  weightMilli: number
  replyCode: number | null
  replyText: string | null
  delivery: MessageRow['delivery']
}

/** `page` selects transaction_id and id_time; the rows come newest first. */
export async function messageRows(
  database: Database,
  page: RawBuilder<unknown>,
  scope: TraceScope,
): Promise<MessageRow[]> {
  const { rows } = await sql<StoredRow>`
    with page as materialized (${page})
    select t.transaction_id as "transactionId", t.ended_at as "endedAt", t.outcome, t.stage, seen.reason,
      seen.deciding_rule_id as "decidingRuleId", t.sender, seen.recipients,
      seen.recipient_count as "recipientCount", seen.accepted_count as "acceptedCount",
      t.subject, host(t.remote_ip) as "remoteIp", t.message_bytes as "messageBytes",
      t.declared_bytes as "declaredBytes",
      t.weight_milli as "weightMilli", seen.reply_code as "replyCode", seen.reply_text as "replyText",
      case when not (${isQueueable}) then null
        when seen.delivered_count >= seen.accepted_count then 'delivered'
        when seen.delivered_count > 0 then 'partly'
        when seen.is_over then 'failed'
        else 'queued' end as delivery
    from page
    join mail_transaction t using (transaction_id, id_time)
    cross join lateral (${scope.clientId === null ? wholeMessage : ownPart(scope)}) as seen
    order by t.id_time desc, t.transaction_id desc`.execute(database.kysely)
  return rows.map(messageRowOf)
}

const firstRecipients = (test: RawBuilder<boolean>) => sql`coalesce((
  select jsonb_agg(jsonb_build_object('address', first.address, 'outcome', first.outcome) order by first.position)
  from (select r.address, r.outcome, r.position from transaction_recipient r
    where r.tenant_id = t.tenant_id and r.transaction_id = t.transaction_id and r.id_time = t.id_time and ${test}
    order by r.position limit ${sql.lit(shownRecipients)}) as first), '[]')`

const wholeMessage = sql`
  select ${firstRecipients(sql<boolean>`true`)} as recipients, t.recipient_count, t.accepted_count,
    t.reason, t.deciding_rule_id, t.reply_code, t.reply_text,
    coalesce(
      (select max(f.delivered_count) from message_finished f
       where f.tenant_id = t.tenant_id and f.transaction_id = t.transaction_id and f.id_time = t.id_time),
      (select sum(d.delivered_count)::integer from delivery_attempt d
       where d.tenant_id = t.tenant_id and d.transaction_id = t.transaction_id
         and d.id_time = t.id_time), 0) as delivered_count,
    ${isFinished()} as is_over`

/**
 * Counts only of the recipients that the scope holds. What ended at RCPT ended with the reply to one recipient, which
 * may be somebody else's: then the own one's reply and reason stand here.
 */
const ownPart = (scope: TraceScope) => sql`
  select ${firstRecipients(isInScope(scope))} as recipients,
    case when t.stage = 'rcpt' then (array_agg(r.reason order by r.position desc))[1] else t.reason end as reason,
    case when t.stage = 'rcpt' then null else t.deciding_rule_id end as deciding_rule_id,
    case when t.stage = 'rcpt' then (array_agg(r.reply_code order by r.position desc))[1]
      else t.reply_code end as reply_code,
    case when t.stage = 'rcpt' then null else t.reply_text end as reply_text,
    count(*)::integer as recipient_count,
    count(*) filter (where r.outcome not in ('refused', 'deferred'))::integer as accepted_count,
    count(*) filter (where ${wasTried(['delivered'])})::integer as delivered_count,
    bool_and(r.outcome in ('refused', 'deferred') or ${wasTried(['failed'])}) or ${isFinished()} as is_over
  from transaction_recipient r
  where r.tenant_id = t.tenant_id and r.transaction_id = t.transaction_id and r.id_time = t.id_time
    and ${isInScope(scope)}`

function isFinished(): RawBuilder<boolean> {
  return sql<boolean>`exists (select from message_finished f
    where f.tenant_id = t.tenant_id and f.transaction_id = t.transaction_id and f.id_time = t.id_time)`
}

function messageRowOf(row: StoredRow): MessageRow {
  const { endedAt, messageBytes, declaredBytes, weightMilli, ...same } = row
  return {
    ...same,
    endedAt: endedAt.toISOString(),
    messageBytes: messageBytes === null ? null : String(messageBytes),
    declaredSizeBytes: declaredBytes === null ? null : String(declaredBytes),
    weight: weightMilli / 1_000,
  }
}
