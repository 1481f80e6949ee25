/**
 * Counts of the mail that ended within a range: from the rollups where the range is so long that its buckets are whole
 * hours, else from the rows.
 *
 * Limits  `topEntries` of each list. Senders and recipients are read from the rows of the whole range: the rollups
 *         hold no addresses.
 * Why     each figure names the trace query that opens the messages behind it, with the same bounds.
 */
import { sql, type RawBuilder } from 'kysely'
import type { Overview } from '../../contracts/api.ts'
import { tracePatternText } from '../../contracts/trace-query-text.ts'
import type { Database } from '../../database/open-database.ts'
import { inWholeHours, rolledRange, unrolledEntries, unrolledMessages, type RolledRange, type TimeRange } from './rolled-range.ts'
import { isQueueable } from '../trace/has-condition.ts'
import { bucketWidthMs, filledBuckets } from '../trace/message-histogram.ts'
import { longestTransactionMs } from '../trace/trace-select.ts'

export const topEntries = 10

const hourMs = 3_600_000

type Figures = Pick<
  Overview,
  | 'outcomes'
  | 'bucketMs'
  | 'buckets'
  | 'queuedCount'
  | 'refusals'
  | 'topRules'
  | 'topSenders'
  | 'topRecipients'
  | 'topClients'
>
/** `id` is what the query names; where nothing else is said, the label too. */
type TopRow = { id: string; label?: string; count: bigint; bytes: bigint | null }

export async function overviewFigures(database: Database, tenantId: string, range: TimeRange): Promise<Figures> {
  const bucketMs = bucketWidthMs(range.uptoMs - range.fromMs)
  const fromMs = Math.floor(range.fromMs / bucketMs) * bucketMs
  const within = rangeTest(tenantId, range)
  const rolled = rolledRange(tenantId, range, bucketMs % hourMs === 0)
  const counts = await sql<{ bucket: number; outcome: string; count: number }>`
    select floor((extract(epoch from at) * 1000 - ${fromMs}::bigint) / ${bucketMs}::bigint)::integer as bucket, outcome,
      sum(count)::integer as count
    from (select r.hour as at, r.outcome, r.transaction_count as count from traffic_hour r where ${inWholeHours(rolled)}
      union all select t.ended_at, t.outcome, 1 from (${unrolledMessages(rolled)}) t) counted
    group by 1, 2 order by 1, 2`.execute(database.kysely)
  const outcomes: Record<string, number> = {}
  for (const { outcome, count } of counts.rows) outcomes[outcome] = (outcomes[outcome] ?? 0) + count
  const bounds = ` after:${new Date(range.fromMs).toISOString()} before:${new Date(range.uptoMs).toISOString()}`
  const top = async (select: RawBuilder<TopRow>, queryOf: (label: string) => string) =>
    topList((await select.execute(database.kysely)).rows, queryOf, bounds)
  return {
    outcomes,
    bucketMs,
    buckets: filledBuckets(counts.rows, fromMs, range.uptoMs, bucketMs),
    queuedCount: await queuedCount(database, tenantId, range.uptoMs),
    refusals: await refusals(database, rolled, bounds),
    topRules: await top(topRules(rolled), (rule) => `rule:${rule}`),
    topSenders: await top(topSenders(within), (sender) =>
      sender === '' ? 'from:<>' : tracePatternText('from', sender),
    ),
    topRecipients: await top(topRecipients(tenantId, range), (address) => tracePatternText('to', address)),
    topClients: await top(topClients(rolled), (client) => `client:${client}`),
  }
}

/** On `mail_transaction t`; the bound on id_time prunes partitions. */
function rangeTest(tenantId: string, range: TimeRange): RawBuilder<boolean> {
  return sql<boolean>`t.tenant_id = ${tenantId} and t.id_time >= ${new Date(range.fromMs - longestTransactionMs)}
    and t.ended_at >= ${new Date(range.fromMs)} and t.ended_at < ${new Date(range.uptoMs)}`
}

