/** A tenant of its own for one test of billing: with a policy, and clients if wanted. */
import type { DirectoryFile } from '../services/contracts/directory.ts'
import { ensureBillingPolicy, type PolicySettings } from '../services/billing/billing-policy.ts'
import { importDirectory } from '../services/billing/import-directory.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import type { Database } from '../services/database/open-database.ts'
import { readConfig } from '../services/kit/read-config.ts'

const reading = readConfig(null, {})
if ('faults' in reading) throw new Error('the default configuration has faults')
const defaults = reading.config

export type PolicyChanges = Partial<PolicySettings['billing']> & { lowerCaseLocalPart?: boolean }

export function policySettings({ lowerCaseLocalPart = true, ...billing }: PolicyChanges = {}): PolicySettings {
  return { billing: { ...defaults.billing, ...billing }, recipients: { ...defaults.recipients, lowerCaseLocalPart } }
}

let tenantCount = 0

export async function tenantWith(
  database: Database,
  changes: PolicyChanges = {},
  directory?: Record<string, string[]>,
): Promise<string> {
  const tenantId = `tenant-${(tenantCount += 1)}`
  await ensureTenant(database, tenantId)
  await ensureBillingPolicy(database, tenantId, policySettings(changes))
  if (directory !== undefined)
    await importDirectory({ database, tenantId, directory: directoryOf(directory), at: new Date() })
  return tenantId
}

/** Clients by id, each with its addresses. */
export function directoryOf(addresses: Record<string, string[]>): DirectoryFile {
  return {
    clients: Object.entries(addresses).map(([id, held]) => ({ id, name: `The ${id} company`, addresses: held })),
  }
}
