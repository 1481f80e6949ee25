/**
 * Forward-only migrations: migrations/NNNN_name.sql, each applied once, in order, in a transaction of its own.
 *
 * Owns    the table `migration`.
 * Fails   a file that was changed after it was applied, or a database that knows a newer one, stops with a sentence
 *         that names the file; nothing is applied then.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import type pg from 'pg'
import { packageRoot } from '../kit/package-root.ts'
import { openDatabase } from './open-database.ts'

export type MigrationStatus = { name: string; appliedAt: Date | null }

/** Applies what is missing; concurrent callers wait for each other. Returns the names that were applied. */
export async function migrate(url: string): Promise<string[]> {
  const files = await migrationFiles()
  return await asOwner(url, async (client) => {
    await client.query(`select pg_advisory_lock(hashtext('tollgate migrate'))`)
    try {
      await client.query(`create table if not exists migration (
        name text primary key, sha256 text not null, applied_at timestamptz not null default now())`)
      const applied = await appliedMigrations(client)
      refuseForeign(files, applied)
      const missing = files.filter((file) => !applied.has(file.name))
      for (const file of missing) await applyOne(client, file)
      return missing.map((file) => file.name)
    } finally {
      await client.query(`select pg_advisory_unlock(hashtext('tollgate migrate'))`)
    }
  })
}

export async function migrationStatus(url: string): Promise<MigrationStatus[]> {
  const files = await migrationFiles()
  return await asOwner(url, async (client) => {
    const { rows } = await client.query<{ present: boolean }>(`select to_regclass('migration') is not null as present`)
    const applied = rows[0]?.present === true ? await appliedMigrations(client) : new Map<string, AppliedMigration>()
    return files.map((file) => ({ name: file.name, appliedAt: applied.get(file.name)?.applied_at ?? null }))
  })
}

type MigrationFile = { name: string; sql: string; sha256: string }
type AppliedMigration = { name: string; sha256: string; applied_at: Date }

async function migrationFiles(): Promise<MigrationFile[]> {
  const folder = path.join(packageRoot, 'migrations')
  const names = (await readdir(folder)).filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name)).sort()
  return await Promise.all(
    names.map(async (name) => {
      const sql = await readFile(path.join(folder, name), 'utf8')
      return { name, sql, sha256: createHash('sha256').update(sql).digest('hex') }
    }),
  )
}

async function appliedMigrations(client: pg.PoolClient): Promise<Map<string, AppliedMigration>> {
  const { rows } = await client.query<AppliedMigration>('select name, sha256, applied_at from migration')
  return new Map(rows.map((row) => [row.name, row]))
}

function refuseForeign(files: MigrationFile[], applied: Map<string, AppliedMigration>): void {
  const known = new Map(files.map((file) => [file.name, file]))
  for (const row of applied.values()) {
    const file = known.get(row.name)
    if (file === undefined) {
      throw new Error(`The database was migrated by a newer Tollgate (${row.name}): start that version, or a newer one`)
    }
    if (file.sha256 !== row.sha256) {
      throw new Error(`migrations/${row.name} is not the file that this database was migrated with: restore it`)
    }
  }
}

async function applyOne(client: pg.PoolClient, file: MigrationFile): Promise<void> {
  await client.query('begin')
  try {
    await client.query(file.sql)
    await client.query('insert into migration (name, sha256) values ($1, $2)', [file.name, file.sha256])
    await client.query('commit')
  } catch (error) {
    await client.query('rollback')
    throw new Error(`migrations/${file.name} failed: ${(error as Error).message}`, { cause: error })
  }
}

async function asOwner<Result>(url: string, work: (client: pg.PoolClient) => Promise<Result>): Promise<Result> {
  const database = openDatabase(url, { applicationName: 'tollgate migrate', role: 'owner', maxConnections: 1 })
  try {
    const client = await database.pool.connect()
    try {
      return await work(client)
    } finally {
      client.release()
    }
  } finally {
    await database.close()
  }
}
