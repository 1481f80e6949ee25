/**
 * The histogram of a query that asks for nothing but time, outcome, stage and country: from the rollups, whatever the
 * number of messages behind them. These are the queries that match most.
 */
import { sql, type RawBuilder } from 'kysely'
import type { TraceQuery } from '../../contracts/trace-query.ts'
import { inWholeHours, rolledRange, unrolledMessages, type TimeRange } from '../overview/rolled-range.ts'

/** `null`: the rollups do not tell it. Of a row with outcome, stage and country. */
export function rolledTest(query: TraceQuery): RawBuilder<boolean> | null {
  if (query.kind === 'everything' || query.kind === 'time') return sql<boolean>`true`
  if (query.kind === 'words') {
    const { key, words } = query
    // A transaction ended by RSET is shown as aborted.
    if (key === 'verdict') return sql<boolean>`outcome = any(${words.includes('aborted') ? [...words, 'reset'] : words}::text[])`
    if (key === 'stage') return sql<boolean>`stage = any(${words}::text[])`
    return key === 'country' ? sql<boolean>`coalesce(country = any(${words}::text[]), false)` : null
  }
  if (query.kind === 'not') {
    // A time within a negation bounds nothing.
    const test = query.part.kind === 'words' ? rolledTest(query.part) : null
    return test === null ? null : sql<boolean>`not (${test})`
  }
  if (query.kind !== 'and') return null
  const tests = query.parts.map(rolledTest)
  return tests.some((test) => test === null) ? null : sql<boolean>`(${sql.join(tests, sql` and `)})`
}

/** Rows with `ended_at`, `outcome` and how many of them each stands for. */
export function rolledCounts(tenantId: string, range: TimeRange, test: RawBuilder<boolean>): RawBuilder<unknown> {
  const rolled = rolledRange(tenantId, range, true)
  return sql`select ended_at, outcome, count from (
    select r.hour as ended_at, r.outcome, r.stage, r.country, r.transaction_count as count from traffic_hour r
    where ${inWholeHours(rolled)}
    union all select t.ended_at, t.outcome, t.stage, t.remote_country, 1 from (${unrolledMessages(rolled)}) t) counted
  where ${test}`
}
