/** What a period would have cost under another tariff: the same function that rates for real, posting nothing. */
import type { TariffDefinition } from '../../contracts/tariff.ts'
import type { Database } from '../../database/open-database.ts'
import { inTransaction } from '../in-transaction.ts'
import { plannedPeriod, storedPeriods } from '../periods/period-store.ts'
import { gatherQuantities } from './gather-quantities.ts'
import { byOctets, ratePlan, type RatedClient } from './rate-plan.ts'
import { foreignTariffs, ratingPlan } from './rating-plan.ts'
import { TariffRefusal } from './tariff-store.ts'

export type Simulation = {
  currency: string
  unitBytes: number
  /**
   * In order of the client: `now` by the tariffs in force, what came late and was corrected included, `then` by the other
   * one; `null`: not invoiced.
   */
  clients: { clientId: string; now: RatedClient | null; then: RatedClient | null }[]
}

/** `clientId` `null`: for every client without a parent, in place of whatever it carries. */
export async function simulateTariff(options: {
  database: Database
  tenantId: string
  period: string
  tariff: string
  definition: TariffDefinition
  clientId: string | null
}): Promise<Simulation> {
  const { database, tenantId, tariff, definition, clientId } = options
  return await inTransaction(database, async (transaction) => {
    await transaction.query('set transaction isolation level repeatable read, read only')
    const period = await plannedPeriod(transaction, tenantId, options.period)
    // A period that is cut off is rated by the plan of then, whatever changed since.
    const stored = (await storedPeriods(transaction, tenantId)).find(({ label }) => label === period.label)
    const now = stored?.plan ?? (await ratingPlan(transaction, tenantId, period))
    const then = await ratingPlan(transaction, tenantId, period, { tariff: `${tariff}@0`, definition, clientId })
    const foreign = [...foreignTariffs(now), ...foreignTariffs(then)]
    if (foreign.length > 0) throw new TariffRefusal(`The period is billed in ${period.currency}, the tariff ${foreign[0]!.replace('@0', '')} is in another currency`)
    const ratedNow = ratePlan(now, await gatherQuantities(transaction, tenantId, now, null))
    const ratedThen = ratePlan(then, await gatherQuantities(transaction, tenantId, then, null))
    const names = [...new Set([...ratedNow, ...ratedThen].map((client) => client.clientId))].sort(byOctets)
    const find = (rated: readonly RatedClient[], id: string): RatedClient | null => rated.find((client) => client.clientId === id) ?? null
    return {
      currency: period.currency,
      unitBytes: period.unitBytes,
      clients: names.map((id) => ({ clientId: id, now: find(ratedNow, id), then: find(ratedThen, id) })),
    }
  })
}
