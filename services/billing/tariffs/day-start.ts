/** The start of a calendar day of the tenant, as its periods have it. */
import { calendarDays } from '../../contracts/period.ts'
import { billingPeriod, type PeriodPolicy } from '../billing-period.ts'

/** `day` like 2026-11-01; throws a RangeError for what is no day. */
export function dayStart(policies: readonly PeriodPolicy[], day: string): Date {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day)) throw new RangeError(`"${day}" is no day: write one like 2026-11-01`)
  const found = calendarDays(billingPeriod(policies, day.slice(0, 7))).find(({ label }) => label === day)
  if (found === undefined) throw new RangeError(`"${day}" is no day of that month`)
  return found.from
}
