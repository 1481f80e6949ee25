/**
 * The savings report: what was not sent because it was refused early (BILLING, Savings).
 *
 * Owns    one read-only transaction a report, so that its parts are of the same moment.
 * Why     the unit is the group of tries: a sender that tries ten times would have sent once. What declared its size
 *         gives a floor; what did not, an estimate with its interval, from messages like it. They are never added.
 * Limits  a group is followed for 30 days behind the end of the period. A connection that was refused before MAIL is a
 *         group by its network, and would have sent one message at least.
 */
import type { Completeness } from '../../contracts/api.ts'
import { minorDigitsOf, moneyText } from '../../contracts/money.ts'
import { calendarDays, type Period } from '../../contracts/period.ts'
import type { SavingsFigures, SavingsGrouping, SavingsReport, SavingsRow } from '../../contracts/savings.ts'
import type { Database } from '../../database/open-database.ts'
import { policyAt, requiredPolicies } from '../billing-policy.ts'
import { billingPeriodAt } from '../billing-period.ts'
import { inTransaction, type SqlTransaction } from '../in-transaction.ts'
import { decimal, fraction, over, rounded, times } from '../rating/fraction.ts'
import { sqlStatement } from '../sql-statement.ts'
import { estimateOf, type Sample } from './estimate.ts'

export type SavingsOptions = {
  database: Database
  tenantId: string
  from: Date
  upto: Date
  by: SavingsGrouping
  now: Date
  /** Of the gateway: a larger declared size would not have been sent. */
  maxMessageBytes: number
  /** Of one unit, decimal text; `null`: no money is shown. */
  costPrice: string | null
}

export type SavingsGroup = {
  firstAt: Date
  attempts: number
  floorBytes: bigint | null
  reason: string | null
  ruleId: string | null
  networkClass: string
  state: 'saved' | 'pending' | 'accepted-later' | 'too-large'
}

const followedFor = '30 days'
const groupsSql = sqlStatement('savings/savings-groups.sql')

export async function savingsReport(options: SavingsOptions): Promise<Omit<SavingsReport, 'completeness'> & { completeness?: Completeness }> {
  const { database, tenantId, from, upto, by } = options
  if (from >= upto) throw new RangeError('the range of time is empty: its end is not behind its begin')
  return await inTransaction(database, async (transaction) => {
    await transaction.query('set transaction isolation level repeatable read, read only')
    const policies = await requiredPolicies(transaction, tenantId)
    const policy = policyAt(policies, from)
    const groups = await savingsGroups(transaction, options)
    const saved = groups.filter(({ state }) => state === 'saved')
    const samples = await samplesOf(transaction, options)
    const estimate = estimateOf(countsByClass(saved), samples)
    const inState = (state: SavingsGroup['state']): SavingsFigures => figuresOf(groups.filter((group) => group.state === state))
    const total = figuresOf(saved)
    const ifKnown = await refusedIfKnown(transaction, options)
    return {
      from: from.toISOString(),
      upto: upto.toISOString(),
      timeZone: policy.timeZone,
      unitBytes: policy.unitBytes,
      by,
      total,
      estimate,
      rows: rowsOf(saved, by, (time) => dayOf(billingPeriodAt(policies, time), time)),
      coverage: total.groupCount === 0 ? null : (total.declaredCount / total.groupCount).toFixed(4),
      calibration: await calibrationOf(transaction, options),
      pending: inState('pending'),
      acceptedLater: inState('accepted-later'),
      tooLarge: inState('too-large'),
      ...(await partlyRefused(transaction, options)),
      ifKnown,
      money: moneyOf(options.costPrice, policy, { floor: total.floorBytes, estimate: estimate.bytes, ifKnown: ifKnown.bytes }),
    }
  })
}

export async function savingsGroups(transaction: SqlTransaction, { tenantId, from, upto, now, maxMessageBytes }: SavingsOptions): Promise<SavingsGroup[]> {
  const { rows } = await transaction.query<SavingsGroup>(groupsSql, [tenantId, from, upto, now, maxMessageBytes, followedFor])
  return rows
}

function rowsOf(saved: readonly SavingsGroup[], by: SavingsGrouping, dayAt: (time: Date) => string): SavingsRow[] {
  const labelOf = (group: SavingsGroup): string | null => (by === 'reason' ? group.reason : by === 'rule' ? group.ruleId : dayAt(group.firstAt))
  const byLabel = new Map<string | null, SavingsGroup[]>()
  for (const group of saved) {
    const own = byLabel.get(labelOf(group))
    if (own === undefined) byLabel.set(labelOf(group), [group])
    else own.push(group)
  }
  return [...byLabel].map(([label, groups]) => ({ label, ...figuresOf(groups) })).sort((a, b) => ((a.label ?? '') < (b.label ?? '') ? -1 : 1))
}

export function figuresOf(groups: readonly SavingsGroup[]): SavingsFigures {
  const declared = groups.filter(({ floorBytes }) => floorBytes !== null)
  return {
    groupCount: groups.length,
    attemptCount: groups.reduce((sum, { attempts }) => sum + attempts, 0),
    declaredCount: declared.length,
    floorBytes: String(declared.reduce((sum, { floorBytes }) => sum + floorBytes!, 0n)),
    undeclaredCount: groups.length - declared.length,
  }
}

function countsByClass(saved: readonly SavingsGroup[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { floorBytes, networkClass } of saved) if (floorBytes === null) counts.set(networkClass, (counts.get(networkClass) ?? 0) + 1)
  return counts
}

