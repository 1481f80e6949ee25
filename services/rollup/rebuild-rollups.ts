/**
 * Makes the rollups of a range of days again, from the rows of the batches that are in them.
 *
 * Owns    which days may be made again: those of which retention has removed nothing. The sums of the others are all
 *         that is left of their mail, and stay as they are.
 * Why     by day of `ended_at` over all rolled batches, under the lock that rolling takes: a batch that arrives
 *         meanwhile is added afterwards, as ever. Each table is a transaction of its own; readers see its old sums
 *         until the new ones are there.
 * Limits  reads the whole narrow table once a rollup: when a transaction began bounds nothing of when it ended.
 */
import type { Database } from '../database/open-database.ts'
import { rollupTables, type RollupTable } from './rollup-table.ts'
import { inTenantTransaction } from './tenant-transaction.ts'

/** Half-open days like `2026-11-01`; `null`: no end to that side. */
export type DayRange = { from: string | null; upto: string | null }
export type RebuildResult = {
  /** Days within the range whose totals were kept, as half-open ranges; `upto` null: to the end. */
  keptDays: DayRange[]
  /** The same, for the totals of rules alone. */
  keptRuleDays: DayRange[]
}

export async function rebuildRollups(
  database: Database,
  tenantId: string,
  range: DayRange = { from: null, upto: null },
  onProgress: (doneTables: number, allTables: number) => void = () => {},
): Promise<RebuildResult> {
  const kept: Record<'all' | 'rules', string> = { all: '{}', rules: '{}' }
  for (const [index, table] of rollupTables.entries()) {
    onProgress(index, rollupTables.length)
    kept[table.needsDetails ? 'rules' : 'all'] = await rebuildTable(database, tenantId, table, range)
  }
  onProgress(rollupTables.length, rollupTables.length)
  return { keptDays: dayRanges(kept.all), keptRuleDays: dayRanges(kept.rules) }
}

/** Returns the days that were kept, as Postgres writes them. */
async function rebuildTable(database: Database, tenantId: string, table: RollupTable, range: DayRange): Promise<string> {
  return await inTenantTransaction(database, tenantId, async (client) => {
    const { rows } = await client.query<{ days: string; kept: string }>(
      `select (wanted - gone)::text as days, (wanted * gone)::text as kept
       from (select datemultirange(daterange($2, $3)) as wanted) w,
         (select coalesce(range_agg(day), '{}') as gone from retention_removal r, unnest(r.days) day
          where r.tenant_id = $1 and (r.kind = 'messages' or (r.kind = 'details' and $4)
            or (r.kind = 'usage' and $5))) g`,
      [tenantId, range.from, range.upto, table.needsDetails, table.source === 'metered'],
    )
    const { days, kept } = rows[0]!
    await client.query(deleteQuery(table), [tenantId, days])
    await client.query(table.sumStatement, [tenantId, null, '-infinity', 'infinity', days])
    return kept
  })
}

function deleteQuery({ name, timeColumn }: RollupTable): string {
  const day = timeColumn === 'day' ? 'day' : `(hour at time zone 'UTC')::date`
  return `delete from ${name} where tenant_id = $1 and ${day} <@ $2::datemultirange`
}

function dayRanges(text: string): DayRange[] {
  return Array.from(text.matchAll(/\[?([\d-]*),([\d-]*)\)/g), (match) => ({ from: match[1] || null, upto: match[2] || null }))
}
