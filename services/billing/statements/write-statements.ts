/**
 * The statements of a period that is cut off, out of its ratings and of those of earlier periods that late entries and
 * corrections changed (BILLING, Periods).
 *
 * Owns    the rows of rating, statement and statement_line.
 * Why     a changed period is rated again as a whole, by its own plan; the statement takes back what was valid and adds
 *         what is now. Both carry the tax of their own period, so the tax of this one is that of its own lines.
 * Limits  a client that carries no tariff gets no statement. A period of which entries are removed by age is not rated
 *         again: what is missing would be taken for a change.
 */
import type { SqlTransaction } from '../in-transaction.ts'
import type { StoredPeriod } from '../periods/period-store.ts'
import { storedPeriods } from '../periods/period-store.ts'
import { gatherQuantities } from '../tariffs/gather-quantities.ts'
import { byOctets, ratePlan } from '../tariffs/rate-plan.ts'
import { hashOf, ratingRecord, type LineRecord, type RatingRecord } from './rating-record.ts'

type Line = Partial<LineRecord> & { kind: 'usage' | 'reversal' | 'replacement'; ofPeriod: string | null; amountMinor: string; taxMinor: string }
type Adjustment = { period: string; before: { netMinor: bigint; taxMinor: bigint }; after: RatingRecord }

/** Gives the hash over all statements. Called twice for the same period it would write the same; the caller calls once. */
export async function writeStatements(transaction: SqlTransaction, tenantId: string, period: StoredPeriod): Promise<string> {
  const plan = period.plan!
  const rated = ratePlan(plan, await gatherQuantities(transaction, tenantId, plan, period.label)).map(ratingRecord)
  for (const rating of rated) await insertRating(transaction, tenantId, period.label, period.label, rating)
  const adjustments = await adjustmentsOf(transaction, tenantId, period)
  const usageByClient = new Map(rated.map((rating) => [rating.clientId, rating]))
  const withQueueSizes = await clientsWithQueueSizes(transaction, tenantId, period)
  const invoiced = [...new Set([...rated.filter(({ lines }) => lines.length > 0).map(({ clientId }) => clientId), ...adjustments.keys()])].sort(byOctets)
  const hashes: string[] = []
  for (const [index, clientId] of invoiced.entries()) {
    const statementId = `${period.label}-${String(index + 1).padStart(4, '0')}`
    const rating = usageByClient.get(clientId)
    const lines = [
      ...(rating?.lines ?? []).map((line): Line => ({ ...line, kind: 'usage', ofPeriod: null })),
      ...(adjustments.get(clientId) ?? []).flatMap(adjustmentLines),
    ]
    const hasQueueSizes = (rating?.usage ?? []).some((usage) => withQueueSizes.has(usage.clientId))
    const hash = hashOf({ statementId, clientId, usage: rating?.usage ?? [], lines })
    hashes.push(hash)
    await insertStatement(transaction, tenantId, { statementId, period: period.label, clientId, hasQueueSizes, hash, lines })
  }
  return hashOf(hashes)
}

function adjustmentLines({ period, before, after }: Adjustment): Line[] {
  return [
    { kind: 'reversal', ofPeriod: period, amountMinor: String(-before.netMinor), taxMinor: String(-before.taxMinor) },
    { kind: 'replacement', ofPeriod: period, amountMinor: String(after.netMinor), taxMinor: String(after.taxMinor) },
  ]
}

/** By client, in order of the periods. Ratings of those are written down. */
async function adjustmentsOf(transaction: SqlTransaction, tenantId: string, period: StoredPeriod): Promise<Map<string, Adjustment[]>> {
  const adjustments = new Map<string, Adjustment[]>()
  const { rows } = await transaction.query<{ label: string }>(
    `select distinct late.period as label from late_entry late
     join billing_period of_period on of_period.tenant_id = late.tenant_id and of_period.label = late.period
     where late.tenant_id = $1 and late.shown_in = $2
       and of_period.from_time >= coalesce((select max(month) + interval '1 month' from retention_removal
         where tenant_id = $1 and kind = 'usage'), '-infinity')
     order by 1`,
    [tenantId, period.label],
  )
  const periods = await storedPeriods(transaction, tenantId)
  for (const { label } of rows) {
    const plan = periods.find((one) => one.label === label)!.plan!
    const valid = await lastRatings(transaction, tenantId, label, period.label)
    for (const after of ratePlan(plan, await gatherQuantities(transaction, tenantId, plan, period.label)).map(ratingRecord)) {
      const before = valid.get(after.clientId)
      if (before !== undefined && before.usage === hashOf(after.usage)) continue
      await insertRating(transaction, tenantId, label, period.label, after)
      const own = adjustments.get(after.clientId) ?? []
      adjustments.set(after.clientId, [...own, { period: label, before: before ?? { netMinor: 0n, taxMinor: 0n }, after }])
    }
  }
  return adjustments
}

