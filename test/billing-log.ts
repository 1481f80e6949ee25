/**
 * Rows of the ingested log as metering finds them, for tests of billing: only what billing reads is told, the rest is
 * a plain message.
 */
import { createHash, randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { domainOf, normalizedDomain } from '../services/contracts/address.ts'
import { transactionIdOf } from '../services/contracts/transaction-id.ts'
import type { Direction, Outcome, RecipientOutcome, Stage } from '../services/contracts/vocabulary.ts'
import type { Database } from '../services/database/open-database.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { recipientIdOf } from '../services/ingest/recipient-id.ts'

export type StoredRecipient = {
  address: string
  outcome?: RecipientOutcome
  direction?: Direction
  reason?: string | null
}

export type StoredMessage = {
  transactionId: string
  endedAt: Date
  outcome: Outcome
  stage: Stage
  messageBytes: number | null
  dataBytes: number
  recipients: StoredRecipient[]
  sender: string | null
  networkName: string | null
  duplicateOf: string | null
  sizeSource: 'data' | 'queue'
  remoteIp?: string
  declaredBytes?: number | null
  reason?: string | null
  decidingRuleId?: string | null
}

/** A message of one octet count to some recipients; anything else by `changes`. */
export function storedMessage(
  endedAt: Date | string,
  sizeBytes: number,
  recipients: (string | StoredRecipient)[],
  changes: Partial<StoredMessage> = {},
): StoredMessage {
  const time = new Date(endedAt)
  return {
    transactionId: transactionIdOf(time.getTime(), randomBytes(10)),
    endedAt: time,
    outcome: 'accepted',
    stage: 'complete',
    messageBytes: sizeBytes,
    dataBytes: sizeBytes,
    recipients: recipients.map((recipient) => (typeof recipient === 'string' ? { address: recipient } : recipient)),
    sender: 'someone@outside.example',
    networkName: null,
    duplicateOf: null,
    sizeSource: 'data',
    ...changes,
  }
}

/** Stores the messages as one batch and gives its id; `givenBatchId` for one that another tenant has too. */
export async function storeBatch(
  database: Database,
  tenantId: string,
  messages: StoredMessage[],
  givenBatchId?: bigint,
): Promise<bigint> {
  const { recipientKey } = await ensureTenant(database, tenantId)
  const times = messages.map((message) => idTimeOf(message).getTime())
  const from = times.length === 0 ? null : new Date(Math.min(...times))
  const upto = times.length === 0 ? null : new Date(Math.max(...times))
  if (from !== null) await database.pool.query('select ensure_partitions($1, $2)', [from, upto])
  return await database.kysely.transaction().execute(async (transaction) => {
    const count = messages.length
    const batch =
      givenBatchId === undefined
        ? sql`(tenant_id, from_time, upto_time, transaction_count, event_count)
            values (${tenantId}, ${from}, ${upto}, ${count}, ${count})`
        : sql`(tenant_id, batch_id, from_time, upto_time, transaction_count, event_count) overriding system value
            values (${tenantId}, ${givenBatchId}, ${from}, ${upto}, ${count}, ${count})`
    const stored = await sql<{ batch_id: bigint }>`insert into ingest_batch ${batch} returning batch_id`.execute(
      transaction,
    )
    const batchId = stored.rows[0]!.batch_id
    for (const message of messages) {
      await transaction
        .insertInto('mail_transaction')
        .values(transactionRow(tenantId, batchId, message))
        .execute()
      if (message.recipients.length === 0) continue
      await transaction
        .insertInto('transaction_recipient')
        .values(
          message.recipients.map((recipient, position) => ({
            tenant_id: tenantId,
            transaction_id: message.transactionId,
            id_time: idTimeOf(message),
            position,
            batch_id: batchId,
            address: recipient.address,
            domain: domainOf(recipient.address),
            recipient_id: recipientIdOf(recipientKey, recipient.address),
            direction: recipient.direction ?? 'inbound',
            outcome: recipient.outcome ?? 'accepted',
            reason: recipient.reason ?? null,
            reply_code: 250,
            client_id: null,
          })),
        )
        .execute()
    }
    return batchId
  })
}

function idTimeOf(message: StoredMessage): Date {
  return new Date(Number.parseInt(message.transactionId.replaceAll('-', '').slice(0, 12), 16))
}

function transactionRow(tenantId: string, batchId: bigint, message: StoredMessage) {
  const hash = createHash('sha256').update(message.transactionId).digest()
  return {
    tenant_id: tenantId,
    transaction_id: message.transactionId,
    id_time: idTimeOf(message),
    ended_at: message.endedAt,
    batch_id: batchId,
    node: 'gateway-1',
    boot: '00000000-0000-4000-8000-000000000000',
    seq: 1,
    event_hash: hash.readBigInt64BE(0),
    source: 'tollgate',
    remote_ip: message.remoteIp ?? null,
    declared_bytes: message.declaredBytes ?? null,
    reason: message.reason ?? null,
    deciding_rule_id: message.decidingRuleId ?? null,
    network_class: 'public',
    network_name: message.networkName,
    sender: message.sender,
    sender_domain: message.sender === null ? null : normalizedDomain(domainOf(message.sender)),
    outcome: message.outcome,
    stage: message.stage,
    message_bytes: message.messageBytes,
    data_bytes: message.dataBytes,
    size_source: message.sizeSource,
    weight_milli: 0,
    recipient_count: message.recipients.length,
    accepted_count: message.recipients.filter((recipient) => (recipient.outcome ?? 'accepted') === 'accepted').length,
    attachment_count: 0,
    duplicate_of: message.duplicateOf,
  }
}
