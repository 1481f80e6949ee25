/**
 * Streams stored transactions through a rule set and adds up what it would have changed.
 *
 * Owns    which transactions: those whose id lies in the range and that one snapshot of the database holds, so that
 *         mail which arrives meanwhile is in none of the figures. The newest batch of the snapshot is the watermark.
 * Limits  constant memory: `rowsPerSlice` events at a time, out of a cursor.
 * Why     in slices of some milliseconds and not in a thread of its own: whoever shares the process gets its turn
 *         between two of them, and there is one code for the command, the API and the tests.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type pg from 'pg'
import type { BacktestResult } from '../../contracts/backtest.ts'
import type { TransactionEnded } from '../../contracts/event.ts'
import type { Database } from '../../database/open-database.ts'
import { BacktestTally } from '../../rules/backtest-tally.ts'
import type { CompiledRuleset } from '../../rules/compile-ruleset.ts'
import { JudgingRulesets } from './judging-rulesets.ts'

const rowsPerSlice = 200

export type BacktestOptions = {
  database: Database
  tenantId: string
  rules: CompiledRuleset
  /** Of the time inside the id, half-open. */
  fromMs: number
  uptoMs: number
  signal?: AbortSignal
  /** Once before the first event, then after each slice. */
  onProgress?: (progress: BacktestProgress) => void | Promise<void>
  /** What differs, in the order in which it was found. */
  onDifferences?: (found: readonly FoundDifference[]) => Promise<void>
}

export type BacktestProgress = { doneCount: number; totalCount: number; watermark: bigint | null }
export type FoundDifference = { transactionId: string; idTime: Date; cell: string }
/** Cancelled: `null` instead of a result. */
export type FinishedBacktest = { result: BacktestResult | null; watermark: bigint | null }

export async function runBacktest(options: BacktestOptions): Promise<FinishedBacktest> {
  const client = await options.database.pool.connect()
  try {
    await client.query('begin transaction isolation level repeatable read, read only')
    // In the order of the key, off its index: a sort would first write all of the events to disk.
    await client.query(
      'set local statement_timeout = 0; set local enable_sort = off; set local enable_bitmapscan = off',
    )
    return await replayAll(client, options)
  } finally {
    // Ends the cursor and the snapshot; on a connection that broke there is neither.
    await client.query('rollback').then(
      () => client.release(),
      (error: Error) => client.release(error),
    )
  }
}

async function replayAll(client: pg.PoolClient, options: BacktestOptions): Promise<FinishedBacktest> {
  const { database, tenantId, rules, signal, onProgress, onDifferences } = options
  const range = [tenantId, new Date(options.fromMs), new Date(options.uptoMs)]
  const { rows } = await client.query<{ watermark: bigint | null; count: bigint }>(
    `select (select max(batch_id) from ingest_batch where tenant_id = $1) as watermark,
      (select count(*) from mail_transaction where tenant_id = $1 and id_time >= $2 and id_time < $3) as count`,
    range,
  )
  const { watermark, count } = rows[0]!
  const totalCount = Number(count)
  await client.query(
    `declare backtest no scroll cursor for select event, id_time from transaction_detail
     where tenant_id = $1 and id_time >= $2 and id_time < $3 order by transaction_id`,
    range,
  )
  const tally = new BacktestTally(rules)
  const judges = new JudgingRulesets(database, tenantId, rules)
  let doneCount = 0
  for (;;) {
    await onProgress?.({ doneCount, totalCount, watermark })
    if (signal?.aborted === true) return { result: null, watermark }
    const slice = await client.query<{ event: TransactionEnded; id_time: Date }>(
      `fetch ${rowsPerSlice} from backtest`,
    )
    if (slice.rows.length === 0) return { result: tally.result(totalCount - doneCount), watermark }
    const found: FoundDifference[] = []
    for (const { event, id_time } of slice.rows) {
      const judge = judges.of(event.rulesetHash)
      const { cell, difference } = tally.add(event, judge instanceof Promise ? await judge : judge)
      if (difference !== 'same') found.push({ transactionId: event.transactionId, idTime: id_time, cell })
    }
    if (found.length > 0) await onDifferences?.(found)
    doneCount += slice.rows.length
    await nextTurn()
  }
}