type ValidRating = { usage: string; netMinor: bigint; taxMinor: bigint }

/** The last rating of each client for a period before `shownIn`; of its usage the hash. */
async function lastRatings(transaction: SqlTransaction, tenantId: string, label: string, shownIn: string): Promise<Map<string, ValidRating>> {
  const { rows } = await transaction.query<{ client_id: string; usage: RatingRecord['usage']; net_minor: string; tax_minor: string }>(
    `select distinct on (client_id) client_id, usage, net_minor::text, tax_minor::text from rating
     where tenant_id = $1 and period = $2 and shown_in < $3 order by client_id, shown_in desc`,
    [tenantId, label, shownIn],
  )
  return new Map(rows.map((row) => [row.client_id, {
    // jsonb keeps its own order of keys.
    usage: hashOf(row.usage.map(({ clientId, direction, part, octets }) => ({ clientId, direction, part, octets }))),
    netMinor: BigInt(row.net_minor),
    taxMinor: BigInt(row.tax_minor),
  }]))
}

async function insertRating(transaction: SqlTransaction, tenantId: string, label: string, shownIn: string, rating: RatingRecord): Promise<void> {
  await transaction.query(
    `insert into rating (tenant_id, period, shown_in, client_id, usage, lines, net_minor, tax_minor) values ($1, $2, $3, $4, $5, $6, $7, $8)`,
    [tenantId, label, shownIn, rating.clientId, JSON.stringify(rating.usage), JSON.stringify(rating.lines), String(rating.netMinor), String(rating.taxMinor)],
  )
}

type NewStatement = { statementId: string; period: string; clientId: string; hasQueueSizes: boolean; hash: string; lines: Line[] }

async function insertStatement(transaction: SqlTransaction, tenantId: string, statement: NewStatement): Promise<void> {
  const sum = (amounts: string[]): bigint => amounts.reduce((total, amount) => total + BigInt(amount), 0n)
  const netMinor = sum(statement.lines.map(({ amountMinor }) => amountMinor))
  const taxMinor = sum(statement.lines.map((line) => line.taxMinor))
  await transaction.query(
    `insert into statement (tenant_id, statement_id, period, client_id, client_name, net_minor, tax_minor, total_minor, has_queue_sizes, hash)
     select $1, $2, $3, $4, (select name from client where tenant_id = $1 and client_id = $4), $5, $6, $7, $8, $9`,
    [tenantId, statement.statementId, statement.period, statement.clientId, String(netMinor), String(taxMinor), String(netMinor + taxMinor), statement.hasQueueSizes, statement.hash],
  )
  await transaction.query(
    `insert into statement_line (tenant_id, statement_id, line, kind, of_period, tariff_id, tariff_version, component, component_kind,
       direction, tier, quantity, price, priced_count, amount_minor, tax_percent, tax_minor)
     select $1, $2, ordinality, line ->> 'kind', line ->> 'ofPeriod', line ->> 'tariffId', (line ->> 'tariffVersion')::integer,
       (line ->> 'component')::integer, line ->> 'componentKind', line ->> 'direction', (line ->> 'tier')::integer,
       line ->> 'quantity', line ->> 'price', line ->> 'count', (line ->> 'amountMinor')::numeric, line ->> 'taxPercent',
       (line ->> 'taxMinor')::numeric
     from jsonb_array_elements($3::jsonb) with ordinality as given(line, ordinality)`,
    [tenantId, statement.statementId, JSON.stringify(statement.lines)],
  )
}

async function clientsWithQueueSizes(transaction: SqlTransaction, tenantId: string, { from, upto }: StoredPeriod): Promise<Set<string>> {
  const { rows } = await transaction.query<{ client_id: string }>(
    `select distinct client_id from usage_entry where tenant_id = $1 and ended_at >= $2 and ended_at < $3
       and is_billable and client_id is not null and size_source = 'queue'`,
    [tenantId, from, upto],
  )
  return new Set(rows.map((row) => row.client_id))
}
