/**
 * The usage report: what a period's mail adds up to, by client, recipient, day, domain or direction.
 *
 * Owns    one read-only transaction a report: totals and rows are of the same moment, however long reading takes.
 * Leaves  how figures are made to usage-rolled-rows.sql where the period is summed up, else to usage-rows.sql: the
 *         same rows either way; files to write-usage.ts.
 * Limits  memory is one batch of rows; the rows can be read once. A report that is not read to its end must be
 *         closed, else it keeps its connection.
 * Fails   a label that is no month, or a client that does not exist, is a RangeError with the remedy in it.
 */
import type { UsageRow } from '../contracts/api.ts'
import { calendarDays, type Period } from '../contracts/period.ts'
import type { MeteringMode } from '../contracts/vocabulary.ts'
import type { Database } from '../database/open-database.ts'
import { policyAt, requiredPolicies, type BillingPolicy } from './billing-policy.ts'
import { billingPeriod } from './billing-period.ts'
import type { SqlTransaction } from './in-transaction.ts'
import { sqlStatement } from './sql-statement.ts'
import { isUsageRolled } from './usage-rollup.ts'

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
  /** Read the entries also where their sums are at hand: for holding one against the other. */
  readsEntries?: boolean
}

/** A way of counting, from a time on. */
export type ModeSpan = { mode: MeteringMode; from: Date }

export type UsageReport = {
  period: Period
  by: UsageGrouping
  clientId: string | null
  /** The mode that was asked for, else the one in force at the end of the period. */
  mode: MeteringMode
  /** What the rows are counted by: more than one where the policy changed within the period. */
  modeSpans: ModeSpan[]
  unitBytes: number
  /** Of what is billed; both ways of counting, whatever the mode. */
  totals: { fullBytes: string; splitBytes: string; messageCount: string }
  /** Ingested and not yet metered: the report is final for what is metered. */
  unmeteredBatchCount: number
  /** In stable order; closes the report at the end. */
  rows: AsyncIterable<UsageRow>
  /** The same rows, some thousand at a time. */
  batches: AsyncIterable<UsageRow[]>
  /** For a report that is not read to the end; more than once does no harm. */
  close(): Promise<void>
}

const rowsPerBatch = 2_000
const usageRowsSql = sqlStatement('usage-rows.sql')
const usageTotalsSql = sqlStatement('usage-totals.sql')
const rolledRowsSql = sqlStatement('usage-rolled-rows.sql')
const rolledTotalsSql = sqlStatement('usage-rolled-totals.sql')

export async function usageReport(options: UsageOptions): Promise<UsageReport> {
  const { tenantId, by } = options
  const clientId = options.clientId ?? null
  const client = await options.database.pool.connect()
  let closed: Promise<void> | null = null
  const close = () => (closed ??= endReading(client))
  try {
    await client.query('begin transaction isolation level repeatable read read only')
    const policies = await requiredPolicies(client, tenantId)
    const period = billingPeriod(policies, options.period)
    await refuseUnknownClient(client, tenantId, clientId)
    const modeSpans =
      options.mode === undefined ? modeSpansIn(policies, period) : [{ mode: options.mode, from: period.from }]
    const isRolled = options.readsEntries !== true && (await isUsageRolled(client, tenantId, period))
    const totals = isRolled
      ? await client.query<UsageReport['totals']>(rolledTotalsSql, [tenantId, period.label, clientId])
      : await client.query<UsageReport['totals']>(usageTotalsSql, [tenantId, period.from, period.upto, clientId])
    const unmetered = await client.query<{ count: number }>(unmeteredCountSql, [tenantId])
    const days = calendarDays(period)
    const dayLabels = days.map((day) => day.label)
    // All rows will be read: the plan that is fastest to the first one would be the wrong one.
    await client.query('set local cursor_tuple_fraction = 1')
    if (isRolled) {
      await client.query(`declare usage_row no scroll cursor for ${rolledRowsSql}`, [
        tenantId,
        period.label,
        grainOf(by, clientId),
        by,
        clientId,
        dayLabels,
        options.mode ?? null,
      ])
    } else {
      await client.query(`declare usage_row no scroll cursor for ${usageRowsSql}`, [
        tenantId,
        period.from,
        period.upto,
        by,
        clientId,
        days.map((day) => day.from),
        dayLabels,
        modeSpans.map((span) => span.from),
        modeSpans.map((span) => span.mode),
      ])
    }
    const batches = readBatches(client, close)
    return {
      period,
      by,
      clientId,
      mode: modeSpans.at(-1)!.mode,
      modeSpans,
      unitBytes: policyAt(policies, period.from).unitBytes,
      totals: totals.rows[0]!,
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

/** Where the sums of a grouping stand: of one client, in a grain of its own. */
function grainOf(by: UsageGrouping, clientId: string | null): string {
  if (clientId === null || by === 'client' || by === 'recipient') return by
  return by === 'direction' ? 'client' : `client-${by}`
}

async function* readBatches(client: SqlTransaction, close: () => Promise<void>): AsyncGenerator<UsageRow[]> {
  try {
    for (;;) {
      const { rows } = await client.query<UsageRow>(`fetch ${rowsPerBatch} from usage_row`)
      if (rows.length > 0) yield rows
      if (rows.length < rowsPerBatch) return
    }
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

function modeSpansIn(policies: readonly BillingPolicy[], period: Period): ModeSpan[] {
  const spans: ModeSpan[] = [{ mode: policyAt(policies, period.from).mode, from: period.from }]
  for (const policy of policies) {
    if (policy.validFrom === null || policy.validFrom <= period.from || policy.validFrom >= period.upto) continue
    if (policy.mode !== spans.at(-1)!.mode) spans.push({ mode: policy.mode, from: policy.validFrom })
  }
  return spans
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
