/**
 * Backtests as jobs: started, followed, cancelled, and found again after a restart.
 *
 * Owns    the tables `backtest` and `backtest_message`; one running job a tenant, whichever process runs it.
 * Limits  the newest `keptJobs` of a tenant stay; older ones go when one is started.
 * Fails   a process that dies leaves a row that says it runs. The job held an advisory lock on its connection, and
 *         Postgres frees it with that: whoever looks next finds it free and marks the row interrupted.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { sql } from 'kysely'
import type pg from 'pg'
import type { Database } from '../../database/open-database.ts'
import type { Clock } from '../../kit/clock.ts'
import { compileRuleset } from '../../rules/compile-ruleset.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { runBacktest, type BacktestProgress, type FoundDifference } from './run-backtest.ts'

const keptJobs = 20
const progressEveryMs = 250
const mostTries = 40
const retryMs = 50

export type BacktestJobsOptions = {
  database: Database
  tenantId: string
  clock: Clock
  /** A job ended by a failure of the world. */
  onFailure: (error: unknown) => void
}

export type WantedBacktest = { ruleset: Ruleset; fromMs: number; uptoMs: number; createdBy: string }

export class BacktestJobs {
  readonly #options: BacktestJobsOptions
  readonly #running = new Map<string, { abort: AbortController; end: Promise<void> }>()

  constructor(options: BacktestJobsOptions) {
    this.#options = options
  }

