/** Totals past the date that the tenant's retention gives them. By default there is none: they hold no addresses. */
import type { Database } from '../database/open-database.ts'
import { rollupTables } from './rollup-table.ts'

/** Number of rows deleted. Whole UTC days; the policy keeps totals at least as long as the messages behind them. */
export async function dropOldTotals(database: Database, tenantId: string): Promise<number> {
  let deleted = 0
  for (const { name, timeColumn } of rollupTables) {
    const { rowCount } = await database.pool.query(
      `delete from ${name} using retention_policy policy
       where ${name}.tenant_id = $1 and policy.tenant_id = $1 and policy.total_days is not null
         and ${timeColumn} < (date_trunc('day', now(), 'UTC') at time zone 'UTC')::date - policy.total_days`,
      [tenantId],
    )
    deleted += rowCount ?? 0
  }
  return deleted
}
