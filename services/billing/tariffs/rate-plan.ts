/** Rates a period by its plan: who is invoiced, for which quantities, with which lines. Pure. */
import { rateUsage, type RatedSpan, type RatedUsage } from '../rating/rate-usage.ts'
import type { Quantity } from './gather-quantities.ts'
import type { RatingPlan } from './rating-plan.ts'

export type RatedClient = {
  clientId: string
  /** What was rated: the client's own and that of its departments, in order. */
  usage: Quantity[]
  rated: RatedUsage
}

/** In order of the client, each that carries a tariff in the period, traffic or not. */
export function ratePlan(plan: RatingPlan, quantities: readonly Quantity[]): RatedClient[] {
  const usageOf = new Map<string, Quantity[]>()
  for (const quantity of quantities) {
    const carrier = plan.carried[quantity.clientId]?.[quantity.part]?.clientId
    if (carrier === undefined) continue
    const own = usageOf.get(carrier)
    if (own === undefined) usageOf.set(carrier, [quantity])
    else own.push(quantity)
  }
  const carriers = Object.keys(plan.carried).filter((clientId) => plan.carried[clientId]!.some((part) => part?.clientId === clientId))
  return carriers.sort(byOctets).map((clientId) => {
    const usage = usageOf.get(clientId) ?? []
    const spans = spansOf(plan, clientId, usage)
    return { clientId, usage, rated: rateUsage({ currency: plan.currency, unitBytes: plan.unitBytes, periodDays: plan.dayCount, spans }) }
  })
}

/** One for each tariff version that the client carries, in the order in which they begin. */
function spansOf(plan: RatingPlan, clientId: string, usage: readonly Quantity[]): RatedSpan[] {
  const own = plan.carried[clientId]!
  const tariffs = [...new Set(own.flatMap((part) => (part?.clientId === clientId ? [part.tariff] : [])))]
  return tariffs.map((tariff) => {
    const isOf = (part: number): boolean => own[part]?.clientId === clientId && own[part].tariff === tariff
    const sum = (direction: Quantity['direction']): bigint =>
      usage.reduce((octets, one) => (one.direction === direction && isOf(one.part) ? octets + one.octets : octets), 0n)
    const at = tariff.lastIndexOf('@')
    return {
      tariffId: tariff.slice(0, at),
      version: Number(tariff.slice(at + 1)),
      definition: plan.tariffs[tariff]!,
      days: plan.parts.reduce((days, { dayCount }, part) => (isOf(part) ? days + dayCount : days), 0),
      quantities: { inbound: sum('inbound'), outbound: sum('outbound') },
    }
  })
}

export function byOctets(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}
