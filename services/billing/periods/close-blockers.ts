/**
 * What keeps a period from being closed, each with its name and what to do about it.
 *
 * Why  nothing closes by itself, and nothing closes over a hole that nobody has looked at: what is missing of the log can
 *      be accepted, by its name; what only takes time or another command cannot.
 */
import { listGaps, logCompleteness, nodesBehind } from '../../database/log-completeness.ts'
import type { Database } from '../../database/open-database.ts'
import { inTransaction } from '../in-transaction.ts'
import { foreignTariffs, ratingPlan } from '../tariffs/rating-plan.ts'
import type { AcceptedBlocker, StoredPeriod } from './period-store.ts'

export type CloseBlocker = AcceptedBlocker & {
  remedy: string
  /** By `close --accept NAME`. */
  isAcceptable: boolean
}

export type BlockerOptions = { database: Database; tenantId: string; periods: readonly StoredPeriod[]; period: StoredPeriod; graceHours: number; now: Date }

export async function closeBlockers({ database, tenantId, periods, period, graceHours, now }: BlockerOptions): Promise<CloseBlocker[]> {
  const blockers: CloseBlocker[] = []
  const add = (name: string, text: string, remedy: string, isAcceptable: boolean): void => void blockers.push({ name, text, remedy, isAcceptable })
  const earlier = periods.find((one) => one.state !== 'closed' && one.label < period.label)
  if (earlier !== undefined) add('earlier-period', earlier.state === 'open' ? `${earlier.label} is not closed` : `The closing of ${earlier.label} was interrupted`, `Close ${earlier.label} first`, false)
  const allowedAt = new Date(period.upto.getTime() + graceHours * 3_600_000)
  if (now < allowedAt) {
    add('grace', now < period.upto ? 'The period has not ended' : `The period ended at ${period.upto.toISOString()}, and mail may come late`, `Close it from ${allowedAt.toISOString()} on (billing.graceHours is ${graceHours})`, false)
  }
  const unmetered = await unmeteredCount(database, tenantId, period.upto)
  if (unmetered > 0n) add('unmetered', `${unmetered} ingested batches are not metered yet`, 'Wait for the worker, and see that it runs', false)
  for (const name of await foreignTariffsOf(database, tenantId, period)) {
    add(`tariff:${name}`, `The tariff ${name} is not in ${period.currency}, the currency of the period`, 'Give the client a tariff in the currency of the period', false)
  }
  for (const { node, completeAt } of await nodesBehind(database, tenantId, period.upto)) {
    add(`node:${node}`, `The log of ${node} is ${completeAt === null ? 'not complete anywhere' : `complete up to ${completeAt.toISOString()}`}, the period ends at ${period.upto.toISOString()}`, 'Start its ingest, or bring its log; accept it only where it is lost', true)
  }
  for (const { node, boot, bootNumber, fromSeq, uptoSeq } of await listGaps(database, tenantId)) {
    add(`gap:${node}/${bootNumber ?? boot}/${fromSeq}-${uptoSeq}`, `Lines ${fromSeq} to ${uptoSeq - 1} of boot ${bootNumber ?? boot} of ${node} are missing`, 'Bring the segment; "tollgate log accept-gap" gives it up for good', true)
  }
  for (const { source, host, newestAt } of (await logCompleteness(database, tenantId)).unnumberedSources) {
    if (new Date(newestAt) >= period.upto) continue
    add(`source:${source}/${host}`, `The newest line of ${source} on ${host} is of ${newestAt}`, 'Ingest the rest of its log; accept it where there was no more mail', true)
  }
  const acceptedBefore = new Set(periods.flatMap(({ accepted }) => (accepted ?? []).map(({ name }) => name)))
  for (const { id, detail } of await conflicts(database, tenantId)) {
    const name = `conflict:${id}`
    if (acceptedBefore.has(name)) continue
    add(name, `An event came again with another content; the first one counts: ${detail}`, '"tollgate log rejected --reason conflict" shows the line; accept it when you know why', true)
  }
  return blockers
}

/** What began behind the end of the period is none of it: mail comes in all the time. */
async function unmeteredCount(database: Database, tenantId: string, upto: Date): Promise<bigint> {
  const { rows } = await database.pool.query<{ count: bigint }>(
    `select count(*) as count from ingest_batch b where tenant_id = $1 and (from_time is null or from_time < $2)
       and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)`, [tenantId, upto])
  return rows[0]!.count
}

async function conflicts(database: Database, tenantId: string): Promise<{ id: bigint; detail: string }[]> {
  const { rows } = await database.pool.query<{ id: bigint; detail: string }>(
    `select rejected_id as id, detail from rejected_line where tenant_id = $1 and reason = 'conflict' order by rejected_id`, [tenantId])
  return rows
}

async function foreignTariffsOf(database: Database, tenantId: string, period: StoredPeriod): Promise<string[]> {
  return await inTransaction(database, async (transaction) => foreignTariffs(await ratingPlan(transaction, tenantId, period)))
}
