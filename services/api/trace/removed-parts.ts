/**
 * What retention has removed of a message, and the message as far as the remaining rows tell it.
 *
 * Why  a detail that is gone must never look like one that nobody logged: the answer carries the time of its removal.
 */
import { sql } from 'kysely'
import type { MessageDetail } from '../../contracts/api.ts'
import type { LoggedRecipient, TransactionEnded } from '../../contracts/event.ts'
import type { Database } from '../../database/open-database.ts'

type MessageKey = { tenantId: string; transactionId: string; idTime: Date }

/** The newest removal of each kind in the month of the message. `hasDetails`: its event is stored. */
export async function removedParts(database: Database, key: MessageKey, hasDetails: boolean): Promise<MessageDetail['removed']> {
  const { rows } = await sql<{ kind: string; at: Date }>`
    select kind, max(removed_at) as at from retention_removal
    where tenant_id = ${key.tenantId} and month = date_trunc('month', ${key.idTime}::timestamptz, 'UTC')
      and kind in ('details', 'subjects') group by kind`.execute(database.kysely)
  const at = (kind: string): string | null => rows.find((row) => row.kind === kind)?.at.toISOString() ?? null
  const detailsAt = hasDetails ? null : at('details')
  return { detailsAt, subjectAt: at('subjects') }
}

type NarrowRow = Omit<TransactionEnded, 'recipients' | 'declaredSizeBytes' | 'messageBytes' | 'dataBytes' | 'endedAt' | 'reply' | 'weight'> & {
  idTime: Date
  endedAt: Date
  remoteIp: string | null
  remoteName: string | null
  remoteCountry: string | null
  networkClass: TransactionEnded['remote']['networkClass']
  networkName: string | null
  declaredSizeBytes: bigint | null
  messageBytes: bigint | null
  dataBytes: bigint
  weightMilli: number
  replyCode: number | null
  replyText: string | null
  recipients: LoggedRecipient[]
}

/** The event out of the narrow rows; what stood only in the details is null or empty. `null`: no such message. */
export async function narrowEvent(database: Database, key: MessageKey): Promise<TransactionEnded | null> {
  const { rows } = await sql<NarrowRow>`
    select t.tenant_id as "tenantId", t.node, t.boot, t.seq::float8 as seq, t.transaction_id as "transactionId",
      t.id_time as "idTime", t.ended_at as "endedAt", t.source, host(t.remote_ip) as "remoteIp",
      t.remote_name as "remoteName", t.remote_country as "remoteCountry", t.network_class as "networkClass",
      t.network_name as "networkName", t.helo, t.auth_user as "authUser", t.sender,
      t.declared_bytes as "declaredSizeBytes", t.subject, t.message_id as "messageId",
      t.message_bytes as "messageBytes", t.size_source as "sizeSource", t.data_bytes as "dataBytes",
      t.weight_milli as "weightMilli", t.outcome, t.stage, t.reason, t.deciding_rule_id as "decidingRuleId",
      t.reply_code as "replyCode", t.reply_text as "replyText", t.digest, t.duplicate_of as "duplicateOf",
      coalesce((select jsonb_agg(jsonb_build_object('address', r.address, 'normalized', r.address,
          'direction', r.direction, 'outcome', r.outcome, 'reason', r.reason, 'clientId', r.client_id,
          'reply', jsonb_build_object('code', r.reply_code, 'enhanced', null, 'text', '')) order by r.position)
        from transaction_recipient r
        where r.tenant_id = t.tenant_id and r.transaction_id = t.transaction_id and r.id_time = t.id_time), '[]')
        as recipients
    from mail_transaction t
    where t.tenant_id = ${key.tenantId} and t.transaction_id = ${key.transactionId}::uuid and t.id_time = ${key.idTime}`.execute(
    database.kysely,
  )
  const [row] = rows
  return row === undefined ? null : eventOf(row)
}

const count = (value: bigint | null): number | null => (value === null ? null : Number(value))

function eventOf(row: NarrowRow): TransactionEnded {
  const { idTime, remoteIp, remoteName, remoteCountry, networkClass, networkName, weightMilli, replyCode, replyText, ...same } = row
  const endedAt = row.endedAt.toISOString()
  return {
    ...same,
    kind: 'transaction.ended',
    at: endedAt,
    endedAt,
    startedAt: idTime.toISOString(),
    sessionId: unknownSession,
    listener: null,
    remote: { ip: remoteIp, port: null, reverseName: remoteName, forwardConfirmed: null, country: remoteCountry, networkClass, networkName },
    tls: null,
    declaredSizeBytes: count(row.declaredSizeBytes),
    messageBytes: count(row.messageBytes),
    dataBytes: Number(row.dataBytes),
    commandBytes: 0,
    headers: [],
    attachments: [],
    evaluations: [],
    checks: [],
    plugins: [],
    marks: [],
    weight: weightMilli / 1_000,
    reply: replyCode === null ? null : { code: replyCode, enhanced: null, text: replyText ?? '' },
    queueId: null,
    timings: { connectUs: null, heloUs: null, mailUs: null, rcptUs: null, headerUs: null, completeUs: null, spoolUs: null },
    rulesetHash: null,
    directoryVersion: null,
    truncated: [],
  }
}

const unknownSession = '00000000-0000-0000-0000-000000000000'
