/**
 * The rollup worker: keeps the derived counts up with the ingested batches, and drops totals past their date.
 *
 * Fails  while Postgres is away it waits and tries again; nothing is lost, since what is left to do stands in the
 *        tables.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { Config } from '../kit/config.ts'
import type { RunningService } from '../kit/running-service.ts'
import { isDatabaseUnavailable, type Database } from '../database/open-database.ts'
import { dropOldTotals } from './drop-old-totals.ts'
import { rollBatches } from './roll-batches.ts'

const idleMs = 1_000
const retryMs = 2_000
const betweenCleaningMs = 3_600_000

export async function startRollup(options: { config: Config; database: Database; log: Logger }): Promise<RunningService> {
  const stopping = new AbortController()
  const ended = keepRolling(options, stopping.signal)
  return {
    stop: async () => {
      stopping.abort()
      await ended
    },
  }
}

async function keepRolling(options: { config: Config; database: Database; log: Logger }, signal: AbortSignal): Promise<void> {
  const { config, database, log } = options
  let nextCleaning = 0
  while (!signal.aborted) {
    let waitMs = 0
    try {
      if (performance.now() >= nextCleaning) {
        await dropOldTotals(database, config.tenant)
        nextCleaning = performance.now() + betweenCleaningMs
      }
      if ((await rollBatches(database, config.tenant)) === 0) waitMs = idleMs
    } catch (error) {
      if (!isDatabaseUnavailable(error)) throw error
      log.warn({ error: (error as Error).message }, 'The rollups wait for the database')
      waitMs = retryMs
    }
    if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => {})
  }
}
