/**
 * The sums of usage entries by period (usage_rollup): kept by whoever writes entries, made again from them at will.
 *
 * Owns    usage_rollup, usage_rollup_tenant and usage_rolled_correction.
 * Leaves  what is summed to usage-rollup-add.sql; whether a report reads sums or entries to usage-report.ts.
 * Why     added in the transaction that writes the entries, so that sums and entries never differ; a message is one
 *         message of a group, however often its entries come in parts.
 *         No address stands here, and an erasure leaves the domain: it changes no sum.
 * Limits  whoever appends corrections calls rollUsageCorrection in the same transaction, after the entries.
 */
import type { Database } from '../database/open-database.ts'
import { calendarDays, nextMonthLabel, type Period } from '../contracts/period.ts'
import { requiredPolicies, type BillingPolicy } from './billing-policy.ts'
import { billingPeriod, billingPeriodAt } from './billing-period.ts'
import { takeEntryLock } from './entry-lock.ts'
import { inTransaction, type SqlTransaction } from './in-transaction.ts'
import { sqlStatement } from './sql-statement.ts'

const addSql = sqlStatement('usage-rollup-add.sql')

export type BatchRange = { batchId: bigint; from: Date | null; upto: Date | null }

/** Adds the entries of a batch, in the transaction that has just written them and its row of metered_batch. */
export async function rollUsageBatch(
  transaction: SqlTransaction,
  tenantId: string,
  batch: BatchRange,
): Promise<void> {
  await transaction.query(`select pg_advisory_xact_lock_shared(hashtext('tollgate usage rollup'), hashtext($1))`, [
    tenantId,
  ])
  // Of a tenant whose first batch this is, every entry is in the sums from now on.
  await transaction.query(
    `insert into usage_rollup_tenant (tenant_id) select $1
     where not exists (select from metered_batch where tenant_id = $1 and batch_id <> $2)
     on conflict do nothing`,
    [tenantId, batch.batchId],
  )
  const { rows } = await transaction.query<Bounds>(
    `select min(ended_at) as oldest, max(ended_at) as newest from mail_transaction
     where tenant_id = $1 and batch_id = $2 and id_time between $3 and $4`,
    [tenantId, batch.batchId, batch.from, batch.upto],
  )
  await add(transaction, tenantId, rows[0]!, { batch })
}

/**
 * Adds the entries of one correction, in the transaction that has just appended them. A second call adds nothing.
 * Transactions that correct the same tenant wait for each other until they end.
 */
export async function rollUsageCorrection(
  transaction: SqlTransaction,
  tenantId: string,
  correction: bigint,
): Promise<void> {
  await transaction.query(`select pg_advisory_xact_lock(hashtext('tollgate usage rollup'), hashtext($1))`, [tenantId])
  const { rowCount } = await transaction.query(
    'insert into usage_rolled_correction (tenant_id, correction) values ($1, $2) on conflict do nothing',
    [tenantId, correction],
  )
  if (rowCount === 0) return
  const { rows } = await transaction.query<Bounds>(
    `select min(ended_at) as oldest, max(ended_at) as newest from usage_entry
     where tenant_id = $1 and correction = $2 and correction <> 0`,
    [tenantId, correction],
  )
  await add(transaction, tenantId, rows[0]!, { correction })
}

/** For a tenant whose entries are older than the sums: adds them all, once. */
export async function ensureUsageRollup(database: Database, tenantId: string): Promise<void> {
  const { rowCount } = await database.pool.query('select from usage_rollup_tenant where tenant_id = $1', [tenantId])
  if (rowCount === 0) await rebuildUsageRollup(database, tenantId)
}

/**
 * Makes the sums again, those of periods of which retention has removed entries excepted: their sums are all that is
 * left. Metering waits meanwhile. Returns the labels of the periods that were made.
 */