/** Accepted and not finished, as far back as mail is tried at all. */
async function queuedCount(database: Database, tenantId: string, nowMs: number): Promise<string> {
  const oldest = new Date(nowMs - 30 * 86_400_000)
  const { rows } = await sql<{ count: bigint }>`
    select count(*) as count from mail_transaction t
    where t.tenant_id = ${tenantId} and t.id_time >= ${oldest} and ${isQueueable}
      and not exists (select from message_finished f
        where f.tenant_id = t.tenant_id and f.transaction_id = t.transaction_id and f.id_time = t.id_time
          and f.id_time >= ${oldest})`.execute(
    database.kysely,
  )
  return String(rows[0]?.count ?? 0n)
}

async function refusals(
  database: Database,
  rolled: RolledRange,
  bounds: string,
): Promise<Overview['refusals']> {
  const { rows } = await sql<{ stage: string; reason: string | null; count: bigint }>`
    select stage, reason, sum(count)::bigint as count
    from (select r.stage, r.reason, r.outcome, r.transaction_count as count from traffic_hour r where ${inWholeHours(rolled)}
      union all select t.stage, t.reason, t.outcome, 1 from (${unrolledMessages(rolled)}) t) counted
    where outcome in ('refused', 'deferred')
    group by 1, 2 order by 3 desc, 1, 2 limit ${2 * topEntries}`.execute(database.kysely)
  return rows.map(({ stage, reason, count }) => ({
    stage,
    reason: reason ?? 'none',
    query: `verdict:refused,deferred stage:${stage}${reason === null ? '' : ` reason:${reason}`}${bounds}`,
    count: String(count),
  }))
}

function topRules(rolled: RolledRange): RawBuilder<TopRow> {
  return sql<TopRow>`
    select id, sum(count)::bigint as count, null::bigint as bytes
    from (select r.rule_id as id, r.transaction_count as count from rule_message_hour r where ${inWholeHours(rolled)}
      union all select h.rule_id, count(distinct h.transaction_id)
        from (${unrolledMessages(rolled)}) t join rule_hit h using (tenant_id, transaction_id, id_time) group by 1) counted
    group by 1 order by 2 desc, 1 limit ${topEntries}`
}

function topSenders(within: RawBuilder<boolean>): RawBuilder<TopRow> {
  return sql<TopRow>`
    select lower(t.sender) as id, count(*) as count, sum(t.message_bytes)::bigint as bytes
    from mail_transaction t where ${within} and t.sender is not null
    group by 1 order by 2 desc, 1 limit ${topEntries}`
}

function topRecipients(tenantId: string, range: TimeRange): RawBuilder<TopRow> {
  return sql<TopRow>`
    select r.address as id, count(distinct r.transaction_id) as count, null::bigint as bytes
    from transaction_recipient r join mail_transaction t using (tenant_id, transaction_id, id_time)
    where ${rangeTest(tenantId, range)} and r.id_time >= ${new Date(range.fromMs - longestTransactionMs)}
    group by 1 order by 2 desc, 1 limit ${topEntries}`
}

/** Who pays; octets in full for each recipient. */
function topClients(rolled: RolledRange): RawBuilder<TopRow> {
  return sql<TopRow>`
    select coalesce(client_id, 'house') as id, coalesce(min(c.name), 'house') as label, sum(count)::bigint as count,
      sum(bytes)::bigint as bytes
    from (select r.tenant_id, r.client_id, r.transaction_count as count, r.full_bytes as bytes
        from client_hour r where ${inWholeHours(rolled)} and r.is_billable
      union all select u.tenant_id, u.client_id, count(distinct u.transaction_id), sum(u.full_bytes)
        from (${unrolledEntries(rolled)}) u where u.is_billable group by 1, 2) counted
    left join client c using (tenant_id, client_id)
    group by 1 order by 4 desc, 1 limit ${topEntries}`
}

function topList(rows: TopRow[], queryOf: (label: string) => string, bounds: string): Overview['topRules'] {
  return rows.map(({ id, label, count, bytes }) => ({
    label: label ?? id,
    query: queryOf(id) + bounds,
    count: String(count),
    bytes: bytes === null ? null : String(bytes),
  }))
}
