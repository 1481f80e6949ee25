/** `tollgate import recipients FILE`. */
import { ensureBillingPolicy } from '../billing/billing-policy.ts'
import { DirectoryFault, importDirectory, type DirectoryChange } from '../billing/import-directory.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { readDirectory } from './read-directory.ts'
import { readInput } from './read-input.ts'

export type ImportOptions = { isDemo: boolean; isForced: boolean; isDryRun: boolean }

export async function importRecipients(configured: Config, file: string, options: ImportOptions): Promise<void> {
  const reading = readDirectory(readInput(file), file)
  if ('faults' in reading) throw new UsageError(reading.faults)
  const changes = await withCommandDatabase(configured, options, async ({ database, config }) => {
    await ensureTenant(database, config.tenant, { isDemo: options.isDemo })
    await ensureBillingPolicy(database, config.tenant, config)
    try {
      const { isForced: force, isDryRun: dryRun } = options
      return await importDirectory({ database, tenantId: config.tenant, directory: reading.directory, at: new Date(), force, dryRun })
    } catch (error) {
      if (error instanceof DirectoryFault) throw new UsageError(error.faults.map((fault) => `${file}: ${fault}.`))
      throw error
    }
  })
  const summary = changes.length === 0 ? 'Nothing has changed.' : `${changes.length} changes${options.isDryRun ? ' would be made' : ''}:`
  process.stdout.write([summary, ...changes.map(changeText), ''].join('\n'))
}

function changeText(change: DirectoryChange): string {
  switch (change.kind) {
    case 'client-added':
      return `  client ${change.clientId} is new: ${change.name}`
    case 'client-renamed':
      return `  client ${change.clientId}: ${change.from} is now ${change.to}`
    case 'client-parent-changed':
      return `  client ${change.clientId}: parent ${change.from ?? 'none'} is now ${change.to ?? 'none'}`
    case 'client-state-changed':
      return `  client ${change.clientId}: ${change.from} is now ${change.to}`
    case 'address-gained':
      return `  ${change.address} goes to ${change.clientId}${change.at === null ? '' : ` from ${change.at.toISOString()}`}`
    case 'address-lost':
      return `  ${change.address} leaves ${change.clientId} from ${change.at.toISOString()}`
    case 'address-moved':
      return `  ${change.address} moves from ${change.fromClientId} to ${change.clientId} from ${change.at.toISOString()}`
  }
}