export async function rebuildUsageRollup(database: Database, tenantId: string): Promise<string[]> {
  return await inTransaction(database, async (transaction) => {
    await takeEntryLock(transaction, tenantId)
    const { rows } = await transaction.query<Bounds>(
      'select min(ended_at) as oldest, max(ended_at) as newest from usage_entry where tenant_id = $1',
      [tenantId],
    )
    const removedUpto = await usageRemovedUpto(transaction, tenantId)
    // Without entries there need not be a policy yet.
    const policies = rows[0]!.oldest === null ? [] : await requiredPolicies(transaction, tenantId)
    const periods = periodsIn(policies, rows[0]!).filter((period) => isWhole(period, removedUpto))
    await transaction.query(
      `insert into usage_rolled_correction (tenant_id, correction)
       select distinct tenant_id, correction from usage_entry where tenant_id = $1 and correction <> 0
       on conflict do nothing`,
      [tenantId],
    )
    // Sums of a period without entries are left over only where something went wrong; they go too.
    await transaction.query('delete from usage_rollup where tenant_id = $1 and ($2::text is null or period >= $2)', [
      tenantId,
      removedUpto === null ? null : (periods[0]?.label ?? '9999-12'),
    ])
    for (const period of periods) await addPeriod(transaction, tenantId, policies, period)
    await transaction.query('insert into usage_rollup_tenant (tenant_id) values ($1) on conflict do nothing', [
      tenantId,
    ])
    return periods.map((period) => period.label)
  })
}

/** Whether the sums of a period give what its entries give. */
export async function isUsageRolled(transaction: SqlTransaction, tenantId: string, period: Period): Promise<boolean> {
  const { rowCount } = await transaction.query('select from usage_rollup_tenant where tenant_id = $1', [tenantId])
  if (rowCount === 0) return false
  return isWhole(period, await usageRemovedUpto(transaction, tenantId))
}

type Bounds = { oldest: Date | null; newest: Date | null }
type Entries = { batch?: BatchRange; correction?: bigint; period?: Period }

async function add(transaction: SqlTransaction, tenantId: string, bounds: Bounds, entries: Entries): Promise<void> {
  if (bounds.oldest === null) return
  const policies = await requiredPolicies(transaction, tenantId)
  await addEntries(transaction, tenantId, policies, periodsIn(policies, bounds), entries)
}

async function addPeriod(
  transaction: SqlTransaction,
  tenantId: string,
  policies: readonly BillingPolicy[],
  period: Period,
): Promise<void> {
  await addEntries(transaction, tenantId, policies, [period], { period })
}

async function addEntries(
  transaction: SqlTransaction,
  tenantId: string,
  policies: readonly BillingPolicy[],
  periods: readonly Period[],
  { batch, correction, period }: Entries,
): Promise<void> {
  const days = periods.flatMap((each) =>
    calendarDays(each).map((day, index) => ({ from: day.from, period: each.label, number: index + 1 })),
  )
  await transaction.query(addSql, [
    tenantId,
    batch?.batchId ?? null,
    batch?.from ?? null,
    batch?.upto ?? null,
    correction ?? null,
    period?.from ?? null,
    period?.upto ?? null,
    days.map((day) => day.from),
    days.map((day) => day.period),
    days.map((day) => day.number),
    policies.map((policy) => policy.validFrom ?? '-infinity'),
    policies.map((policy) => policy.mode),
  ])
}

function periodsIn(policies: readonly BillingPolicy[], { oldest, newest }: Bounds): Period[] {
  if (oldest === null || newest === null) return []
  const lastLabel = billingPeriodAt(policies, newest).label
  const periods = [billingPeriodAt(policies, oldest)]
  while (periods.at(-1)!.label < lastLabel) {
    periods.push(billingPeriod(policies, nextMonthLabel(periods.at(-1)!.label)))
  }
  return periods
}

/** Up to when retention has removed usage entries, by the time in their ids; `null`: nothing was. */
async function usageRemovedUpto(transaction: SqlTransaction, tenantId: string): Promise<Date | null> {
  const { rows } = await transaction.query<{ upto: Date | null }>(
    `select max(month) + interval '1 month' as upto from retention_removal where tenant_id = $1 and kind = 'usage'`,
    [tenantId],
  )
  return rows[0]!.upto
}

// No mail transaction lasts longer, so that one that began in a removed month ended within it.
const longestTransactionMs = 40 * 86_400_000

function isWhole(period: Period, removedUpto: Date | null): boolean {
  return removedUpto === null || period.from.getTime() - removedUpto.getTime() >= longestTransactionMs
}
