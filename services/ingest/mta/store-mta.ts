/**
 * Stores what other MTAs' logs told, in one database transaction: rows, unfinished threads, positions, or nothing.
 *
 * Owns    exactly once. Such a log numbers no lines: an event is new if its id is not stored. The connection holds the
 *         lock of its source for the whole run, so nobody else stores under the same ids meanwhile.
 * Why     no row in log_boot: what a gateway's log proves about its completeness stays as it is.
 * Fails   by throwing; then the database holds nothing of the batch.
 */
import type pg from 'pg'
import { timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import { copyTables } from '../copy-tables.ts'
import { CopyRows } from '../copy-rows.ts'
import { keptLine, wholeLine, type DecodedLine, type RejectedLine } from '../decode-line.ts'
import { erasedAddresses, textWithoutErased, withoutErased, type ErasedAddresses } from '../erased-addresses.ts'
import type { RecipientIds } from '../recipient-id.ts'
import { isOfRemovedMonth, removedMonths } from '../removed-months.ts'
import { insertBatch } from '../store-batch.ts'
import { insertRejected } from '../store-position.ts'
import type { CarriedLine, CarriedThread } from './assembler.ts'
import { mtaBoot } from './mta-event.ts'
import { nodeNameOf } from './mta-identity.ts'
import type { MtaSource } from './mta-line.ts'

export type MtaStore = { client: pg.PoolClient; tenantId: string; source: MtaSource; recipientIds: RecipientIds; onStep?: (step: string) => void | Promise<void> }

export type FilePosition = { path: string; headDigest: Buffer; headBytes: number; positionBytes: number }

export type MtaBatch = {
  lines: readonly DecodedLine[]
  rejected: readonly RejectedLine[]
  fileName: string
  changes: { stored: readonly CarriedThread[]; removed: readonly { key: string; hasBeginning: boolean }[] } | null
  newestMs: ReadonlyMap<string, number>
  position: FilePosition | null
}

export type MtaCounts = { newEventCount: number; newTransactionCount: number; knownEventCount: number; rejectedLineCount: number }

/** Rejected lines that are kept of one source; what comes after is only counted. */
export const mostKeptLines = 10_000

export type StoredMtaBatch = { counts: MtaCounts; erased: ErasedAddresses }

export async function storeMtaBatch(store: MtaStore, batch: MtaBatch): Promise<StoredMtaBatch> {
  const { client, onStep } = store
  await client.query('begin')
  try {
    const stored = await storeWithin(store, batch)
    await onStep?.('before-commit')
    await client.query('commit')
    await onStep?.('committed')
    return stored
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}

async function storeWithin(store: MtaStore, batch: MtaBatch): Promise<StoredMtaBatch> {
  const { client, tenantId, source } = store
  // Without numbers, what is gone cannot be told from what never came: it must not be counted twice.
  const removed = await removedMonths(client, tenantId)
  const comparable = batch.lines.filter(({ event }) => !isOfRemovedMonth(event, removed))
  let loaded = await unknownAmong(client, tenantId, comparable)
  const erased = await erasedAddresses(client, tenantId)
  const clean = erased === null ? null : withoutErased(loaded.map(keptLine), batch.rejected, erased, store.recipientIds)
  if (clean?.isChanged === true) loaded = clean.lines.map(wholeLine)
  if (loaded.length > 0) {
    const rows = new CopyRows(tenantId, clean?.recipientIds ?? store.recipientIds)
    for (const line of loaded) {
      const fault = rows.add(line)
      if (fault !== null) throw new Error(`An event made from a line of ${source} has no row: ${fault}`)
    }
    rows.setBatchId(await insertBatch(client, tenantId, loaded))
    await copyTables(client, rows, store.onStep)
  }
  const rejectedLineCount = await keepRejected(store, clean === null ? batch : { ...batch, rejected: clean.rejected })
  for (const [host, newestMs] of batch.newestMs) {
    await client.query(
      `insert into log_source (tenant_id, source, host, node, boot, newest_at) values ($1, $2, $3, $4, $5, $6)
       on conflict (tenant_id, source, host) do update set newest_at = excluded.newest_at where log_source.newest_at < excluded.newest_at`,
      [tenantId, source, host, nodeNameOf(host), mtaBoot(source, host), new Date(newestMs)],
    )
  }
  if (batch.changes !== null) await storeThreads(store, batch.changes, erased)
  if (batch.position !== null) await storeFilePosition(store, batch.position)
  const counts = {
    newEventCount: loaded.length,
    newTransactionCount: loaded.filter(({ event }) => event.kind === 'transaction.ended').length,
    knownEventCount: batch.lines.length - loaded.length,
    rejectedLineCount,
  }
  return { counts, erased }
}

const identityOf = ({ event }: DecodedLine): string =>
  event.kind === 'transaction.ended' ? event.transactionId : 'transactionId' in event ? `${event.kind} ${event.transactionId} ${event.seq}` : ''

/** The first of each identity, and only those that are not stored. */
async function unknownAmong(client: pg.PoolClient, tenantId: string, lines: readonly DecodedLine[]): Promise<DecodedLine[]> {
  const first = new Map<string, DecodedLine>()
  for (const line of lines) if (!first.has(identityOf(line))) first.set(identityOf(line), line)
  for (const [kind, query] of knownQueries) {
    const asked = [...first.values()].filter(({ event }) => event.kind === kind)
    if (asked.length === 0) continue
    const ids = asked.map(({ event }) => (event as { transactionId: string }).transactionId)
    const { rows } = await client.query<{ position: bigint }>(query, [
      tenantId,
      ids,
      ids.map((id) => new Date(timeMsOfTransactionId(id))),
      asked.map(({ event }) => event.boot),
      asked.map(({ event }) => event.seq),
    ])
    for (const { position } of rows) first.delete(identityOf(asked[Number(position) - 1]!))
  }
  return [...first.values()]
}

const asked = 'unnest($2::uuid[], $3::timestamptz[], $4::uuid[], $5::bigint[]) with ordinality as w(id, time, boot, seq, position)'
const knownByPlace = (table: string): string => `
  select w.position from ${asked} join ${table} s
    on s.tenant_id = $1 and s.transaction_id = w.id and s.id_time = w.time and s.boot = w.boot and s.seq = w.seq`
const knownQueries = [
  ['transaction.ended', `select w.position from ${asked} join mail_transaction s on s.tenant_id = $1 and s.transaction_id = w.id and s.id_time = w.time`],
  ['delivery.attempted', knownByPlace('delivery_attempt')],
  ['message.finished', knownByPlace('message_finished')],
] as const

async function keepRejected({ client, tenantId, source }: MtaStore, batch: MtaBatch): Promise<number> {
  if (batch.rejected.length === 0) return 0
  const { rows } = await client.query<{ count: bigint }>(
    `select count(*) as count from rejected_line where tenant_id = $1 and reason = 'not-understood' and starts_with(detail, $2)`,
    [tenantId, `${source}: `],
  )
  const room = Math.max(0, mostKeptLines - Number(rows[0]!.count))
  return await insertRejected(client, tenantId, batch.fileName, batch.rejected.slice(0, room))
}

async function storeThreads(store: MtaStore, { stored, removed }: NonNullable<MtaBatch['changes']>, erased: ErasedAddresses): Promise<void> {
  const { client, tenantId, source } = store
  const linesOf = ({ lines }: CarriedThread): readonly CarriedLine[] =>
    erased === null ? lines : lines.map(([timeMs, raw, ...rest]) => [timeMs, textWithoutErased(raw, timeMs, erased, store.recipientIds), ...rest])
  if (removed.length > 0) {
    await client.query(
      `delete from log_source_thread t using unnest($3::text[], $4::boolean[]) as r(thread, has_beginning)
       where t.tenant_id = $1 and t.source = $2 and t.thread = r.thread and t.has_beginning = r.has_beginning`,
      [tenantId, source, removed.map(({ key }) => key), removed.map(({ hasBeginning }) => hasBeginning)],
    )
  }
  for (let from = 0; from < stored.length; from += 1_000) {
    const part = stored.slice(from, from + 1_000)
    await client.query(
      `insert into log_source_thread (tenant_id, source, thread, has_beginning, host, lines)
       select $1, $2, * from unnest($3::text[], $4::boolean[], $5::text[], $6::jsonb[])
       on conflict (tenant_id, source, thread, has_beginning) do update set lines = excluded.lines`,
      [tenantId, source, part.map(({ key }) => key), part.map(({ hasBeginning }) => hasBeginning), part.map(({ host }) => host), part.map((thread) => JSON.stringify(linesOf(thread)))],
    )
  }
}

async function storeFilePosition({ client, tenantId, source }: MtaStore, position: FilePosition): Promise<void> {
  await client.query(
    `insert into log_source_file (tenant_id, source, path, head_digest, head_bytes, position_bytes) values ($1, $2, $3, $4, $5, $6)
     on conflict (tenant_id, source, path) do update set head_digest = excluded.head_digest, head_bytes = excluded.head_bytes,
       position_bytes = excluded.position_bytes, updated_at = now()`,
    [tenantId, source, position.path, position.headDigest, position.headBytes, position.positionBytes],
  )
}

export async function readThreads({ client, tenantId, source }: Pick<MtaStore, 'client' | 'tenantId' | 'source'>): Promise<CarriedThread[]> {
  const { rows } = await client.query<{ thread: string; has_beginning: boolean; host: string; lines: CarriedLine[] }>(
    'select thread, has_beginning, host, lines from log_source_thread where tenant_id = $1 and source = $2',
    [tenantId, source],
  )
  return rows.map(({ thread, has_beginning, host, lines }) => ({ key: thread, hasBeginning: has_beginning, host, lines }))
}

export async function readFilePosition({ client, tenantId, source }: Pick<MtaStore, 'client' | 'tenantId' | 'source'>, path: string): Promise<FilePosition | null> {
  const { rows } = await client.query<{ head_digest: Buffer; head_bytes: bigint; position_bytes: bigint }>(
    'select head_digest, head_bytes, position_bytes from log_source_file where tenant_id = $1 and source = $2 and path = $3',
    [tenantId, source, path],
  )
  const [row] = rows
  return row === undefined ? null : { path, headDigest: row.head_digest, headBytes: Number(row.head_bytes), positionBytes: Number(row.position_bytes) }
}
