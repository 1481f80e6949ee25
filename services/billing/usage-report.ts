/**
 * The usage report: what a period's mail adds up to, by client, recipient, day, domain or direction.
 *
 * Owns    one read-only transaction a report: totals and rows are of the same moment, however long reading takes.
 * Leaves  how figures are made to usage-cursor.ts, the comparison to compared-rows.ts, files to write-usage.ts.
 * Limits  memory is one batch of rows; the rows can be read once. A report that is not read to its end must be
 *         closed, else it keeps its connection.
 * Fails   a label that is no month, or a client that does not exist, is a RangeError with the remedy in it.
 */
import type { UsageRow } from '../contracts/api.ts'
import { previousMonthLabel, type Period } from '../contracts/period.ts'
import type { MeteringMode } from '../contracts/vocabulary.ts'
import type { Database } from '../database/open-database.ts'
import { policyAt, requiredPolicies } from './billing-policy.ts'
import { billingPeriod } from './billing-period.ts'
import { comparedRows } from './compared-rows.ts'
import type { SqlTransaction } from './in-transaction.ts'
import { Fetches, openPeriod } from './usage-cursor.ts'

export type UsageGrouping = 'client' | 'recipient' | 'day' | 'domain' | 'direction'

export type UsageOptions = {
  database: Database
  tenantId: string
  /** Label, e.g. `2026-11`. */
  period: string
  by: UsageGrouping
  /** Default: what the policy says at the time of each message. */
  mode?: MeteringMode | undefined
  /** Only this client; `house` for what nobody holds. */
  clientId?: string | undefined
  /** Each row with the figures of the month before beside its own. */
  compare?: 'previous' | undefined
  /** Read the entries also where their sums are at hand: for holding one against the other. */
  readsEntries?: boolean
}

/** A way of counting, from a time on. */
export type ModeSpan = { mode: MeteringMode; from: Date }

/** Of what is billed; both ways of counting, whatever the mode. */
export type UsageTotals = { fullBytes: string; splitBytes: string; messageCount: string }

export type UsageReport = {
  period: Period
  by: UsageGrouping
  clientId: string | null
  /** The mode that was asked for, else the one in force at the end of the period. */
  mode: MeteringMode
  /** What the rows are counted by: more than one where the policy changed within the period. */
  modeSpans: ModeSpan[]
  unitBytes: number
  /** That of the tenant in this period. */
  currency: string
  totals: UsageTotals
  /** The period before, where it was asked for. */
  previous: { period: Period; modeSpans: ModeSpan[]; totals: UsageTotals } | null
  /** Ingested and not yet metered: the report is final for what is metered. */
  unmeteredBatchCount: number
  /** In stable order; closes the report at the end. */
  rows: AsyncIterable<UsageRow>
  /** The same rows, some thousand at a time. */
  batches: AsyncIterable<UsageRow[]>
  /** For a report that is not read to the end; more than once does no harm. */
  close(): Promise<void>
}

export async function usageReport(options: UsageOptions): Promise<UsageReport> {
  const { tenantId, by } = options
  const clientId = options.clientId ?? null
  const client = await options.database.pool.connect()
  let closed: Promise<void> | null = null
  const fetches = new Fetches(client)
  const close = () => (closed ??= fetches.settled().then(async () => await endReading(client)))
  try {
    await client.query('begin transaction isolation level repeatable read read only')
    const policies = await requiredPolicies(client, tenantId)
    const period = billingPeriod(policies, options.period)
    await refuseUnknownClient(client, tenantId, clientId)
    const asked = { tenantId, by, mode: options.mode, clientId, readsEntries: options.readsEntries ?? false }
    const usage = await openPeriod(client, fetches, policies, { ...asked, period, cursor: 'usage_row' })
    let previous: UsageReport['previous'] = null
    let rows = usage.batches
    if (options.compare === 'previous') {
      const before = billingPeriod(policies, previousMonthLabel(period.label))
      const cursor = 'previous_usage_row'
      const beforeUsage = await openPeriod(client, fetches, policies, { ...asked, period: before, cursor })
      previous = { period: before, modeSpans: beforeUsage.modeSpans, totals: beforeUsage.totals }
      rows = comparedRows(usage.batches, beforeUsage.batches)
    }
    const unmetered = await client.query<{ count: number }>(unmeteredCountSql, [tenantId])
    const batches = closedAtEnd(rows, close)
    const { unitBytes, currency } = policyAt(policies, period.from)
    return {
      period,
      by,
      clientId,
      mode: usage.modeSpans.at(-1)!.mode,
      modeSpans: usage.modeSpans,
      unitBytes,
      currency,
      totals: usage.totals,
      previous,
      unmeteredBatchCount: unmetered.rows[0]!.count,
      rows: flattened(batches),
      batches,
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

const unmeteredCountSql = `
  select count(*)::int as count from ingest_batch b
  where tenant_id = $1 and transaction_count > 0
    and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)`

async function* closedAtEnd(
  batches: AsyncIterable<UsageRow[]>,
  close: () => Promise<void>,
): AsyncGenerator<UsageRow[]> {
  try {
    yield* batches
  } finally {
    await close()
  }
}

async function* flattened(batches: AsyncIterable<UsageRow[]>): AsyncGenerator<UsageRow> {
  for await (const batch of batches) yield* batch
}

/** A connection that fails at its end is thrown away, not given to the next one. */
async function endReading(client: SqlTransaction): Promise<void> {
  try {
    await client.query('rollback')
    client.release()
  } catch (error) {
    client.release(error as Error)
  }
}

async function refuseUnknownClient(client: SqlTransaction, tenantId: string, clientId: string | null): Promise<void> {
  if (clientId === null || clientId === 'house') return
  const { rowCount } = await client.query(
    `select from client where tenant_id = $1 and client_id = $2
     union all (select from network_client where tenant_id = $1 and client_id = $2 limit 1)`,
    [tenantId, clientId],
  )
  if (rowCount === 0)
    throw new RangeError(`There is no client "${clientId}": see the ids in the directory, or write house`)
}
