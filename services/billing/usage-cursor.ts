/**
 * The rows and totals of one period, read by a cursor in the transaction of a report.
 *
 * Leaves  how figures are made to usage-rolled-rows.sql where the period is summed up, else to usage-rows.sql: the
 *         same rows either way, in the same order.
 */
import type { UsageRow } from '../contracts/api.ts'
import { calendarDays, type Period } from '../contracts/period.ts'
import type { MeteringMode } from '../contracts/vocabulary.ts'
import { policyAt, type BillingPolicy } from './billing-policy.ts'
import type { SqlTransaction } from './in-transaction.ts'
import { sqlStatement } from './sql-statement.ts'
import type { ModeSpan, UsageGrouping, UsageTotals } from './usage-report.ts'
import { isUsageRolled } from './usage-rollup.ts'

export type PeriodAsked = {
  tenantId: string
  period: Period
  by: UsageGrouping
  mode: MeteringMode | undefined
  clientId: string | null
  /** Also where the period is summed up. */
  readsEntries: boolean
  /** Of the cursor, one a period. */
  cursor: 'usage_row' | 'previous_usage_row'
}

export type PeriodUsage = { totals: UsageTotals; modeSpans: ModeSpan[]; batches: AsyncIterable<UsageRow[]> }

const rowsPerBatch = 2_000
const usageRowsSql = sqlStatement('usage-rows.sql')
const usageTotalsSql = sqlStatement('usage-totals.sql')
const rolledRowsSql = sqlStatement('usage-rolled-rows.sql')
const rolledTotalsSql = sqlStatement('usage-rolled-totals.sql')

/** The batches can be read until the transaction ends. */
export async function openPeriod(
  client: SqlTransaction,
  fetches: Fetches,
  policies: readonly BillingPolicy[],
  asked: PeriodAsked,
): Promise<PeriodUsage> {
  const { tenantId, period, by, mode, clientId, cursor } = asked
  const modeSpans = mode === undefined ? modeSpansIn(policies, period) : [{ mode, from: period.from }]
  const isRolled = !asked.readsEntries && (await isUsageRolled(client, tenantId, period))
  const totals = isRolled
    ? await client.query<UsageTotals>(rolledTotalsSql, [tenantId, period.label, clientId])
    : await client.query<UsageTotals>(usageTotalsSql, [tenantId, period.from, period.upto, clientId])
  const days = calendarDays(period)
  const dayLabels = days.map((day) => day.label)
  // All rows will be read: the plan that is fastest to the first one would be the wrong one.
  await client.query('set local cursor_tuple_fraction = 1')
  // The default is that of a disk that seeks: it would read the names of all years rather than look up those of a month.
  await client.query('set local random_page_cost = 1.1')
  if (isRolled) {
    await client.query(`declare ${cursor} no scroll cursor for ${rolledRowsSql}`, [
      tenantId,
      period.label,
      grainOf(by, clientId),
      by,
      clientId,
      dayLabels,
      mode ?? null,
    ])
  } else {
    await client.query(`declare ${cursor} no scroll cursor for ${usageRowsSql}`, [
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
  return { totals: totals.rows[0]!, modeSpans, batches: readBatches(fetches, cursor) }
}

/** The next rows are made and sent while the ones before are worked on. */
async function* readBatches(fetches: Fetches, cursor: string): AsyncGenerator<UsageRow[]> {
  let next = fetches.begin(cursor)
  for (;;) {
    const { rows } = await next
    const isLast = rows.length < rowsPerBatch
    if (!isLast) next = fetches.begin(cursor)
    if (rows.length > 0) yield rows
    if (isLast) return
  }
}

/**
 * Fetches of one connection, one at a time whatever the number of cursors, and none of them left running: `settled` is
 * what a rollback waits for.
 */
export class Fetches {
  readonly #client: SqlTransaction
  #last: Promise<unknown> = Promise.resolve()

  constructor(client: SqlTransaction) {
    this.#client = client
  }

  begin(cursor: string): Promise<{ rows: UsageRow[] }> {
    const fetched = this.#last.then(
      async () => await this.#client.query<UsageRow>(`fetch ${rowsPerBatch} from ${cursor}`),
    )
    // Whoever waits for the rows gets the error.
    this.#last = fetched.catch(() => {})
    return fetched
  }

  async settled(): Promise<void> {
    await this.#last
  }
}

/** Where the sums of a grouping stand: of one client, in a grain of its own. */
function grainOf(by: UsageGrouping, clientId: string | null): string {
  if (clientId === null || by === 'client' || by === 'recipient') return by
  return by === 'direction' ? 'client' : `client-${by}`
}

function modeSpansIn(policies: readonly BillingPolicy[], period: Period): ModeSpan[] {
  const spans: ModeSpan[] = [{ mode: policyAt(policies, period.from).mode, from: period.from }]
  for (const policy of policies) {
    if (policy.validFrom === null || policy.validFrom <= period.from || policy.validFrom >= period.upto) continue
    if (policy.mode !== spans.at(-1)!.mode) spans.push({ mode: policy.mode, from: policy.validFrom })
  }
  return spans
}
