/** Whether ingest has read what this node's gateway wrote last. */
import { setTimeout as sleep } from 'node:timers/promises'
import { openDatabase } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'

/**
 * Waits until the `gateway.stopped` that was written after `since` is ingested, at most `withinMs`. False too where
 * the database does not answer: the log is durable, and the next start reads on.
 */
export async function isDrained(config: Config, since: Date, withinMs: number): Promise<boolean> {
  const database = openDatabase(config.database, { applicationName: 'tollgate up', maxConnections: 1 })
  try {
    for (let waitedMs = 0; waitedMs < withinMs; waitedMs += pauseMs) {
      const row = await database.kysely
        .selectFrom('log_boot')
        .select('boot')
        .where('tenant_id', '=', config.tenant)
        .where('node', '=', config.node)
        .where('ended_cleanly', '=', true)
        .where('newest_at', '>=', since)
        .executeTakeFirst()
      if (row !== undefined) return true
      await sleep(pauseMs)
    }
    return false
  } catch {
    return false
  } finally {
    await database.close().catch(() => {})
  }
}

const pauseMs = 100
