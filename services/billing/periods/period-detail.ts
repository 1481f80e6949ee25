/** A period as the API and the command tell it: its state, what keeps it from being closed, what came late. */
import type { BillingPeriod, PeriodDetail } from '../../contracts/statement.ts'
import type { Database } from '../../database/open-database.ts'
import { closeBlockers } from './close-blockers.ts'
import { openPeriods, type StoredPeriod } from './period-store.ts'

/** `null`: there is no such period. */
export async function periodDetail(options: { database: Database; tenantId: string; label: string; graceHours: number; now: Date }): Promise<PeriodDetail | null> {
  const { database, tenantId, label, now } = options
  const periods = await openPeriods(database, tenantId, now)
  const period = periods.find((one) => one.label === label)
  if (period === undefined) return null
  const { rows } = await database.pool.query<{ period: string; count: bigint }>(
    'select period, count(*) as count from late_entry where tenant_id = $1 and shown_in = $2 group by period order by period', [tenantId, label])
  return {
    period: periodView(period),
    blockers: period.state === 'open' ? await closeBlockers({ ...options, periods, period }) : [],
    late: rows.map((row) => ({ period: row.period, entryCount: String(row.count) })),
  }
}

export function periodView(period: StoredPeriod): BillingPeriod {
  const { label, from, upto, timeZone, unitBytes, currency, state, cutOffAt, cutOffBy, closedAt, hash, accepted } = period
  return {
    label,
    from: from.toISOString(),
    upto: upto.toISOString(),
    timeZone,
    unitBytes,
    currency,
    state,
    cutOffAt: cutOffAt?.toISOString() ?? null,
    cutOffBy,
    closedAt: closedAt?.toISOString() ?? null,
    hash,
    accepted: accepted ?? [],
  }
}
