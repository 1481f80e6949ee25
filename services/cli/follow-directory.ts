/**
 * Takes clients and addresses over from the file of recipients.directory, now and whenever it changes, so that who
 * pays follows what the gateway accepts.
 *
 * Leaves  what a directory must be to services/billing; the gateway reads the same file by itself.
 * Why     polled like the gateway does: a file that is replaced by a rename, or lies on a share, gives no dependable
 *         notice.
 * Fails   a file with faults is logged once and not taken, the owners stay as they are. A database that is away is
 *         waited for. Never stops what it runs beside.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { DirectoryFault, importDirectory } from '../billing/import-directory.ts'
import { isDatabaseUnavailable, type Database } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import type { RunningService } from '../kit/running-service.ts'
import { readDirectory } from './read-directory.ts'

export type FollowDirectoryOptions = { config: Config; database: Database; log: Logger; everyMs?: number }

export function followDirectory({ config, database, log, everyMs = 2_000 }: FollowDirectoryOptions): RunningService {
  const path = config.recipients.directory
  if (path === undefined) return { stop: async () => {} }
  const stopping = new AbortController()
  const following = follow(path, config, database, log, everyMs, stopping.signal)
  return {
    stop: async () => {
      stopping.abort()
      await following
    },
  }
}

async function follow(path: string, config: Config, database: Database, log: Logger, everyMs: number, signal: AbortSignal): Promise<void> {
  let taken = ''
  while (!signal.aborted) {
    const stamp = stampOf(path)
    if (stamp !== '' && stamp !== taken) {
      try {
        await takeDirectory(path, config, database, log)
        taken = stamp
      } catch (error) {
        if (!isDatabaseUnavailable(error)) {
          log.error({ err: error }, `the clients of ${path} could not be taken over`)
          taken = stamp
        }
      }
    }
    await sleep(everyMs, undefined, { signal }).catch(() => {})
  }
}

function stampOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? '' : `${found.mtimeMs} ${found.size} ${found.ino}`
}

/** Needs the tenant and its billing policy to be there. */
export async function takeDirectory(path: string, config: Config, database: Database, log: Logger): Promise<void> {
  if (!existsSync(path)) return
  const reading = readDirectory(readFileSync(path, 'utf8'), path)
  if ('faults' in reading) return reading.faults.forEach((fault) => log.error(fault))
  try {
    const changes = await importDirectory({ database, tenantId: config.tenant, directory: reading.directory, at: new Date() })
    if (changes.length > 0) log.info(`clients and addresses are taken over from ${path} (${changes.length} changes)`)
  } catch (error) {
    if (!(error instanceof DirectoryFault)) throw error
    error.faults.forEach((fault) => log.error(`${path}: ${fault}`))
  }
}
