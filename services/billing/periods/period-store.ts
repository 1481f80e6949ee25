/**
 * The periods of a tenant as they are stored: each is kept when it opens, with its zone, unit and currency.
 *
 * Why    a period is converted once: a later change of the settings, or of the time-zone database, moves no message from
 *        one month into another. Its `from` is the `upto` of the one before.
 * Limits the first period is the one of the oldest entry. Once one is cut off none is put before it: what comes for a
 *        time before the first is entered, and never rated.
 */
import { nextMonthLabel, type Period } from '../../contracts/period.ts'
import type { Database } from '../../database/open-database.ts'
import { policyAt, requiredPolicies } from '../billing-policy.ts'
import { billingPeriod, billingPeriodAt } from '../billing-period.ts'
import { inTransaction, type SqlTransaction } from '../in-transaction.ts'
import type { PlannedPeriod, RatingPlan } from '../tariffs/rating-plan.ts'

export type PeriodState = 'open' | 'closing' | 'closed'

export type StoredPeriod = PlannedPeriod & {
  state: PeriodState
  cutOffAt: Date | null
  cutOffBy: string | null
  accepted: AcceptedBlocker[] | null
  plan: RatingPlan | null
  closedAt: Date | null
  hash: string | null
}

/** What was missing at a close and taken as it is. */
export type AcceptedBlocker = { name: string; text: string }

/** Keeps every period from the first with an entry up to the one that holds `now`. Only adds. */
export async function openPeriods(database: Database, tenantId: string, now: Date): Promise<StoredPeriod[]> {
  return await inTransaction(database, (transaction) => ensurePeriods(transaction, tenantId, now))
}

/** Oldest first. */
export async function ensurePeriods(transaction: SqlTransaction, tenantId: string, now: Date): Promise<StoredPeriod[]> {
  const stored = await storedPeriods(transaction, tenantId)
  const policies = await requiredPolicies(transaction, tenantId)
  const oldest = await oldestLabel(transaction, tenantId, policies)
  const current = billingPeriodAt(policies, now).label
  const isAnyCutOff = stored.some(({ state }) => state !== 'open')
  const first = isAnyCutOff || oldest === null || (stored.length > 0 && stored[0]!.label < oldest) ? stored[0]?.label ?? null : oldest
  const known = new Map(stored.map((period) => [period.label, period]))
  let before: Date | null = null
  for (let label = first; label !== null && label <= current; label = nextMonthLabel(label)) {
    const computed = billingPeriod(policies, label)
    const from: Date = before ?? computed.from
    before = known.get(label)?.upto ?? computed.upto
    if (known.has(label)) continue
    const { unitBytes, currency, timeZone } = policyAt(policies, from)
    await transaction.query(
      `insert into billing_period (tenant_id, label, from_time, upto_time, time_zone, unit_bytes, currency)
       values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing`,
      [tenantId, label, from, computed.upto, timeZone, unitBytes, currency],
    )
  }
  return await storedPeriods(transaction, tenantId)
}

/** As stored, else as it would open. Throws a RangeError for what is no month. */
export async function plannedPeriod(transaction: SqlTransaction, tenantId: string, label: string): Promise<PlannedPeriod> {
  // Beyond it ends what Postgres reads of a time as JSON writes it.
  if (label > '9998') throw new RangeError(`"${label}" is too far away: write a month before 9998`)
  const stored = (await storedPeriods(transaction, tenantId)).find((period) => period.label === label)
  if (stored !== undefined) return stored
  const policies = await requiredPolicies(transaction, tenantId)
  const period: Period = billingPeriod(policies, label)
  const { unitBytes, currency } = policyAt(policies, period.from)
  return { ...period, unitBytes, currency }
}

export async function storedPeriods(transaction: SqlTransaction, tenantId: string): Promise<StoredPeriod[]> {
  const { rows } = await transaction.query<Omit<StoredPeriod, 'unitBytes'> & { unitBytes: bigint }>(
    `select label, from_time as "from", upto_time as "upto", time_zone as "timeZone", unit_bytes as "unitBytes", currency,
       state, cut_off_at as "cutOffAt", cut_off_by as "cutOffBy", accepted, plan, closed_at as "closedAt", hash
     from billing_period where tenant_id = $1 order by label`,
    [tenantId],
  )
  return rows.map((row) => ({ ...row, unitBytes: Number(row.unitBytes) }))
}

async function oldestLabel(transaction: SqlTransaction, tenantId: string, policies: Parameters<typeof billingPeriodAt>[0]): Promise<string | null> {
  const { rows } = await transaction.query<{ oldest: Date | null }>('select min(ended_at) as oldest from usage_entry where tenant_id = $1', [tenantId])
  const oldest = rows[0]?.oldest ?? null
  return oldest === null ? null : billingPeriodAt(policies, oldest).label
}
