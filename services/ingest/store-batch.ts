/**
 * Loads one batch in one database transaction: rows, what is seen of each boot, and the position, or nothing.
 *
 * Owns    exactly once. The row of the boot is locked first; an event is new if its seq is not in the row's ranges,
 *         and the ranges grow in the same transaction as the rows.
 * Leaves  what to do when the database is away, or refuses a row, to load-batch.ts.
 * Fails   by throwing; then the database holds nothing of the batch.
 */
import type pg from 'pg'
import type { Database } from '../database/open-database.ts'
import type { Batch } from './batch.ts'
import { updateBoots, lockBoots, type BootState } from './boot-state.ts'
import { copyTables } from './copy-tables.ts'
import { CopyRows } from './copy-rows.ts'
import { wholeLine, type KeptLine } from './decode-line.ts'
import { erasedAddresses, withoutErased } from './erased-addresses.ts'
import { conflictsAmong, withKnownIdentity } from './find-conflicts.ts'
import { storeGatewayEvents, storePolicies } from './gateway-events.ts'
import type { RecipientIds } from './recipient-id.ts'
import { timeSpanOf } from './partitions.ts'
import { holdsSeq } from './seq-ranges.ts'
import { insertRejected, upsertPosition } from './store-position.ts'

export type LoadContext = {
  database: Database
  tenantId: string
  recipientIds: RecipientIds
  /** Called between the steps of a batch: where tests end the process. */
  onStep?: (step: string) => void | Promise<void>
}

export type StoreOptions = {
  /** Look up every id first: an id that the database has is a conflict, and not a row that breaks the batch. */
  checksIdentity: boolean
}

export type StoredCounts = {
  lineCount: number
  newEventCount: number
  newTransactionCount: number
  /** Events that were ingested before, with the same content. */
  knownEventCount: number
  /** Lines kept as rejected that were not kept before. */
  rejectedLineCount: number
}
export const noCounts: StoredCounts = { lineCount: 0, newEventCount: 0, newTransactionCount: 0, knownEventCount: 0, rejectedLineCount: 0 }

export function sumOfCounts(left: StoredCounts, right: StoredCounts): StoredCounts {
  return {
    lineCount: left.lineCount + right.lineCount,
    newEventCount: left.newEventCount + right.newEventCount,
    newTransactionCount: left.newTransactionCount + right.newTransactionCount,
    knownEventCount: left.knownEventCount + right.knownEventCount,
    rejectedLineCount: left.rejectedLineCount + right.rejectedLineCount,
  }
}

export async function storeBatch(context: LoadContext, batch: Batch, options: StoreOptions): Promise<StoredCounts> {
  const client = await context.database.pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    const counts = await storeWithin(client, context, batch, options)
    await context.onStep?.('before-commit')
    await client.query('commit')
    await context.onStep?.('committed')
    return counts
  } catch (error) {
    failure = error as Error
    // A connection that cannot even roll back is thrown away below.
    failure = await client.query('rollback').then(() => undefined, () => error as Error)
    throw error
  } finally {
    client.release(failure)
  }
}

async function storeWithin(client: pg.PoolClient, context: LoadContext, batch: Batch, options: StoreOptions): Promise<StoredCounts> {
  const { tenantId, onStep } = context
  const boots = await lockBoots(client, tenantId, batch)
  await onStep?.('locked')

  const { fresh, seen } = splitBySeen(batch.lines, boots)
  const rejected = [...batch.rejected, ...(await conflictsAmong(client, tenantId, seen))]
  let loaded = fresh
  if (options.checksIdentity) {
    const { unknown, conflicts } = await withKnownIdentity(client, tenantId, fresh)
    loaded = unknown
    rejected.push(...conflicts)
  }

  const erased = await erasedAddresses(client, tenantId)
  const clean = erased === null ? null : withoutErased(loaded, rejected, erased, context.recipientIds)
  if (clean !== null) loaded = clean.lines
  if (loaded.length > 0) {
    const isAsRead = loaded.length === batch.lines.length && clean?.isChanged !== true
    const rows = isAsRead ? batch.rows : rowsOf({ ...context, recipientIds: clean?.recipientIds ?? context.recipientIds }, loaded)
    rows.setBatchId(await insertBatch(client, tenantId, loaded))
    await onStep?.('batch')
    await copyTables(client, rows, onStep)
    await storeGatewayEvents(client, tenantId, loaded)
    await storePolicies(client, tenantId, loaded)
  }
  await onStep?.('rows')
  const rejectedLineCount = await insertRejected(client, tenantId, batch.fileName, clean?.rejected ?? rejected)
  await onStep?.('rejected')
  await updateBoots(client, tenantId, boots, loaded, rejected)
  await onStep?.('seqs')
  if (batch.position !== null) await upsertPosition(client, tenantId, batch.position, batch.fileName)
  await onStep?.('position')
  return {
    lineCount: batch.lines.length + batch.rejected.length,
    newEventCount: loaded.length,
    newTransactionCount: countTransactions(loaded),
    knownEventCount: batch.lines.length + batch.rejected.length - loaded.length - rejected.length,
    rejectedLineCount,
  }
}

/** A place that comes twice within the batch is seen the second time. */
function splitBySeen(lines: readonly KeptLine[], boots: ReadonlyMap<string, BootState>): { fresh: KeptLine[]; seen: KeptLine[] } {
  const fresh: KeptLine[] = []
  const seen: KeptLine[] = []
  const first = new Map<string, Map<number, KeptLine>>()
  for (const line of lines) {
    const { boot, seq } = line.event
    const state = boots.get(`${line.event.node}/${boot}`)!
    let within = first.get(state.key)
    if (within === undefined) first.set(state.key, (within = new Map()))
    if (holdsSeq(state.seqs, seq)) seen.push(line)
    else if (!within.has(seq)) {
      within.set(seq, line)
      fresh.push(line)
    } else if (!within.get(seq)!.digest.equals(line.digest)) seen.push(line)
  }
  return { fresh, seen }
}

function rowsOf(context: LoadContext, lines: readonly KeptLine[]): CopyRows {
  const rows = new CopyRows(context.tenantId, context.recipientIds)
  for (const line of lines) rows.add(wholeLine(line))
  return rows
}

export async function insertBatch(client: pg.PoolClient, tenantId: string, lines: readonly KeptLine[]): Promise<bigint> {
  const span = timeSpanOf(lines)
  const { rows } = await client.query<{ batch_id: bigint }>(
    `insert into ingest_batch (tenant_id, from_time, upto_time, transaction_count, event_count)
     values ($1, $2, $3, $4, $5) returning batch_id`,
    [tenantId, span?.from ?? null, span?.upto ?? null, countTransactions(lines), lines.length],
  )
  return rows[0]!.batch_id
}

function countTransactions(lines: readonly KeptLine[]): number {
  return lines.reduce((count, line) => count + (line.event.kind === 'transaction.ended' ? 1 : 0), 0)
}

