/** Counts of what a query matches, by outcome over time. */
import { sql } from 'kysely'
import type { HistogramBucket, MessageHistogram } from '../../contracts/api.ts'
import { timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import type { MessageSearch } from './search-messages.ts'
import { rolledCounts, rolledTest } from './rolled-histogram.ts'
import { exactIds, timeRangeOf, traceSelect } from './trace-select.ts'

export const mostBuckets = 120
const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** Widths that a person can read off an axis. */
const bucketWidthsMs = [
  1_000,
  5_000,
  15_000,
  60_000,
  5 * 60_000,
  15 * 60_000,
  30 * 60_000,
  hourMs,
  3 * hourMs,
  6 * hourMs,
  12 * hourMs,
  dayMs,
  2 * dayMs,
  7 * dayMs,
  14 * dayMs,
  28 * dayMs,
  91 * dayMs,
  364 * dayMs,
]

export type HistogramSearch = Omit<MessageSearch, 'cursor' | 'limit'>

export async function messageHistogram(search: HistogramSearch): Promise<MessageHistogram> {
  const clock = { nowMs: search.nowMs, timeZone: search.timeZone }
  const range = shownRange(search)
  const bucketMs = bucketWidthMs(range.uptoMs - range.fromMs)
  const fromMs = Math.floor(range.fromMs / bucketMs) * bucketMs
  const isTenantWide = search.scope.clientId === null && bucketMs % hourMs === 0
  const test = isTenantWide ? rolledTest(search.query) : null
  const select =
    test === null
      ? sql`select ended_at, outcome, 1 as count from (${traceSelect(
          { ...search, clock },
          { columns: sql`t.transaction_id, t.ended_at, t.outcome`, limit: null, range },
        )}) as found`
      : rolledCounts(search.tenantId, range, test)
  const { rows } = await sql<{ bucket: number; outcome: string; count: number }>`
    select floor((extract(epoch from ended_at) * 1000 - ${fromMs}::bigint) / ${bucketMs}::bigint)::integer as bucket,
      outcome, sum(count)::integer as count
    from (${select}) as found group by 1, 2 order by 1, 2`.execute(search.database.kysely)
  return {
    from: new Date(range.fromMs).toISOString(),
    upto: new Date(range.uptoMs).toISOString(),
    bucketMs,
    buckets: filledBuckets(rows, fromMs, range.uptoMs, bucketMs),
    matchedCount: String(rows.reduce((sum, row) => sum + row.count, 0)),
  }
}

/** What the query names; where it leaves an end open, up to now and 24 hours long; around an exact id, its hour. */
function shownRange(search: HistogramSearch): { fromMs: number; uptoMs: number } {
  const ids = exactIds(search.query)
  if (ids.length > 0) {
    const timesMs = ids.map(timeMsOfTransactionId)
    return { fromMs: Math.min(...timesMs) - hourMs, uptoMs: Math.max(...timesMs) + hourMs }
  }
  const named = timeRangeOf(search.query, { nowMs: search.nowMs, timeZone: search.timeZone })
  const uptoMs = named.uptoMs ?? Math.max(search.nowMs, (named.fromMs ?? 0) + 1)
  const fromMs = named.fromMs ?? uptoMs - dayMs
  return { fromMs: Math.min(fromMs, uptoMs - 1), uptoMs }
}

/** The narrowest width with which the range, cut at whole widths, has at most `mostBuckets`. */
export function bucketWidthMs(rangeMs: number): number {
  return (
    bucketWidthsMs.find((widthMs) => rangeMs / widthMs <= mostBuckets - 1) ?? Math.ceil(rangeMs / (mostBuckets - 1))
  )
}

export function filledBuckets(
  rows: { bucket: number; outcome: string; count: number }[],
  fromMs: number,
  uptoMs: number,
  bucketMs: number,
): HistogramBucket[] {
  const buckets: HistogramBucket[] = []
  for (let startMs = fromMs; startMs < uptoMs; startMs += bucketMs) {
    buckets.push({
      from: new Date(startMs).toISOString(),
      upto: new Date(startMs + bucketMs).toISOString(),
      outcomes: {},
    })
  }
  for (const { bucket, outcome, count } of rows) {
    const found = buckets[bucket]
    if (found !== undefined) found.outcomes[outcome] = count
  }
  return buckets
}
