/**
 * Events flattened into the rows of each table, ready for COPY.
 *
 * Owns    which field becomes which column.
 * Limits  texts in index columns are cut to `indexedBytes`: Postgres refuses longer index entries. The whole text
 *         stands in transaction_detail.
 * Why     encoded while the batch before is loaded, so the batch id is not known yet and is patched in at the end.
 *         The tables are in the order in which ensure_partitions locks them: two loaders cannot deadlock.
 */
import { domainOf, normalizedDomain } from '../contracts/address.ts'
import { timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import type { DeliveryAttempted, MessageFinished, SessionClosed, TransactionEnded } from '../contracts/event.ts'
import { CopyBuffer, RowFault } from './copy-buffer.ts'
import type { DecodedLine } from './decode-line.ts'
import { inetOctets } from './inet-octets.ts'
import type { RecipientIds } from './recipient-id.ts'

export const copiedTables = {
  delivery_attempt:
    'tenant_id, transaction_id, id_time, boot, seq, event_hash, ended_at, next_host, delivered_count, deferred_count, failed_count, event',
  mail_transaction:
    'tenant_id, transaction_id, id_time, ended_at, batch_id, node, boot, seq, event_hash, source, remote_ip, remote_name, ' +
    'remote_country, network_class, network_name, helo, auth_user, sender, sender_domain, subject, message_id, outcome, stage, ' +
    'reason, deciding_rule_id, reply_code, reply_text, declared_bytes, message_bytes, data_bytes, size_source, weight_milli, ' +
    'recipient_count, accepted_count, attachment_count, digest, duplicate_of',
  message_finished:
    'tenant_id, transaction_id, id_time, boot, seq, event_hash, finished_at, delivered_count, failed_count, expired_count, event',
  rule_hit:
    'tenant_id, transaction_id, id_time, position, rule_id, revision, stage, recipient_position, branch, action, weight_milli, is_shadow',
  session_closed:
    'tenant_id, session_id, closed_at, event_hash, remote_ip, network_class, closed_by, received_bytes, sent_bytes, ' +
    'transaction_count, violation_count, event',
  transaction_detail: 'tenant_id, transaction_id, id_time, event',
  transaction_recipient:
    'tenant_id, transaction_id, id_time, position, batch_id, address, domain, recipient_id, direction, outcome, reason, reply_code, client_id',
} as const
export type CopiedTable = keyof typeof copiedTables

const indexedBytes = 1_000
const fieldCounts = Object.fromEntries(
  Object.entries(copiedTables).map(([table, columns]) => [table, columns.split(',').length]),
) as Record<CopiedTable, number>

export class CopyRows {
  readonly tables: Record<CopiedTable, CopyBuffer>
  #tenantOctets: Buffer
  #recipientIds: RecipientIds
  #all: readonly CopyBuffer[]
  #recipients: CopyBuffer
  /** Where the batch id is to be written: in mail_transaction, and in transaction_recipient. */
  #transactionPatches: number[] = []
  #recipientPatches: number[] = []

  constructor(tenantId: string, recipientIds: RecipientIds) {
    this.#tenantOctets = Buffer.from(tenantId)
    this.#recipientIds = recipientIds
    this.tables = Object.fromEntries(Object.keys(copiedTables).map((table) => [table, new CopyBuffer()])) as Record<CopiedTable, CopyBuffer>
    this.#all = Object.values(this.tables)
    this.#recipients = this.tables.transaction_recipient
  }

  /** Makes it empty, and keeps the memory. */
  clear(): void {
    for (const table of this.#all) table.clear()
    this.#transactionPatches.length = 0
    this.#recipientPatches.length = 0
  }

  /** `null`, or why the tables cannot hold the event; then no row of it is kept. */
  add(line: DecodedLine): string | null {
    for (const table of this.#all) table.mark()
    const transactionCount = this.#transactionPatches.length
    const recipientCount = this.#recipientPatches.length
    try {
      const { event } = line
      if (event.kind === 'transaction.ended') this.#addTransaction(event, line)
      else if (event.kind === 'delivery.attempted') this.#addDelivery(event, line)
      else if (event.kind === 'message.finished') this.#addFinished(event, line)
      else if (event.kind === 'session.closed') this.#addSession(event, line)
      return null
    } catch (error) {
      if (!(error instanceof RowFault)) throw error
      for (const table of this.#all) table.rewind()
      this.#transactionPatches.length = transactionCount
      this.#recipientPatches.length = recipientCount
      return error.message
    }
  }

  setBatchId(batchId: bigint): void {
    for (const offset of this.#transactionPatches) this.tables.mail_transaction.patchInt8(offset, batchId)
    for (const offset of this.#recipientPatches) this.#recipients.patchInt8(offset, batchId)
  }

  #addTransaction(event: TransactionEnded, line: DecodedLine): void {
    const idMs = timeMsOfTransactionId(event.transactionId)
    const table = this.#row('mail_transaction', event.transactionId, idMs)
    table.timestamptz(Date.parse(event.endedAt))
    this.#transactionPatches.push(table.offset)
    table.int8(0)
    table.text(event.node)
    table.uuid(event.boot)
    table.int8(event.seq)
    table.octets(line.digest.subarray(0, 8))
    table.text(event.source)
    const { remote } = event
    table.inet(remote.ip === null ? null : inetOctets(remote.ip))
    table.text(remote.reverseName)
    table.text(indexed(remote.country))
    table.text(remote.networkClass)
    table.text(remote.networkName)
    table.text(indexed(event.helo))
    table.text(event.authUser)
    table.text(indexed(event.sender))
    table.text(event.sender === null ? null : indexed(normalizedDomain(domainOf(event.sender))))
    table.text(event.subject)
    table.text(indexed(event.messageId))
    table.text(event.outcome)
    table.text(event.stage)
    table.text(event.reason)
    table.text(event.decidingRuleId)
    table.int2(event.reply === null ? null : event.reply.code)
    table.text(event.reply === null ? null : event.reply.text)
    table.int8(event.declaredSizeBytes)
    table.int8(event.messageBytes)
    table.int8(event.dataBytes)
    table.text(event.sizeSource)
    table.int4(milli(event.weight))
    table.int4(event.recipients.length)
    let acceptedCount = 0
    for (const recipient of event.recipients) if (recipient.outcome !== 'refused' && recipient.outcome !== 'deferred') acceptedCount += 1
    table.int4(acceptedCount)
    table.int4(event.attachments.length)
    table.text(event.digest)
    table.uuid(event.duplicateOf)

    this.#row('transaction_detail', event.transactionId, idMs).jsonb(line.json)
    this.#addRecipients(event, idMs)
    this.#addHits(event, idMs)
  }

  #addRecipients(event: TransactionEnded, idMs: number): void {
    let position = 0
    for (const recipient of event.recipients) {
      const table = this.#row('transaction_recipient', event.transactionId, idMs)
      table.int4(position++)
      this.#recipientPatches.push(table.offset)
      table.int8(0)
      table.text(indexed(recipient.normalized))
      table.text(indexed(domainOf(recipient.normalized)))
      table.uuid(this.#recipientIds(recipient.normalized))
      table.text(recipient.direction)
      table.text(recipient.outcome)
      table.text(recipient.reason)
      table.int2(recipient.reply.code)
      table.text(recipient.clientId)
    }
  }

  #addHits(event: TransactionEnded, idMs: number): void {
    let position = 0
    for (const evaluation of event.evaluations) {
      for (const hit of evaluation.hits) {
        const table = this.#row('rule_hit', event.transactionId, idMs)
        table.int4(position++)
        table.text(indexed(hit.ruleId))
        table.int4(hit.revision)
        table.text(evaluation.stage)
        table.int4(evaluation.recipient)
        table.text(hit.branch)
        table.text(hit.action)
        table.int4(milli(hit.weight))
        table.bool(hit.shadow)
      }
    }
  }

  #addDelivery(event: DeliveryAttempted, line: DecodedLine): void {
    const table = this.#row('delivery_attempt', event.transactionId, timeMsOfTransactionId(event.transactionId))
    this.#place(table, line)
    table.timestamptz(Date.parse(event.endedAt))
    table.text(indexed(event.nextHop.host))
    for (const outcome of ['delivered', 'deferred', 'failed'] as const) {
      table.int4(event.recipients.reduce((count, recipient) => count + (recipient.outcome === outcome ? 1 : 0), 0))
    }
    table.jsonb(line.json)
  }

  #addFinished(event: MessageFinished, line: DecodedLine): void {
    const table = this.#row('message_finished', event.transactionId, timeMsOfTransactionId(event.transactionId))
    this.#place(table, line)
    table.timestamptz(Date.parse(event.at))
    table.int4(event.deliveredCount)
    table.int4(event.failedCount)
    table.int4(event.expiredCount)
    table.jsonb(line.json)
  }

  #addSession(event: SessionClosed, line: DecodedLine): void {
    const table = this.#row('session_closed', event.sessionId, Date.parse(event.closedAt))
    table.octets(line.digest.subarray(0, 8))
    table.inet(event.remote.ip === null ? null : inetOctets(event.remote.ip))
    table.text(event.remote.networkClass)
    table.text(event.closedBy)
    table.int8(event.receivedBytes)
    table.int8(event.sentBytes)
    table.int4(event.transactionCount)
    table.int4(event.violations.length)
    table.jsonb(line.json)
  }

  /** Begins a row with the three columns that every key of a large table holds. */
  #row(name: CopiedTable, id: string, timeMs: number): CopyBuffer {
    const table = this.tables[name]
    table.row(fieldCounts[name])
    table.octets(this.#tenantOctets)
    table.uuid(id)
    table.timestamptz(timeMs)
    return table
  }

  #place(table: CopyBuffer, line: DecodedLine): void {
    table.uuid(line.event.boot)
    table.int8(line.event.seq)
    table.octets(line.digest.subarray(0, 8))
  }
}

function milli(weight: number): number {
  return Math.round(weight * 1_000)
}

/** Cut to what an index entry may hold, between characters. */
function indexed<Text extends string | null>(text: Text): Text {
  if (text === null || text.length * 3 <= indexedBytes) return text
  const octets = Buffer.from(text)
  if (octets.length <= indexedBytes) return text
  let end = indexedBytes
  while ((octets[end]! & 0xc0) === 0x80) end -= 1
  return octets.toString('utf8', 0, end) as Text
}
