/** `tollgate db migrate | status`. */
import { migrate, migrationStatus } from '../database/migrate.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'

export async function migrateDatabase(configured: Config, isDemo: boolean): Promise<void> {
  const applied = await withCommandDatabase(configured, { isDemo }, ({ config }) => migrate(config.database))
  process.stdout.write(applied.length === 0 ? 'Nothing to do.\n' : applied.map((name) => `applied ${name}\n`).join(''))
}

export async function showDatabaseStatus(configured: Config, isDemo: boolean): Promise<void> {
  const statuses = await withCommandDatabase(configured, { isDemo }, ({ config }) => migrationStatus(config.database))
  for (const { name, appliedAt } of statuses) {
    process.stdout.write(`${name.padEnd(40)} ${appliedAt === null ? 'missing: run `tollgate db migrate`' : appliedAt.toISOString()}\n`)
  }
}
