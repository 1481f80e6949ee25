/** `tollgate clients …`: who pays, as a list, and as CSV in and out. */
import { createWriteStream } from 'node:fs'
import { userInfo } from 'node:os'
import { finished } from 'node:stream/promises'
import { recordAudit } from '../api/access/audit.ts'
import { ensureBillingPolicy } from '../billing/billing-policy.ts'
import { directoryChangeText } from '../billing/clients/directory-change-text.ts'
import { directoryTable, parseDirectoryCsv } from '../billing/clients/directory-csv.ts'
import { listClients, readDirectoryNow } from '../billing/clients/read-clients.ts'
import { writeTable } from '../billing/exports/write-table.ts'
import { DirectoryFault, importDirectory } from '../billing/import-directory.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { readInput } from './read-input.ts'
import { textTable } from './text-table.ts'

type Common = { isDemo: boolean }

export async function showClients(configured: Config, { format, ...options }: Common & { format: 'table' | 'json' }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const clients = await listClients(database, config.tenant, new Date())
    if (format === 'json') return void process.stdout.write(`${JSON.stringify(clients)}\n`)
    const rows = clients.map((client) => [client.clientId, client.name, client.parentId ?? '', client.state, String(client.addressCount), client.tariffId ?? ''])
    process.stdout.write(clients.length === 0 ? 'There is no client yet.\n' : textTable(['client', 'name', 'parent', 'state', 'addresses', 'tariff'], rows, [24, 32, 20, 18, 9, 20]))
  })
}

export async function exportClients(configured: Config, { output, ...options }: Common & { output: string | null }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const table = directoryTable(await readDirectoryNow(database, config.tenant))
    if (output === null) return void (await writeTable(table, process.stdout))
    const file = createWriteStream(output)
    await writeTable(table, file)
    file.end()
    await finished(file)
  })
}

export async function importClients(configured: Config, asked: Common & { file: string; isDryRun: boolean; isForced: boolean }): Promise<void> {
  const { file, isDryRun, isForced } = asked
  const directory = faultsOfFile(file, () => parseDirectoryCsv(readInput(file)))
  await withCommandDatabase(configured, asked, async ({ database, config }) => {
    const { directory: governing } = config.recipients
    if (governing !== undefined && !isDryRun) {
      throw new UsageError(`The clients come from ${governing}: change them there, as the gateway reads it too.`)
    }
    await ensureTenant(database, config.tenant, { isDemo: asked.isDemo })
    await ensureBillingPolicy(database, config.tenant, config)
    const changes = await importDirectory({ database, tenantId: config.tenant, directory, at: new Date(), dryRun: isDryRun, force: isForced }).catch((error: unknown) => faultsOfFile(file, () => { throw error }))
    if (!isDryRun) await recordAudit(database, config.tenant, { actor: `command:${userInfo().username}`, action: 'clients.imported', detail: { changeCount: changes.length } })
    const summary = changes.length === 0 ? 'Nothing has changed.' : `${changes.length} changes${isDryRun ? ' would be made' : ''}:`
    process.stdout.write([summary, ...changes.map((change) => `  ${directoryChangeText(change)}`), ''].join('\n'))
  })
}

function faultsOfFile<Result>(file: string, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    if (error instanceof DirectoryFault) throw new UsageError(error.faults.map((fault) => `${file}: ${fault}.`))
    throw error
  }
}
