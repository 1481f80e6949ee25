/** Time zone, unit and currency of the tenant: what billing stored, else what is configured. */
import { sql } from 'kysely'
import { unitBytesOf } from '../contracts/byte-unit.ts'
import type { ApiContext } from './api-server.ts'

export type TenantSettings = {
  timeZone: string
  unitBytes: number
  currency: string
  /** Billing has stored a policy: false until its worker ran once. */
  isStored: boolean
}

export async function tenantSettings(context: ApiContext): Promise<TenantSettings> {
  const { billing } = context.config
  const { rows } = await sql<{ time_zone: string; unit_bytes: bigint; currency: string }>`
    select time_zone, unit_bytes, currency from billing_policy
    where tenant_id = ${context.tenantId} and valid_from <= ${new Date(context.clock.nowMs())}
    order by valid_from desc, revision desc limit 1`.execute(context.database.kysely)
  const stored = rows[0]
  if (stored === undefined)
    return {
      timeZone: billing.timeZone,
      unitBytes: unitBytesOf[billing.unit],
      currency: billing.currency,
      isStored: false,
    }
  return {
    timeZone: stored.time_zone,
    unitBytes: Number(stored.unit_bytes),
    currency: stored.currency,
    isStored: true,
  }
}
