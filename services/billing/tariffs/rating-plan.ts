/**
 * By what a period is rated: its parts, which tariff version who carries in each, and how recipients count there.
 *
 * Why   taken once, at the cut-off, and stored with the period: whatever changes later, the period is rated again by the
 *       same plan, so that a correction changes what it is about and nothing else.
 */
import type { TariffDefinition } from '../../contracts/tariff.ts'
import type { MeteringMode } from '../../contracts/vocabulary.ts'
import { calendarDays, type Period } from '../../contracts/period.ts'
import { policyAt, requiredPolicies } from '../billing-policy.ts'
import type { SqlTransaction } from '../in-transaction.ts'
import { storedAssignments, storedTariffs, type Assignment, type Tariff } from './tariff-store.ts'

/** JSON through and through: it is stored. Times are ISO 8601. */
export type RatingPlan = {
  label: string
  from: string
  upto: string
  timeZone: string
  unitBytes: number
  currency: string
  dayCount: number
  /** They tile the period. `dayCount`: calendar days that begin within. */
  parts: { from: string; upto: string; mode: MeteringMode; dayCount: number }[]
  /** By `name@version`. */
  tariffs: Record<string, TariffDefinition>
  /** By client: who is invoiced for it in each part, and by which tariff; `null`: nobody. Clients that never are stay out. */
  carried: Record<string, (Carried | null)[]>
}
export type Carried = { clientId: string; tariff: string }

/** For a simulation: the tariff in place of the stored ones, for one client or for every client without a parent. */
export type TariffOverride = { tariff: string; definition: TariffDefinition; clientId: string | null }

export type PlannedPeriod = Period & { unitBytes: number; currency: string }

export async function ratingPlan(
  transaction: SqlTransaction,
  tenantId: string,
  period: PlannedPeriod,
  override: TariffOverride | null = null,
): Promise<RatingPlan> {
  const policies = await requiredPolicies(transaction, tenantId)
  const tariffs = await storedTariffs(transaction, tenantId)
  const assignments = await storedAssignments(transaction, tenantId)
  const { rows: clients } = await transaction.query<{ clientId: string; parentId: string | null }>(
    'select client_id as "clientId", parent_id as "parentId" from client where tenant_id = $1 order by client_id', [tenantId])
  const edges = [
    ...policies.map(({ validFrom }) => validFrom),
    ...tariffs.flatMap(({ versions }) => versions.map(({ validFrom }) => validFrom)),
    ...assignments.flatMap(({ from, upto }) => [from, upto]),
  ]
  const days = calendarDays(period)
  const parts = partsOf(period, edges).map(({ from, upto }) => ({
    from: from.toISOString(),
    upto: upto.toISOString(),
    mode: policyAt(policies, from).mode,
    dayCount: days.filter((day) => day.from >= from && day.from < upto).length,
  }))
  const used: Record<string, TariffDefinition> = {}
  const carriedAt = (clientId: string, at: Date): Carried | null => {
    const own = ownTariff(clientId, at)
    if (own === null) return null
    used[own.tariff] = own.definition
    return { clientId, tariff: own.tariff }
  }
  const parentOf = new Map(clients.map(({ clientId, parentId }) => [clientId, parentId]))
  const ownTariff = (clientId: string, at: Date): { tariff: string; definition: TariffDefinition } | null => {
    const isOverridden = override !== null && (override.clientId === null ? parentOf.get(clientId) === null : override.clientId === clientId)
    return isOverridden ? override : tariffAt(tariffs, assignments, clientId, at)
  }
  const carried: RatingPlan['carried'] = {}
  for (const { clientId } of clients) {
    const ofParts = parts.map(({ from }) => {
      for (let at: string | null | undefined = clientId, hops = 0; at != null && hops < 100; at = parentOf.get(at), hops += 1) {
        const found = carriedAt(at, new Date(from))
        if (found !== null) return found
      }
      return null
    })
    if (ofParts.some((part) => part !== null)) carried[clientId] = ofParts
  }
  return {
    label: period.label,
    from: period.from.toISOString(),
    upto: period.upto.toISOString(),
    timeZone: period.timeZone,
    unitBytes: period.unitBytes,
    currency: period.currency,
    dayCount: days.length,
    parts,
    tariffs: used,
    carried,
  }
}

/** Tariffs of the plan that are in another currency than the period: it cannot be rated by them. */
export function foreignTariffs({ tariffs, currency }: RatingPlan): string[] {
  return Object.keys(tariffs).filter((name) => tariffs[name]!.currency !== currency)
}

function partsOf({ from, upto }: Period, edges: readonly (Date | null)[]): { from: Date; upto: Date }[] {
  const within = edges.flatMap((edge) => (edge !== null && edge > from && edge < upto ? [edge.getTime()] : []))
  const starts = [from.getTime(), ...new Set(within.sort((a, b) => a - b))]
  return starts.map((start, index) => ({ from: new Date(start), upto: new Date(starts[index + 1] ?? upto.getTime()) }))
}

function tariffAt(
  tariffs: readonly Tariff[],
  assignments: readonly Assignment[],
  clientId: string,
  at: Date,
): { tariff: string; definition: TariffDefinition } | null {
  const assignment = assignments.find((one) =>
    one.clientId === clientId && (one.from === null || one.from <= at) && (one.upto === null || at < one.upto))
  if (assignment === undefined) return null
  const { versions } = tariffs.find(({ tariffId }) => tariffId === assignment.tariffId)!
  // Versions come oldest first: of those that begin at the same time the last one holds.
  const inForce = versions.filter(({ validFrom }) => validFrom === null || validFrom <= at)
    .reduce<Tariff['versions'][number] | null>((best, one) => (best === null || startOf(one) >= startOf(best) ? one : best), null)
  return inForce === null ? null : { tariff: `${assignment.tariffId}@${inForce.version}`, definition: inForce.definition }
}

function startOf({ validFrom }: { validFrom: Date | null }): number {
  return validFrom === null ? -Infinity : validFrom.getTime()
}
