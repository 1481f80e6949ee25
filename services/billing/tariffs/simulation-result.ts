/** A simulation as the API and the command tell it. */
import { minorDigitsOf, moneyText } from '../../contracts/money.ts'
import type { SimulatedAmounts, SimulationResult } from '../../contracts/tariff-api.ts'
import { fractionText } from '../rating/fraction.ts'
import type { RatedUsage } from '../rating/rate-usage.ts'
import type { Simulation } from './simulate-tariff.ts'

export function simulationResult(period: string, { currency, unitBytes, clients }: Simulation): SimulationResult {
  const digits = minorDigitsOf(currency)
  const totalOf = (side: 'now' | 'then'): bigint => clients.reduce((sum, client) => sum + (client[side]?.rated.totalMinor ?? 0n), 0n)
  return {
    period,
    currency,
    unitBytes,
    clients: clients.map(({ clientId, now, then }) => ({
      clientId,
      now: now === null ? null : amountsOf(now.rated, digits),
      then: then === null ? null : amountsOf(then.rated, digits),
      difference: moneyText((then?.rated.totalMinor ?? 0n) - (now?.rated.totalMinor ?? 0n), digits),
    })),
    totalNow: moneyText(totalOf('now'), digits),
    totalThen: moneyText(totalOf('then'), digits),
  }
}

function amountsOf({ lines, netMinor, taxMinor, totalMinor }: RatedUsage, digits: number): SimulatedAmounts {
  return {
    net: moneyText(netMinor, digits),
    tax: moneyText(taxMinor, digits),
    total: moneyText(totalMinor, digits),
    lines: lines.map(({ tariffId, version, kind, direction, tier, quantity, price, amountMinor, taxMinor: tax }) => ({
      tariffId,
      version,
      kind,
      direction,
      tier,
      quantity: quantity === null ? null : fractionText(quantity),
      price,
      amount: moneyText(amountMinor, digits),
      tax: moneyText(tax, digits),
    })),
  }
}
