/**
 * The database of one data folder: the embedded server, or the one that the configuration names.
 *
 * Owns    starting, watching and restarting the embedded server; waiting for a named one.
 * Leaves  schema and tenant to prepare-database.ts.
 * Why     a named database that cannot be reached is an error where this folder never saw it (a wrong URL), and
 *         waited for where it did: after a power cut mail must flow before Postgres is back.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../database/embedded-postgres.ts'
import { isDatabaseUnavailable } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import { worldSentence } from './world-sentence.ts'

export type DatabaseServer = {
  /** Changes when an embedded server had to be started again. */
  url(): string
  stop(): Promise<void>
}

const embeddedFolder = (config: Config) => join(config.data, 'postgres')

/** `onMoved`: the embedded server died, runs again, and has another URL. */
export async function startDatabaseServer(config: Config, log: Logger, onMoved: () => void = () => {}): Promise<DatabaseServer> {
  if (config.database !== 'embedded') return { url: () => config.database, stop: async () => {} }
  let server = await startEmbeddedPostgres({ folder: embeddedFolder(config) })
  const ended = new AbortController()
  const watching = watch(() => server, ended.signal, async () => {
    log.error('the embedded database ended unexpectedly and is started again')
    server = await startEmbeddedPostgres({ folder: embeddedFolder(config) })
    log.info('the embedded database runs again')
    onMoved()
  }, log)
  return {
    url: () => server.url,
    stop: async () => {
      ended.abort()
      await watching
      await server.stop()
    },
  }
}

/** Whether there is an embedded database to start for a command while nothing runs. */
export function hasEmbeddedDatabase(config: Config): boolean {
  return existsSync(join(embeddedFolder(config), 'cluster', 'PG_VERSION'))
}

const watchEveryMs = 1_000

async function watch(server: () => EmbeddedPostgres, signal: AbortSignal, revive: () => Promise<void>, log: Logger): Promise<void> {
  while (!signal.aborted) {
    await sleep(watchEveryMs, undefined, { signal }).catch(() => {})
    if (signal.aborted || isRunning(server().pid)) continue
    try {
      await revive()
    } catch (error) {
      log.error({ err: error }, 'the embedded database does not start; trying again')
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
  // A child that ended and was not reaped yet still has its pid.
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

/** Does the work on the database, and again while a database that this folder knows is away. */
export async function withKnownDatabase<Result>(config: Config, log: Logger, signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
  const mark = join(config.data, 'known-database')
  const identity = identityOf(config.database)
  const isKnown = existsSync(mark) && readFileSync(mark, 'utf8').trim() === identity
  for (let pauseMs = 1_000; ; pauseMs = Math.min(pauseMs * 2, 30_000)) {
    try {
      const result = await work()
      if (!isKnown) writeFileSync(mark, `${identity}\n`, { mode: 0o600 })
      return result
    } catch (error) {
      if (!isKnown || !isDatabaseUnavailable(error) || signal.aborted) throw error
      log.error(`${worldSentence(error, config) ?? String(error)} Mail is accepted meanwhile; trying again in ${pauseMs / 1_000} s.`)
      await sleep(pauseMs, undefined, { signal }).catch(() => {})
    }
  }
}

/** Of host, port and database name: a new password is no new database. */
function identityOf(database: string): string {
  const url = URL.canParse(database) ? new URL(database) : null
  return createHash('sha256').update(url === null ? database : `${url.host}${url.pathname}`).digest('hex')
}
