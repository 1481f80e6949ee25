/**
 * Global set-up of the tests: one throw-away Postgres server, and in it one migrated template, from which each test
 * file clones databases of its own.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { ensureDatabase, startEmbeddedPostgres } from '../services/database/embedded-postgres.ts'
import { migrate } from '../services/database/migrate.ts'
import { endWithTests } from './end-with-tests.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** URL with the database name left as `%s`. */
    postgresUrlPattern: string
  }
}

export const templateName = 'tollgate_template'

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-test-'))
  const server = await startEmbeddedPostgres({ folder, isThrowAway: true })
  endWithTests(folder, server.pid, 'INT')
  await ensureDatabase(server.urlOf('postgres'), templateName)
  await migrate(server.urlOf(templateName))
  project.provide('postgresUrlPattern', server.urlOf('%s'))
  return async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}
