/** `tollgate import recipients FILE`. */
import { ensureBillingPolicy } from '../billing/billing-policy.ts'
import { directoryChangeText } from '../billing/clients/directory-change-text.ts'
import { DirectoryFault, importDirectory } from '../billing/import-directory.ts'
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
  process.stdout.write([summary, ...changes.map((change) => `  ${directoryChangeText(change)}`), ''].join('\n'))
}
