/** The entries of a tenant in a form that tests compare: everything but the opaque id, in a fixed order. */
import type { Database } from '../services/database/open-database.ts'
import type { ReferenceEntry } from './billing-reference.ts'

export type StoredEntry = ReferenceEntry & { endedAt: Date; sizeSource: string; isBillable: boolean }

export async function storedEntries(database: Database, tenantId: string): Promise<StoredEntry[]> {
  const { rows } = await database.pool.query<StoredEntry>(
    `select transaction_id as "transactionId", address, client_id as "clientId", direction, full_bytes as full,
       split_bytes as split, reason, ended_at as "endedAt", size_source as "sizeSource", is_billable as "isBillable"
     from usage_entry join recipient_name using (tenant_id, recipient_id) where tenant_id = $1
     order by transaction_id, address collate "C"`,
    [tenantId],
  )
  return rows
}
