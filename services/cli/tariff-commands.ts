/** `tollgate tariff …`: price lists, who carries them, and what a month would have cost. */
import { readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { parse } from 'yaml'
import { recordAudit } from '../api/access/audit.ts'
import { simulateTariff } from '../billing/tariffs/simulate-tariff.ts'
import { simulationResult } from '../billing/tariffs/simulation-result.ts'
import { faultsOfTariff } from '../billing/tariffs/faults-of-tariff.ts'
import { addTariffVersion, assignTariff, listAssignments, listTariffs, TariffRefusal } from '../billing/tariffs/tariff-store.ts'
import type { TariffDefinition } from '../contracts/tariff.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { textTable } from './text-table.ts'

type Common = { isDemo: boolean }
type Format = 'table' | 'json'
const by = `command:${userInfo().username}`

export async function listStoredTariffs(configured: Config, { format, ...options }: Common & { format: Format }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const store = { database, tenantId: config.tenant }
    const [tariffs, assignments] = [await listTariffs(store), await listAssignments(store)]
    if (format === 'json') return void process.stdout.write(`${JSON.stringify({ tariffs, assignments })}\n`)
    if (tariffs.length === 0) return void process.stdout.write('There is no tariff yet: tollgate tariff add NAME FILE\n')
    const rows = tariffs.flatMap(({ tariffId, versions }) => versions.map(({ version, validFrom, definition }) => [
      tariffId, String(version), validFrom?.toISOString().slice(0, 16) ?? 'always', definition.currency, definition.components.map(({ kind }) => kind).join(', '),
    ]))
    process.stdout.write(textTable(['tariff', 'version', 'from', 'currency', 'components'], rows, [24, 7, 16, 8, 40]))
    for (const { clientId, tariffId, from, upto } of assignments) {
      process.stdout.write(`${clientId} carries ${tariffId} ${from === null ? 'always' : `from ${from.toISOString()}`}${upto === null ? '' : ` up to ${upto.toISOString()}`}\n`)
    }
  })
}

/** A new tariff, or with `from` a new version of one. */
export async function addTariff(configured: Config, asked: Common & { tariffId: string; file: string; from: string | null }): Promise<void> {
  const definition = readTariff(asked.file)
  await withCommandDatabase(configured, asked, async ({ database, config }) => {
    const { tariffId, from } = asked
    const { version, validFrom } = await addTariffVersion({ database, tenantId: config.tenant }, { tariffId, definition, from, by }).catch(usedWrongly)
    await recordAudit(database, config.tenant, { actor: by, action: version === 1 ? 'tariff.added' : 'tariff.version-added', subject: tariffId, detail: { version, from } })
    process.stdout.write(`Version ${version} of ${tariffId} holds ${validFrom === null ? 'from the beginning of time' : `from ${validFrom.toISOString()}`}.\n`)
  })
}

export async function giveTariff(configured: Config, asked: Common & { clientId: string; tariffId: string | null; from: string | null }): Promise<void> {
  await withCommandDatabase(configured, asked, async ({ database, config }) => {
    const assignments = await assignTariff({ database, tenantId: config.tenant }, { ...asked, by }).catch(usedWrongly)
    await recordAudit(database, config.tenant, { actor: by, action: 'tariff.assigned', subject: asked.clientId, detail: { tariffId: asked.tariffId, from: asked.from } })
    for (const { clientId, tariffId, from, upto } of assignments) {
      process.stdout.write(`${clientId} carries ${tariffId} ${from === null ? 'always' : `from ${from.toISOString()}`}${upto === null ? '' : ` up to ${upto.toISOString()}`}\n`)
    }
    if (assignments.length === 0) process.stdout.write(`${asked.clientId} carries no tariff of its own.\n`)
  })
}

export async function simulate(
  configured: Config,
  asked: Common & { period: string; tariffId: string | null; file: string | null; clientId: string | null; format: Format },
): Promise<void> {
  if (asked.file === null && asked.tariffId === null) throw new UsageError('Name a tariff with --tariff, or a file with --file.')
  const draft = asked.file === null ? null : readTariff(asked.file)
  await withCommandDatabase(configured, asked, async ({ database, config }) => {
    const store = { database, tenantId: config.tenant }
    const tariff = asked.tariffId ?? 'draft'
    const definition = draft ?? (await listTariffs(store)).find(({ tariffId }) => tariffId === tariff)?.versions.at(-1)!.definition
    if (definition === undefined) throw new UsageError(`There is no tariff "${tariff}": tollgate tariff list shows them, or write one and name it with --file.`)
    const simulation = await simulateTariff({ ...store, period: asked.period, tariff, definition, clientId: asked.clientId }).catch(usedWrongly)
    const result = simulationResult(asked.period, simulation)
    if (asked.format === 'json') return void process.stdout.write(`${JSON.stringify(result)}\n`)
    const rows = result.clients.map(({ clientId, now, then, difference }) => [clientId, now?.total ?? '-', then?.total ?? '-', difference])
    process.stdout.write(textTable(['client', 'now', 'then', 'difference'], [...rows, ['all', result.totalNow, result.totalThen, '']], [32, 16, 16, 16]))
    process.stderr.write(`${asked.period}, in ${result.currency}, tax included. Nothing was changed.\n`)
  })
}

function readTariff(file: string): TariffDefinition {
  let value: unknown
  try {
    value = parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`${file}: ${(error as Error).message}`)
  }
  const faults = faultsOfTariff(value)
  if (faults.length > 0) throw new UsageError(faults.map((fault) => `${file}: ${fault}.`))
  return value as TariffDefinition
}

function usedWrongly(error: unknown): never {
  if (error instanceof TariffRefusal || error instanceof RangeError) throw new UsageError(`${error.message}.`)
  throw error
}
