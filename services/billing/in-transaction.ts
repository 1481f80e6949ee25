/** One database transaction on a connection of its own; inside it only `transaction` is in scope. */
import type pg from 'pg'
import type { Database } from '../database/open-database.ts'

export type SqlTransaction = pg.PoolClient

export async function inTransaction<Result>(
  database: Database,
  work: (transaction: SqlTransaction) => Promise<Result>,
): Promise<Result> {
  const client = await database.pool.connect()
  let broken: Error | undefined
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch((reason: Error) => {
      broken = reason
    })
    throw error
  } finally {
    client.release(broken)
  }
}
