/** Resolves once some statement waits for an advisory lock, or once `work`, which should, has ended without. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../services/database/open-database.ts'

export async function waitingForLock(database: Database, work: Promise<unknown>): Promise<void> {
  let hasEnded = false
  const ended = () => {
    hasEnded = true
  }
  work.then(ended, ended)
  while (!hasEnded) {
    const { rowCount } = await database.pool.query(
      `select from pg_locks where locktype = 'advisory' and not granted
         and database = (select oid from pg_database where datname = current_database())`,
    )
    if (rowCount !== 0) return
    await sleep(10)
  }
}
