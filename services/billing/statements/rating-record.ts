/** A rating as it is stored: JSON of texts, by which the same rating is always the same octets. */
import { createHash } from 'node:crypto'
import { fractionText } from '../rating/fraction.ts'
import type { RatedUsage } from '../rating/rate-usage.ts'
import type { RatedClient } from '../tariffs/rate-plan.ts'

export type UsageRecord = { clientId: string; direction: string; part: number; octets: string }

export type LineRecord = {
  tariffId: string
  tariffVersion: number
  component: number
  componentKind: string
  direction: string | null
  tier: number | null
  quantity: string | null
  price: string
  count: string
  amountMinor: string
  taxPercent: string
  taxMinor: string
}

export type RatingRecord = { clientId: string; usage: UsageRecord[]; lines: LineRecord[]; netMinor: bigint; taxMinor: bigint }

export function ratingRecord({ clientId, usage, rated }: RatedClient): RatingRecord {
  return {
    clientId,
    usage: usage.map(({ clientId: department, direction, part, octets }) => ({ clientId: department, direction, part, octets: String(octets) })),
    lines: linesOf(rated),
    netMinor: rated.netMinor,
    taxMinor: rated.taxMinor,
  }
}

function linesOf({ lines }: RatedUsage): LineRecord[] {
  return lines.map((line) => ({
    tariffId: line.tariffId,
    tariffVersion: line.version,
    component: line.component,
    componentKind: line.kind,
    direction: line.direction,
    tier: line.tier,
    quantity: line.quantity === null ? null : fractionText(line.quantity),
    price: line.price,
    count: fractionText(line.count),
    amountMinor: String(line.amountMinor),
    taxPercent: line.taxPercent,
    taxMinor: String(line.taxMinor),
  }))
}

/** Of what is written down, keys in the order in which they stand. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex')
}