  /** The id of the job, which then runs; `null` where one is running already. */
  async start(wanted: WantedBacktest): Promise<string | null> {
    await this.settleInterrupted()
    let client = await this.#lockedClient()
    for (let tries = 0; client === null; tries += 1) {
      // A job that has told its end holds the lock for a moment longer.
      if (tries === mostTries || (await this.#runningId()) !== null) return null
      await delay(retryMs)
      client = await this.#lockedClient()
    }
    try {
      const id = randomUUID()
      await this.#insert(id, wanted)
      const abort = new AbortController()
      const end = this.#run(id, wanted, abort.signal)
        .catch((error: unknown) => this.#options.onFailure(error))
        .finally(() => this.#unlock(client))
        .finally(() => this.#running.delete(id))
      this.#running.set(id, { abort, end })
      return id
    } catch (error) {
      await this.#unlock(client)
      throw error
    }
  }

  /** Asks a job to end; `false` where it runs in no process, or in another one, which the row then tells. */
  async cancel(id: string): Promise<boolean> {
    const job = this.#running.get(id)
    if (job === undefined) return false
    job.abort.abort()
    await job.end
    return true
  }

  /** Ends the jobs of this process, as a cancel does. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.cancel(id)))
  }

  /** Marks what a dead process left behind. */
  async settleInterrupted(): Promise<void> {
    const { database, tenantId } = this.#options
    const id = await this.#runningId()
    if (id === null || this.#running.has(id)) return
    const client = await this.#lockedClient()
    if (client === null) return
    try {
      await sql`update backtest set state = 'interrupted', finished_at = now()
        where tenant_id = ${tenantId} and state = 'running' and backtest_id = ${id}::uuid`.execute(database.kysely)
    } finally {
      await this.#unlock(client)
    }
  }

  async #runningId(): Promise<string | null> {
    const { database, tenantId } = this.#options
    const { rows } = await sql<{ id: string }>`
      select backtest_id as id from backtest where tenant_id = ${tenantId} and state = 'running'`.execute(
      database.kysely,
    )
    return rows[0]?.id ?? null
  }

  async #run(id: string, { ruleset, fromMs, uptoMs }: WantedBacktest, signal: AbortSignal): Promise<void> {
    const { database, tenantId, clock } = this.#options
    let toldMs = -Infinity
    try {
      const { result, watermark } = await runBacktest({
        database,
        tenantId,
        rules: compileRuleset(ruleset),
        fromMs,
        uptoMs,
        signal,
        onProgress: async (progress) => {
          const nowMs = clock.monotonicUs() / 1_000
          if (nowMs - toldMs < progressEveryMs) return
          toldMs = nowMs
          await this.#tellProgress(id, progress)
        },
        onDifferences: (found) => this.#store(id, found),
      })
      await this.#finish(id, result === null ? 'cancelled' : 'done', { result, watermark })
    } catch (error) {
      await this.#finish(id, 'failed', { fault: (error as Error).message })
      throw error
    }
  }

  async #insert(id: string, { ruleset, fromMs, uptoMs, createdBy }: WantedBacktest): Promise<void> {
    const { database, tenantId } = this.#options
    await sql`insert into backtest (tenant_id, backtest_id, created_at, created_by, state, from_time, upto_time, ruleset_hash, ruleset)
      values (${tenantId}, ${id}, ${new Date(this.#options.clock.nowMs())}, ${createdBy}, 'running', ${new Date(fromMs)},
        ${new Date(uptoMs)}, ${compileRuleset(ruleset).hash}, ${JSON.stringify(ruleset)})`.execute(database.kysely)
    await sql`delete from backtest where tenant_id = ${tenantId} and state <> 'running' and backtest_id in
      (select backtest_id from backtest where tenant_id = ${tenantId}
       order by created_at desc, backtest_id desc offset ${keptJobs})`.execute(database.kysely)
  }

  async #tellProgress(id: string, { doneCount, totalCount, watermark }: BacktestProgress): Promise<void> {
    const { database, tenantId } = this.#options
    await sql`update backtest set done_count = ${doneCount}, total_count = ${totalCount}, watermark = ${watermark}
      where tenant_id = ${tenantId} and backtest_id = ${id}`.execute(database.kysely)
  }

  async #store(id: string, found: readonly FoundDifference[]): Promise<void> {
    const { database, tenantId } = this.#options
    await sql`insert into backtest_message (tenant_id, backtest_id, cell, id_time, transaction_id)
      select ${tenantId}, ${id}::uuid, f.cell, f.id_time, f.transaction_id
      from unnest(${found.map(({ cell }) => cell)}::text[], ${found.map(({ idTime }) => idTime)}::timestamptz[],
        ${found.map(({ transactionId }) => transactionId)}::uuid[]) as f (cell, id_time, transaction_id)`.execute(
      database.kysely,
    )
  }

  async #finish(
    id: string,
    state: 'done' | 'cancelled' | 'failed',
    {
      result = null,
      watermark = null,
      fault = null,
    }: { result?: object | null; watermark?: bigint | null; fault?: string | null },
  ): Promise<void> {
    const { database, tenantId } = this.#options
    await sql`update backtest set state = ${state}, finished_at = ${new Date(this.#options.clock.nowMs())}, fault = ${fault},
      result = ${result === null ? null : JSON.stringify(result)}, watermark = coalesce(${watermark}, watermark),
      done_count = case when ${state} = 'done' then total_count else done_count end
      where tenant_id = ${tenantId} and backtest_id = ${id} and state = 'running'`.execute(database.kysely)
  }

  /** A connection that holds the tenant's lock, or `null` where another one does. */
  async #lockedClient(): Promise<pg.PoolClient | null> {
    const client = await this.#options.database.pool.connect()
    try {
      const { rows } = await client.query<{ isLocked: boolean }>(
        `select pg_try_advisory_lock(hashtextextended($1, 0)) as "isLocked"`,
        [lockName(this.#options.tenantId)],
      )
      if (rows[0]!.isLocked) return client
    } catch (error) {
      client.release(error as Error)
      throw error
    }
    client.release()
    return null
  }

  async #unlock(client: pg.PoolClient): Promise<void> {
    await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [lockName(this.#options.tenantId)]).then(
      () => client.release(),
      // With the connection the lock goes too.
      (error: Error) => client.release(error),
    )
  }
}

function lockName(tenantId: string): string {
  return `tollgate backtest ${tenantId}`
}
