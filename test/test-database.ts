/** A migrated database for one test file, cloned from the template in some 50 ms. */
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { openDatabase, type Database } from '../services/database/open-database.ts'

export type TestDatabase = {
  url: string
  database: Database
  /** Closes the connections and removes the database. */
  drop(): Promise<void>
}

export async function createTestDatabase(): Promise<TestDatabase> {
  const pattern = inject('postgresUrlPattern')
  const name = `test_${randomBytes(8).toString('hex')}`
  await asAdministrator(pattern, `create database ${name} template tollgate_template strategy file_copy`)
  const url = pattern.replace('%s', name)
  const database = openDatabase(url, { applicationName: `tollgate test ${name}` })
  return {
    url,
    database,
    drop: async () => {
      await database.close()
      await asAdministrator(pattern, `drop database ${name} with (force)`)
    },
  }
}

async function asAdministrator(pattern: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: pattern.replace('%s', 'postgres') })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
