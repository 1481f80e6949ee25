/** The row of a tenant and its secret; the only writer of table tenant. */
import { randomBytes } from 'node:crypto'
import type { Database } from './open-database.ts'

export type TenantRow = { tenantId: string; recipientKey: Buffer; isDemo: boolean }

/** Finds the tenant, or makes it with a new recipient key. Concurrent callers get the same row. */
export async function ensureTenant(database: Database, tenantId: string, options?: { isDemo?: boolean }): Promise<TenantRow> {
  await database.kysely
    .insertInto('tenant')
    .values({ tenant_id: tenantId, recipient_key: randomBytes(32), is_demo: options?.isDemo ?? false })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  const row = await database.kysely
    .selectFrom('tenant')
    .select(['tenant_id', 'recipient_key', 'is_demo'])
    .where('tenant_id', '=', tenantId)
    .executeTakeFirstOrThrow()
  return { tenantId: row.tenant_id, recipientKey: row.recipient_key, isDemo: row.is_demo }
}
