/**
 * Connections to Postgres.
 *
 * Owns    the pool, how values arrive, and the switch to the role that may not change append-only tables.
 * Fails   connecting is lazy: the first query of a database that is down rejects with `DatabaseUnavailable`-like
 *         pg errors, which `isDatabaseUnavailable` tells from our own mistakes; the caller's loop retries.
 */
import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import pg from 'pg'
import type { Tables } from './tables.ts'

export type Database = {
  kysely: Kysely<Tables>
  /** For COPY and for plain SQL files; a client taken from it must be released. */
  pool: pg.Pool
  close(): Promise<void>
}

export type DatabaseTransaction = Transaction<Tables>

export type OpenDatabaseOptions = {
  /** Shown in pg_stat_activity. */
  applicationName: string
  maxConnections?: number
  /** 0: no limit, the default. */
  statementTimeoutMs?: number
  /** `owner`: stay the role that logged in, for migrations. */
  role?: 'run' | 'owner'
}

export function openDatabase(url: string, options: OpenDatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: url,
    application_name: options.applicationName,
    max: options.maxConnections ?? 8,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    types: { getTypeParser: typeParserOf },
    onConnect: async (client) => {
      await client.query(`set timezone = 'UTC'`)
      await client.query(`set statement_timeout = ${Math.trunc(options.statementTimeoutMs ?? 0)}`)
      if (options.role !== 'owner') await client.query(becomeRunningRole)
    },
  })
  // An idle connection that breaks (Postgres restarted) is replaced at the next query; without a listener it would
  // end the process.
  pool.on('error', () => {})
  // Nor may one that breaks while it is held and between two queries: the next query on it rejects.
  pool.on('connect', (client) => void client.on('error', () => {}))
  const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
  let closed: Promise<void> | null = null
  // Not kysely.destroy(): that ends the pool only where Kysely itself has used it.
  return { kysely, pool, close: () => (closed ??= pool.end()) }
}

const becomeRunningRole = `
  select set_config('role', rolname, false) from pg_roles
  where rolname = 'tollgate_run' and pg_has_role(session_user, oid, 'member')`

const int8Oid = 20

/** int8 as bigint: counts, octets and money may pass 2^53. */
function typeParserOf(oid: number, format?: 'text' | 'binary') {
  if (oid === int8Oid && format !== 'binary') return BigInt
  return pg.types.getTypeParser(oid, format)
}

/** Whether an error says that Postgres cannot be reached or is going away: worth waiting and trying again. */
export function isDatabaseUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string') {
    if (/^(08...|57P0[1-5]|53300)$/.test(code)) return true
    if (['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'ENOENT', 'EHOSTUNREACH'].includes(code)) {
      return true
    }
  }
  if (error instanceof AggregateError) return error.errors.some(isDatabaseUnavailable)
  if (error.cause !== undefined) return isDatabaseUnavailable(error.cause)
  return /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(error.message)
}
