/**
 * Keeps the partitions ahead of time, and removes what is past its date.
 *
 * Owns    when: at the start, and each hour; a look that was held up is repeated after a minute.
 * Fails   Postgres away: waits and looks again. What retention leaves undone is logged, and nothing else waits for it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../../kit/config.ts'
import type { Logger } from '../../kit/operator-log.ts'
import type { RunningService } from '../../kit/running-service.ts'
import { isDatabaseUnavailable, type Database } from '../open-database.ts'
import { removeExpired } from './retention-pass.ts'
import { retentionPolicyOf, storeRetentionPolicy } from './retention-policy.ts'

export type RetentionOptions = { config: Config; database: Database; log: Logger }

export const monthsAhead = 3
const betweenLooksMs = 3_600_000
const retryMs = 60_000

export function startRetention(options: RetentionOptions): RunningService {
  const stopping = new AbortController()
  const ended = keepLooking(options, stopping.signal)
  return {
    stop: async () => {
      stopping.abort()
      await ended
    },
  }
}

async function keepLooking(options: RetentionOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    let waitMs = retryMs
    try {
      if (await look(options, signal)) waitMs = betweenLooksMs
    } catch (error) {
      if (!isDatabaseUnavailable(error)) throw error
      options.log.warn({ err: error }, 'retention waits for the database')
    }
    await sleep(waitMs, undefined, { signal }).catch(() => {})
  }
}

/** Whether nothing was held up. */
async function look({ config, database, log }: RetentionOptions, signal: AbortSignal): Promise<boolean> {
  const isAhead = await ensureAhead(database)
  if (!isAhead) log.warn('the partitions of the next months could not be made for now: something reads for long')
  await storeRetentionPolicy(database, config.tenant, retentionPolicyOf(config.retention))
  const { removed, held } = await removeExpired({ database, tenantId: config.tenant, signal })
  for (const { kind, monthStart, rowCount } of removed) {
    log.info({ kind, month: monthText(monthStart), ...(rowCount === null ? {} : { rowCount: String(rowCount) }) }, 'removed by retention')
  }
  for (const { kind, monthStart, reason } of held) {
    log.warn(
      { kind, month: monthText(monthStart) },
      reason === 'locked' ? 'retention waits for a reader' : 'retention waits: not all of it is metered and in the totals',
    )
  }
  return isAhead && held.length === 0
}

/** Makes what is missing of this month and the next ones; gives up where a lock cannot be had soon. */
export async function ensureAhead(database: Database): Promise<boolean> {
  const client = await database.pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    await client.query(`set local lock_timeout = '800ms'`)
    await client.query(`select ensure_partitions(now(), now() + make_interval(months => $1))`, [monthsAhead])
    await client.query('commit')
    return true
  } catch (error) {
    failure = await client.query('rollback').then(() => undefined, () => error as Error)
    if (['55P03', '40P01'].includes(String((error as { code?: unknown }).code))) return false
    throw error
  } finally {
    client.release(failure)
  }
}

function monthText(monthStart: Date | null): string | undefined {
  return monthStart?.toISOString().slice(0, 7)
}