function dayOf(period: Period, time: Date): string {
  return calendarDays(period).find(({ from, upto }) => time >= from && time < upto)!.label
}

async function samplesOf(transaction: SqlTransaction, { tenantId, from, upto }: SavingsOptions): Promise<Map<string, Sample>> {
  const { rows } = await transaction.query<{ network_class: string; count: bigint; mean: string | null; deviation: string | null }>(
    `select network_class, count(*) as count, avg(message_bytes)::text as mean, stddev_samp(message_bytes)::text as deviation
     from mail_transaction
     where tenant_id = $1 and id_time >= $2::timestamptz - interval '1 hour' and id_time < $3 and ended_at >= $2 and ended_at < $3
       and declared_bytes is null and message_bytes is not null
     group by network_class`,
    [tenantId, from, upto],
  )
  return new Map(rows.map(({ network_class: name, count, mean, deviation }) => [name, { count: Number(count), mean: Number(mean), deviation: Number(deviation ?? 0) }]))
}

async function calibrationOf(transaction: SqlTransaction, { tenantId, from, upto }: SavingsOptions): Promise<SavingsReport['calibration']> {
  const { rows } = await transaction.query<{ count: bigint; percentiles: number[] | null }>(
    `select count(*) as count,
       percentile_cont(array[0.05, 0.5, 0.95]) within group (order by message_bytes::float8 / declared_bytes) as percentiles
     from mail_transaction
     where tenant_id = $1 and id_time >= $2::timestamptz - interval '1 hour' and id_time < $3 and ended_at >= $2 and ended_at < $3
       and outcome in ('accepted', 'marked', 'quarantined', 'discarded') and declared_bytes > 0 and message_bytes is not null`,
    [tenantId, from, upto],
  )
  const { count, percentiles } = rows[0]!
  if (percentiles === null) return null
  const [p05, median, p95] = percentiles.map((value) => value.toFixed(4)) as [string, string, string]
  return { sampleCount: Number(count), median, p05, p95 }
}

async function partlyRefused(transaction: SqlTransaction, { tenantId, from, upto }: SavingsOptions): Promise<Pick<SavingsReport, 'receivedAndRefused' | 'deliveriesAvoided'>> {
  const { rows } = await transaction.query<{ count: bigint; bytes: bigint; avoided: bigint }>(
    `select
       count(*) filter (where outcome = 'refused' and stage in ('header', 'complete')) as count,
       coalesce(sum(data_bytes) filter (where outcome = 'refused' and stage in ('header', 'complete')), 0)::bigint as bytes,
       coalesce(sum((select count(distinct recipient_id) from transaction_recipient r where r.tenant_id = $1
         and r.transaction_id = mail_transaction.transaction_id and r.id_time = mail_transaction.id_time and r.outcome = 'refused'))
         filter (where recipient_count > accepted_count and outcome in ('accepted', 'marked', 'quarantined', 'discarded')), 0)::bigint as avoided
     from mail_transaction
     where tenant_id = $1 and id_time >= $2::timestamptz - interval '1 hour' and id_time < $3 and ended_at >= $2 and ended_at < $3`,
    [tenantId, from, upto],
  )
  const { count, bytes, avoided } = rows[0]!
  return { receivedAndRefused: { count: Number(count), bytes: String(bytes) }, deliveriesAvoided: Number(avoided) }
}

/** By the entries: inbound ones of the house are recipients that nobody registered. postmaster and abuse are always taken. */
async function refusedIfKnown(transaction: SqlTransaction, { tenantId, from, upto }: SavingsOptions): Promise<SavingsReport['ifKnown']> {
  const { rows } = await transaction.query<{ messages: bigint; bytes: bigint; avoided: bigint }>(
    `select count(*) filter (where is_whole) as messages, coalesce(sum(bytes) filter (where is_whole), 0)::bigint as bytes,
       coalesce(sum(unknown_count) filter (where not is_whole), 0)::bigint as avoided
     from (
       select max(full_bytes) as bytes, bool_and(is_unknown) as is_whole, count(*) filter (where is_unknown) as unknown_count
       from (
         select entry.transaction_id, entry.full_bytes, entry.client_id is null and entry.direction = 'inbound'
           and coalesce(name.address, '') !~ '^(postmaster|abuse)@' as is_unknown
         from usage_entry entry
         left join recipient_name name on name.tenant_id = entry.tenant_id and name.recipient_id = entry.recipient_id
         where entry.tenant_id = $1 and entry.ended_at >= $2 and entry.ended_at < $3 and entry.correction = 0
           and coalesce(entry.reason, '') not like 'refused-%'
       ) marked
       group by transaction_id
     ) message`,
    [tenantId, from, upto],
  )
  const { messages, bytes, avoided } = rows[0]!
  return { messageCount: Number(messages), bytes: String(bytes), deliveriesAvoided: Number(avoided) }
}

function moneyOf(
  costPrice: string | null,
  { currency, unitBytes }: { currency: string; unitBytes: number },
  bytes: { floor: string; estimate: string | null; ifKnown: string },
): SavingsReport['money'] {
  if (costPrice === null) return null
  const digits = minorDigitsOf(currency)
  const cost = (octets: string): string =>
    moneyText(rounded(times(times(over(fraction(BigInt(octets)), fraction(BigInt(unitBytes))), decimal(costPrice)), fraction(10n ** BigInt(digits)))), digits)
  return { currency, costPrice, floor: cost(bytes.floor), estimate: bytes.estimate === null ? null : cost(bytes.estimate), ifKnown: cost(bytes.ifKnown) }
}
