/** The demo's own database on a server that the configuration names: `tollgate_demo`, never another. */
import pg from 'pg'
import { ensureDatabase } from '../database/embedded-postgres.ts'
import { demoDatabaseName } from '../demo/demo-config.ts'

/** The URL of the demo's database on the same server; `embedded` stays what it is. */
export function demoDatabase(database: string): string {
  if (database === 'embedded') return database
  const url = new URL(database)
  url.pathname = `/${demoDatabaseName}`
  return url.href
}

/** `database` is the configured URL, whose own database is only used to log in. */
export async function makeDemoDatabase(database: string): Promise<void> {
  if (database !== 'embedded') await ensureDatabase(database, demoDatabaseName)
}

export async function dropDemoDatabase(database: string): Promise<void> {
  if (database === 'embedded') return
  const client = new pg.Client({ connectionString: database })
  await client.connect()
  try {
    await client.query(`drop database if exists ${pg.escapeIdentifier(demoDatabaseName)}`)
  } finally {
    await client.end()
  }
}
