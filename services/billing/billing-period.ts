/**
 * The periods of a tenant: calendar months that tile time also where the tenant moves to another zone.
 *
 * Why  a new zone holds from the start of a period, counted in the old zone. That period begins where the one before
 *      ended, and ends where the month ends in its own zone, so no message falls between two months or into both.
 */
import { calendarMonth, monthLabelAt, nextMonthLabel, previousMonthLabel, type Period } from '../contracts/period.ts'
import type { BillingPolicy } from './billing-policy.ts'

export type PeriodPolicy = Pick<BillingPolicy, 'validFrom' | 'timeZone'>

/** `policies`: oldest first, from the beginning of time on. Throws a RangeError for a label that is no month. */
export function billingPeriod(policies: readonly PeriodPolicy[], label: string): Period {
  const { timeZone } = zoneOf(policies, label)
  const own = calendarMonth(label, timeZone)
  const before = previousMonthLabel(label)
  return { ...own, from: calendarMonth(before, zoneOf(policies, before).timeZone).upto }
}

/** The period that holds a time. */
export function billingPeriodAt(policies: readonly PeriodPolicy[], time: Date): Period {
  // Two zones never differ by more than a day or so: the month is this one or a neighbour.
  const guess = billingPeriod(policies, monthLabelAt(time, policies.at(-1)!.timeZone))
  if (time.getTime() < guess.from.getTime()) return billingPeriod(policies, previousMonthLabel(guess.label))
  if (time.getTime() >= guess.upto.getTime()) return billingPeriod(policies, nextMonthLabel(guess.label))
  return guess
}

/** The zone in force in a month: each change names the first month it holds for, in the zone before it. */
function zoneOf(policies: readonly PeriodPolicy[], label: string): { timeZone: string } {
  let current = policies[0]!
  for (const policy of policies.slice(1)) {
    if (policy.validFrom === null || policy.timeZone === current.timeZone) continue
    if (monthLabelAt(policy.validFrom, current.timeZone) > label) break
    current = policy
  }
  return { timeZone: current.timeZone }
}
