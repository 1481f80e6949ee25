/** Traffic and rules over time, from the rollups alone: what is not rolled yet is told by its number of batches. */
import { sql, type RawBuilder } from 'kysely'
import type { RuleAnalytics, Traffic, TrafficQuery } from '../../contracts/api.ts'
import type { Database } from '../../database/open-database.ts'
import { inWholeHours, type RolledRange } from './rolled-range.ts'

export type AnalyticsStep = 'hour' | 'day' | 'all'

/** SQL on a rollup by hour `r`. */
function stepOf(by: AnalyticsStep): RawBuilder<Date | null> {
  if (by === 'all') return sql`null::timestamptz`
  return by === 'day' ? sql`date_trunc('day', r.hour, 'UTC')` : sql`r.hour`
}

const groupColumns: Record<NonNullable<TrafficQuery['group']>, RawBuilder<string | null>> = {
  outcome: sql`r.outcome`,
  stage: sql`r.stage`,
  reason: sql`r.reason`,
  country: sql`r.country`,
  networkClass: sql`r.network_class`,
}

export async function trafficRows(
  database: Database,
  range: RolledRange,
  by: AnalyticsStep,
  group: NonNullable<TrafficQuery['group']>,
): Promise<Traffic['rows']> {
  const { rows } = await sql<{ at: Date | null; group: string | null } & Record<'transactions' | 'recipients' | 'accepted' | 'bytes' | 'data', string>>`
    select ${stepOf(by)} as at, ${groupColumns[group]} as "group", sum(r.transaction_count)::text as transactions,
      sum(r.recipient_count)::text as recipients, sum(r.accepted_count)::text as accepted,
      sum(r.message_bytes)::text as bytes, sum(r.data_bytes)::text as data
    from traffic_hour r where ${inWholeHours(range)} group by 1, 2 order by 1, 2 nulls last`.execute(database.kysely)
  return rows.map((row) => ({
    at: row.at?.toISOString() ?? null,
    group: row.group,
    transactionCount: row.transactions,
    recipientCount: row.recipients,
    acceptedCount: row.accepted,
    messageBytes: row.bytes,
    dataBytes: row.data,
  }))
}

type RuleRow = { at: Date | null; rule: string; messages: string; outcomes: Record<string, string>; hits: string; shadow: string; milli: string }

export async function ruleRows(database: Database, range: RolledRange, by: AnalyticsStep, rule: string | undefined): Promise<RuleAnalytics['rows']> {
  const only = rule === undefined ? sql`` : sql` and r.rule_id = ${rule}`
  const { rows } = await sql<RuleRow>`
    with message as (
      select at, rule_id, sum(count)::text as messages, jsonb_object_agg(outcome, count::text) as outcomes
      from (select ${stepOf(by)} as at, r.rule_id, r.outcome, sum(r.transaction_count) as count
        from rule_message_hour r where ${inWholeHours(range)}${only} group by 1, 2, 3) by_outcome
      group by 1, 2
    ), hit as (
      select ${stepOf(by)} as at, r.rule_id, coalesce(sum(r.hit_count) filter (where not r.is_shadow), 0)::text as hits,
        coalesce(sum(r.hit_count) filter (where r.is_shadow), 0)::text as shadow,
        coalesce(sum(r.weight_milli) filter (where not r.is_shadow), 0)::text as milli
      from rule_hour r where ${inWholeHours(range)}${only} group by 1, 2
    )
    select m.at, m.rule_id as rule, m.messages, m.outcomes, hit.hits, hit.shadow, hit.milli
    from message m join hit on hit.rule_id = m.rule_id and hit.at is not distinct from m.at
    order by m.at, m.messages::bigint desc, m.rule_id`.execute(database.kysely)
  return rows.map((row) => ({
    at: row.at?.toISOString() ?? null,
    ruleId: row.rule,
    transactionCount: row.messages,
    outcomes: row.outcomes,
    hitCount: row.hits,
    shadowHitCount: row.shadow,
    weight: Number(row.milli) / 1_000,
  }))
}

export async function unrolledBatchCount(database: Database, tenantId: string): Promise<number> {
  const { rows } = await database.pool.query<{ count: number }>(
    `select count(*)::integer as count from ingest_batch b where tenant_id = $1
       and not exists (select from rolled_batch r where r.tenant_id = b.tenant_id and r.batch_id = b.batch_id)`,
    [tenantId],
  )
  return rows[0]!.count
}
