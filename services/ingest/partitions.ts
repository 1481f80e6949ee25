/**
 * The months that a batch needs, made before it is loaded.
 *
 * Why  month by month, not as a span: one event with a clock from 2003 must not make 23 years of partitions.
 */
import type { Database } from '../database/open-database.ts'
import { timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import type { KeptLine } from './decode-line.ts'

export type Partitions = {
  ensure(lines: readonly KeptLine[]): Promise<void>
  /** After retention may have dropped some. */
  forget(): void
}

export function createPartitions(database: Database): Partitions {
  const known = new Set<string>()
  return {
    ensure: async (lines) => {
      for (const [month, timeMs] of monthsOf(lines)) {
        if (known.has(month)) continue
        const time = new Date(timeMs)
        await database.pool.query('select ensure_partitions($1, $1)', [time])
        known.add(month)
      }
    },
    forget: () => known.clear(),
  }
}

/** Half-open range of the partitioning times of the transactions, or `null` where there are none. */
export function timeSpanOf(lines: readonly KeptLine[]): { from: Date; upto: Date } | null {
  let from = Infinity
  let newest = -Infinity
  for (const { event } of lines) {
    if (event.kind !== 'transaction.ended') continue
    const timeMs = timeMsOfTransactionId(event.transactionId)
    from = Math.min(from, timeMs)
    newest = Math.max(newest, timeMs)
  }
  return newest === -Infinity ? null : { from: new Date(from), upto: new Date(newest + 1) }
}

function monthsOf(lines: readonly KeptLine[]): Map<string, number> {
  const months = new Map<string, number>()
  // Neighbours are nearly always of the same month.
  let monthFromMs = 0
  let monthUptoMs = 0
  const add = (timeMs: number): void => {
    if (timeMs >= monthFromMs && timeMs < monthUptoMs) return
    const time = new Date(timeMs)
    monthFromMs = Date.UTC(time.getUTCFullYear(), time.getUTCMonth())
    monthUptoMs = Date.UTC(time.getUTCFullYear(), time.getUTCMonth() + 1)
    const month = time.toISOString().slice(0, 7)
    if (!months.has(month)) months.set(month, timeMs)
  }
  for (const { event } of lines) {
    if (event.kind === 'session.closed') add(Date.parse(event.closedAt))
    else if ('transactionId' in event) add(timeMsOfTransactionId(event.transactionId))
  }
  return months
}
