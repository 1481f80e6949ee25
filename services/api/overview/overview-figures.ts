/**
 * Counts of the mail that ended within a range, straight from the raw rows.
 *
 * Limits  reads every transaction of the range: meant for days, and right without anything derived. `topEntries`
 *         of each list.
 * Why     each figure names the trace query that opens the messages behind it, with the same bounds.
 */
import { sql, type RawBuilder } from 'kysely'
import type { Overview } from '../../contracts/api.ts'
import { tracePatternText } from '../../contracts/trace-query-text.ts'
import type { Database } from '../../database/open-database.ts'
import { isQueueable } from '../trace/has-condition.ts'
import { bucketWidthMs, filledBuckets } from '../trace/message-histogram.ts'
import { longestTransactionMs } from '../trace/trace-select.ts'

export const topEntries = 10

type Range = { fromMs: number; uptoMs: number }
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

export async function overviewFigures(database: Database, tenantId: string, range: Range): Promise<Figures> {
  const bucketMs = bucketWidthMs(range.uptoMs - range.fromMs)
  const fromMs = Math.floor(range.fromMs / bucketMs) * bucketMs
  const within = rangeTest(tenantId, range)
  const counts = await sql<{ bucket: number; outcome: string; count: number }>`
    select floor((extract(epoch from t.ended_at) * 1000 - ${fromMs}::bigint)
      / ${bucketMs}::bigint)::integer as bucket, t.outcome, count(*)::integer as count
    from mail_transaction t where ${within} group by 1, 2 order by 1, 2`.execute(database.kysely)
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
    refusals: await refusals(database, within, bounds),
    topRules: await top(topRules(tenantId, range), (rule) => `rule:${rule}`),
    topSenders: await top(topSenders(within), (sender) =>
      sender === '' ? 'from:<>' : tracePatternText('from', sender),
    ),
    topRecipients: await top(topRecipients(tenantId, range), (address) => tracePatternText('to', address)),
    topClients: await top(topClients(tenantId, range), (client) => `client:${client}`),
  }
}

/** On `mail_transaction t`; the bound on id_time prunes partitions. */
function rangeTest(tenantId: string, range: Range): RawBuilder<boolean> {
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
  within: RawBuilder<boolean>,
  bounds: string,
): Promise<Overview['refusals']> {
  const { rows } = await sql<{ stage: string; reason: string | null; count: bigint }>`
    select t.stage, t.reason, count(*) as count from mail_transaction t
    where ${within} and t.outcome in ('refused', 'deferred')
    group by 1, 2 order by 3 desc, 1, 2 limit ${2 * topEntries}`.execute(database.kysely)
  return rows.map(({ stage, reason, count }) => ({
    stage,
    reason: reason ?? 'none',
    query: `verdict:refused,deferred stage:${stage}${reason === null ? '' : ` reason:${reason}`}${bounds}`,
    count: String(count),
  }))
}

function topRules(tenantId: string, range: Range): RawBuilder<TopRow> {
  return sql<TopRow>`
    select h.rule_id as id, count(distinct h.transaction_id) as count, null::bigint as bytes
    from rule_hit h join mail_transaction t using (tenant_id, transaction_id, id_time)
    where ${rangeTest(tenantId, range)} and h.id_time >= ${new Date(range.fromMs - longestTransactionMs)}
    group by 1 order by 2 desc, 1 limit ${topEntries}`
}

function topSenders(within: RawBuilder<boolean>): RawBuilder<TopRow> {
  return sql<TopRow>`
    select lower(t.sender) as id, count(*) as count, sum(t.message_bytes)::bigint as bytes
    from mail_transaction t where ${within} and t.sender is not null
    group by 1 order by 2 desc, 1 limit ${topEntries}`
}

function topRecipients(tenantId: string, range: Range): RawBuilder<TopRow> {
  return sql<TopRow>`
    select r.address as id, count(distinct r.transaction_id) as count, null::bigint as bytes
    from transaction_recipient r join mail_transaction t using (tenant_id, transaction_id, id_time)
    where ${rangeTest(tenantId, range)} and r.id_time >= ${new Date(range.fromMs - longestTransactionMs)}
    group by 1 order by 2 desc, 1 limit ${topEntries}`
}

/** Who pays; octets in full for each recipient. */
function topClients(tenantId: string, range: Range): RawBuilder<TopRow> {
  return sql<TopRow>`
    select coalesce(u.client_id, 'house') as id, coalesce(min(c.name), 'house') as label,
      count(distinct u.transaction_id) as count, sum(u.full_bytes)::bigint as bytes
    from usage_entry u left join client c using (tenant_id, client_id)
    where u.tenant_id = ${tenantId} and u.ended_at >= ${new Date(range.fromMs)}
      and u.ended_at < ${new Date(range.uptoMs)}
      and u.id_time >= ${new Date(range.fromMs - longestTransactionMs)} and u.is_billable
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
