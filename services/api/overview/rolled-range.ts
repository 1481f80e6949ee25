/**
 * A range of time as whole hours, which the rollups hold, and what they do not hold of it: the edges of the range, and
 * batches that are not rolled yet. Those are read from the rows.
 *
 * Why     both parts stand in one statement: it sees a batch either rolled or not, and counts it once. The figures are
 *         those that the rows alone would give.
 * Limits  a transaction that took longer than a day is in the sums, and not found at an edge (as by `after:`).
 */
import { sql, type RawBuilder } from 'kysely'
import { longestTransactionMs } from '../trace/trace-select.ts'

export type TimeRange = { fromMs: number; uptoMs: number }
export type RolledRange = TimeRange & { tenantId: string; wholeFromMs: number; wholeUptoMs: number }

const hourMs = 3_600_000

/** `isRolled` false: all from the rows. */
export function rolledRange(tenantId: string, { fromMs, uptoMs }: TimeRange, isRolled: boolean): RolledRange {
  const wholeFromMs = Math.ceil(fromMs / hourMs) * hourMs
  const wholeUptoMs = Math.floor(uptoMs / hourMs) * hourMs
  if (!isRolled || wholeUptoMs <= wholeFromMs) return { tenantId, fromMs, uptoMs, wholeFromMs: fromMs, wholeUptoMs: fromMs }
  return { tenantId, fromMs, uptoMs, wholeFromMs, wholeUptoMs }
}

/** SQL on a rollup by hour `r`. */
export function inWholeHours({ tenantId, wholeFromMs, wholeUptoMs }: RolledRange): RawBuilder<boolean> {
  return sql<boolean>`r.tenant_id = ${tenantId} and r.hour >= ${new Date(wholeFromMs)} and r.hour < ${new Date(wholeUptoMs)}`
}

/** The rows of mail_transaction that the whole hours do not hold, each part by an index of its own. */
export function unrolledMessages(range: RolledRange): RawBuilder<unknown> {
  const { tenantId, fromMs, uptoMs, wholeFromMs, wholeUptoMs } = range
  const edge = (edgeFromMs: number, edgeUptoMs: number) => sql`
    select t.* from mail_transaction t where t.tenant_id = ${tenantId}
      and t.id_time >= ${new Date(edgeFromMs - longestTransactionMs)} and t.id_time < ${new Date(edgeUptoMs + longestTransactionMs)}
      and t.ended_at >= ${new Date(edgeFromMs)} and t.ended_at < ${new Date(edgeUptoMs)}`
  return sql`${edge(fromMs, wholeFromMs)} union all ${edge(wholeUptoMs, uptoMs)} union all
    select t.* from mail_transaction t where t.tenant_id = ${tenantId}
      and t.ended_at >= ${new Date(wholeFromMs)} and t.ended_at < ${new Date(wholeUptoMs)}
      and t.batch_id = any (array(select b.batch_id from ingest_batch b where b.tenant_id = ${tenantId} and not exists (
        select from rolled_batch d where d.tenant_id = b.tenant_id and d.batch_id = b.batch_id)))`
}

/** The same of usage_entry. */
export function unrolledEntries(range: RolledRange): RawBuilder<unknown> {
  const { tenantId, fromMs, uptoMs, wholeFromMs, wholeUptoMs } = range
  const edge = (edgeFromMs: number, edgeUptoMs: number) => sql`
    select u.* from usage_entry u where u.tenant_id = ${tenantId}
      and u.id_time >= ${new Date(edgeFromMs - longestTransactionMs)} and u.id_time < ${new Date(edgeUptoMs + longestTransactionMs)}
      and u.ended_at >= ${new Date(edgeFromMs)} and u.ended_at < ${new Date(edgeUptoMs)}`
  return sql`${edge(fromMs, wholeFromMs)} union all ${edge(wholeUptoMs, uptoMs)} union all
    select u.* from usage_entry u join mail_transaction t using (tenant_id, transaction_id, id_time)
    where u.tenant_id = ${tenantId} and u.ended_at >= ${new Date(wholeFromMs)} and u.ended_at < ${new Date(wholeUptoMs)}
      and t.batch_id = any (array(select m.batch_id from metered_batch m where m.tenant_id = ${tenantId} and not exists (
        select from rolled_metering d where d.tenant_id = m.tenant_id and d.batch_id = m.batch_id)))`
}
