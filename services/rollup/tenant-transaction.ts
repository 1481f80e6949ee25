/** A transaction under the lock of a tenant's rollups: one at a time rolls, rebuilds or lets raw rows go. */
import type pg from 'pg'
import type { Database } from '../database/open-database.ts'

export async function inTenantTransaction<Result>(
  database: Database,
  tenantId: string,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await database.pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    await client.query(`select pg_advisory_xact_lock(hashtext('tollgate rollup'), hashtext($1))`, [tenantId])
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    failure = error as Error
    await client.query('rollback').catch(() => {})
    throw error
  } finally {
    client.release(failure)
  }
}
