/**
 * Charges in the columns of FOCUS, the cost format of the FinOps Foundation (1.x), for tools that read it.
 *
 * Why    columns that FOCUS does not know carry `x_` in front, as it asks for. Amounts are exact decimal strings.
 * Known weakness  usage alone has no price: BilledCost stays empty there, which FOCUS allows to no final bill. The
 *        charges of a statement have one.
 */
import type { Cell, TableColumn } from './table.ts'

export type FocusCharge = {
  /** `null`: the house bucket. */
  clientId: string | null
  clientName: string | null
  /** In the billing currency; `null`: not rated. */
  billedCost: string | null
  currency: string
  period: { from: Date; upto: Date }
  /** Octets. */
  consumedQuantity: string
  direction: string
  /** What received, e.g. an address; `null`: the client as a whole. */
  resource: { id: string; type: 'recipient' | 'domain' } | null
  description: string
  messageCount: string | null
  unbilledBytes: string | null
}

export const focusColumns: readonly TableColumn[] = [
  { name: 'BilledCost', kind: 'amount' },
  { name: 'BillingAccountId', kind: 'id' },
  { name: 'BillingAccountName', kind: 'text' },
  { name: 'BillingCurrency', kind: 'id' },
  { name: 'BillingPeriodStart', kind: 'time' },
  { name: 'BillingPeriodEnd', kind: 'time' },
  { name: 'ChargeCategory', kind: 'id' },
  { name: 'ChargeDescription', kind: 'text' },
  { name: 'ChargePeriodStart', kind: 'time' },
  { name: 'ChargePeriodEnd', kind: 'time' },
  { name: 'ConsumedQuantity', kind: 'octets' },
  { name: 'ConsumedUnit', kind: 'id' },
  { name: 'ProviderName', kind: 'id' },
  { name: 'ResourceId', kind: 'text' },
  { name: 'ResourceType', kind: 'id' },
  { name: 'ServiceCategory', kind: 'id' },
  { name: 'ServiceName', kind: 'id' },
  { name: 'x_Direction', kind: 'id' },
  { name: 'x_MessageCount', kind: 'count' },
  { name: 'x_UnbilledBytes', kind: 'octets' },
]

export function focusCells(charge: FocusCharge): Cell[] {
  const from = focusTime(charge.period.from)
  const upto = focusTime(charge.period.upto)
  return [
    charge.billedCost,
    charge.clientId ?? 'house',
    charge.clientName,
    charge.currency,
    from,
    upto,
    'Usage',
    charge.description,
    from,
    upto,
    charge.consumedQuantity,
    'Bytes',
    'Tollgate',
    charge.resource?.id ?? null,
    charge.resource?.type ?? null,
    'Other',
    'Mail gateway',
    charge.direction,
    charge.messageCount,
    charge.unbilledBytes,
  ]
}

/** FOCUS writes times in UTC without fractions of a second; its ends are exclusive, as ours are. */
const focusTime = (time: Date): string => time.toISOString().replace(/\.\d+Z$/, 'Z')
