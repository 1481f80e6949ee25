/** The months that hold usage entries, newest first. */
import type { UsagePeriods } from '../contracts/api.ts'
import { nextMonthLabel } from '../contracts/period.ts'
import type { Database } from '../database/open-database.ts'
import { policyAt, requiredPolicies } from './billing-policy.ts'
import { billingPeriod, billingPeriodAt } from './billing-period.ts'
import { inTransaction } from './in-transaction.ts'

export async function usagePeriods(database: Database, tenantId: string): Promise<UsagePeriods> {
  return await inTransaction(database, async (transaction) => {
    const policies = await requiredPolicies(transaction, tenantId)
    const { timeZone } = policyAt(policies, new Date())
    const { rows: bounds } = await transaction.query<{ oldest: Date | null; newest: Date | null }>(
      'select min(ended_at) as oldest, max(ended_at) as newest from usage_entry where tenant_id = $1',
      [tenantId],
    )
    const { oldest, newest } = bounds[0]!
    if (oldest === null || newest === null) return { labels: [], timeZone }
    const lastLabel = billingPeriodAt(policies, newest).label
    const periods = [billingPeriodAt(policies, oldest)]
    while (periods.at(-1)!.label < lastLabel) {
      periods.push(billingPeriod(policies, nextMonthLabel(periods.at(-1)!.label)))
    }
    const { rows } = await transaction.query<{ label: string }>(
      `select label
       from unnest($2::text[], $3::timestamptz[], $4::timestamptz[]) as month (label, month_from, month_upto)
       where exists (
         select from usage_entry where tenant_id = $1 and ended_at >= month_from and ended_at < month_upto)
       order by label desc`,
      [
        tenantId,
        periods.map((period) => period.label),
        periods.map((period) => period.from),
        periods.map((period) => period.upto),
      ],
    )
    return { labels: rows.map((row) => row.label), timeZone }
  })
}
