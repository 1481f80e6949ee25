/** `tollgate db migrate | status`. */
import { migrate, migrationStatus } from '../database/migrate.ts'
import { dueRemovals, listPartitions, type Partition } from '../database/retention/partition-list.ts'
import { retentionPolicyOf } from '../database/retention/retention-policy.ts'
import type { Database } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'

export async function migrateDatabase(configured: Config, isDemo: boolean): Promise<void> {
  const applied = await withCommandDatabase(configured, { isDemo }, ({ config }) => migrate(config.database))
  process.stdout.write(applied.length === 0 ? 'Nothing to do.\n' : applied.map((name) => `applied ${name}\n`).join(''))
}

export async function showDatabaseStatus(configured: Config, isDemo: boolean): Promise<void> {
  await withCommandDatabase(configured, { isDemo }, async ({ config, database }) => {
    const statuses = await migrationStatus(config.database)
    for (const { name, appliedAt } of statuses) {
      process.stdout.write(`${name.padEnd(40)} ${appliedAt === null ? 'missing: run `tollgate db migrate`' : appliedAt.toISOString()}\n`)
    }
    if (statuses.every(({ appliedAt }) => appliedAt !== null)) await showPartitions(config, database)
  })
}

/** The months with their sizes, and what retention removes next by the configuration as it is now. */
async function showPartitions(config: Config, database: Database): Promise<void> {
  const partitions = await listPartitions(database)
  const months = new Map<string, Partition[]>()
  for (const partition of partitions) {
    const month = monthText(partition.monthStart)
    months.set(month, [...(months.get(month) ?? []), partition])
  }
  process.stdout.write(partitions.length === 0 ? '\nThere are no partitions yet.\n' : '\nPartitions (UTC months, with indexes):\n')
  for (const [month, ofMonth] of months) {
    const largest = ofMonth.toSorted((one, other) => Number(other.sizeBytes - one.sizeBytes)).slice(0, 3)
    const parts = largest.map(({ table, sizeBytes }) => `${table} ${sizeText(sizeBytes)}`).join(', ')
    process.stdout.write(`${month}  ${sizeText(sumOf(ofMonth)).padStart(9)}  ${ofMonth.length} tables: ${parts}${largest.length < ofMonth.length ? ', …' : ''}\n`)
  }
  const due = dueRemovals(partitions, retentionPolicyOf(config.retention))
  process.stdout.write(due.length === 0 ? '\nRetention removes nothing: everything is kept for ever.\n' : '\nRetention removes next:\n')
  for (const { kind, monthStart, at } of due.slice(0, removalsShown)) {
    const when = at.getTime() <= Date.now() ? 'now due (the worker removes it)' : `from ${at.toISOString().slice(0, 10)}`
    process.stdout.write(`${monthText(monthStart)}  ${kind.padEnd(8)}  ${when}\n`)
  }
}

const removalsShown = 6

function monthText(monthStart: Date): string {
  return monthStart.toISOString().slice(0, 7)
}

function sumOf(partitions: readonly Partition[]): bigint {
  return partitions.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n)
}

function sizeText(sizeBytes: bigint): string {
  const mega = Number(sizeBytes) / 1_000_000
  return mega < 10_000 ? `${mega.toFixed(1)} MB` : `${(mega / 1_000).toFixed(1)} GB`
}
