/**
 * Brings one batch into the database, whatever its rows are like and however long the database is away.
 *
 * Owns    isolating the row that breaks a batch, and waiting for the database.
 * Why     halves, each in a transaction of its own: exactly once holds for each by itself, and one bad row among
 *         thousands costs some twenty small transactions instead of a slower way for all.
 * Fails   throws what is neither: a mistake of ours.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isDatabaseUnavailable } from '../database/open-database.ts'
import type { Logger } from '../kit/operator-log.ts'
import { rejectedRow, type Batch } from './batch.ts'
import { CopyRows } from './copy-rows.ts'
import { wholeLine, type KeptLine } from './decode-line.ts'
import type { Partitions } from './partitions.ts'
import { storeBatch, sumOfCounts, type LoadContext, type StoredCounts } from './store-batch.ts'

export type Loader = LoadContext & {
  partitions: Partitions
  log: Logger | null
  /** Ends the waiting for a database that is away, by throwing. */
  signal?: AbortSignal
}

const firstWaitMs = 100
const lastWaitMs = 5_000

/** Loads the batch, waiting for the database as long as it takes. */
export function loadBatch(loader: Loader, batch: Batch): Promise<StoredCounts> {
  return whenDatabaseIsThere(loader, () => loadOrIsolate(loader, batch, false))
}

/** Does `work`, and does it again while the database is away; `work` must be whole or not done at all. */
export async function whenDatabaseIsThere<Result>(
  { log, signal }: Pick<Loader, 'log' | 'signal'>,
  work: () => Promise<Result>,
): Promise<Result> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const result = await work()
      if (attempt > 0) log?.info('the database takes events again')
      return result
    } catch (error) {
      if (!isWorthRetrying(error) || signal?.aborted === true) throw error
      if (attempt === 0) log?.warn({ err: error }, 'the database does not take events, waiting for it')
      await sleep(Math.min(lastWaitMs, firstWaitMs * 2 ** Math.min(attempt, 10)), undefined, { signal })
    }
  }
}

async function loadOrIsolate(loader: Loader, batch: Batch, checksIdentity: boolean): Promise<StoredCounts> {
  try {
    await loader.partitions.ensure(batch.lines)
    return await storeBatch(loader, batch, { checksIdentity })
  } catch (error) {
    if (!isRowFault(error)) throw error
    const code = (error as { code: string }).code
    if (code === missingPartition) loader.partitions.forget()
    // A retry with every id looked up first settles conflicts all at once; only other faults need the halving.
    if (!checksIdentity) return await loadOrIsolate(loader, batch, true)
    if (batch.lines.length > 1) return await loadHalves(loader, batch)
    const [line] = batch.lines
    if (line === undefined) throw error
    const refused = rejectedRow(line, (error as Error).message, code === uniqueViolation ? 'conflict' : 'row')
    return await storeBatch(loader, { ...part(loader, batch, []), ...lastOf(batch), rejected: [...batch.rejected, refused] }, { checksIdentity })
  }
}

/** The first half moves no position and carries no rejected lines: those belong to the end of the batch. */
async function loadHalves(loader: Loader, batch: Batch): Promise<StoredCounts> {
  const middle = batch.lines.length >> 1
  const first = await loadOrIsolate(loader, part(loader, batch, batch.lines.slice(0, middle)), true)
  const second = await loadOrIsolate(loader, { ...part(loader, batch, batch.lines.slice(middle)), ...lastOf(batch) }, true)
  return sumOfCounts(first, second)
}

function part(loader: Loader, batch: Batch, lines: KeptLine[]): Batch {
  const rows = new CopyRows(loader.tenantId, loader.recipientIds)
  for (const line of lines) rows.add(wholeLine(line))
  return { lines, rejected: [], rows, position: null, fileName: batch.fileName }
}

function lastOf(batch: Batch): Pick<Batch, 'rejected' | 'position'> {
  return { rejected: batch.rejected, position: batch.position }
}

const uniqueViolation = '23505'
const missingPartition = '23514'

/** The data, not the server: data exception, integrity violation, a value beyond what Postgres can index or nest. */
function isRowFault(error: unknown): boolean {
  return /^(22|23|54)...$/.test(sqlStateOf(error))
}

/** Away, out of room, locked or misconfigured: what an operator mends while the log waits on disk. */
function isWorthRetrying(error: unknown): boolean {
  return isDatabaseUnavailable(error) || /^(08|25|28|3D|40|42501|53|55|57|58)/.test(sqlStateOf(error))
}

function sqlStateOf(error: unknown): string {
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && code.length === 5 ? code : ''
}
