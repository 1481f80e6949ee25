/** Statements as they were written, and the messages behind each of their lines. */
import type { Statement, StatementHead, StatementLine, StatementMessages } from '../../contracts/statement.ts'
import { minorDigitsOf, moneyText } from '../../contracts/money.ts'
import type { Database } from '../../database/open-database.ts'
import { inTransaction, type SqlTransaction } from '../in-transaction.ts'
import { storedPeriods, type StoredPeriod } from '../periods/period-store.ts'
import type { RatingPlan } from '../tariffs/rating-plan.ts'

type HeadRow = Omit<StatementHead, 'currency' | 'net' | 'tax' | 'total'> & { netMinor: string; taxMinor: string; totalMinor: string; hasQueueSizes: boolean }

export type StatementFilter = { period: string | null; clientId: string | null }

/** Newest period first, then in order of their numbers. */
export async function listStatements(database: Database, tenantId: string, filter: StatementFilter): Promise<StatementHead[]> {
  return await inTransaction(database, async (transaction) => {
    const periods = new Map((await storedPeriods(transaction, tenantId)).map((period) => [period.label, period]))
    return (await headRows(transaction, tenantId, filter, null)).map((row) => headOf(row, periods.get(row.period)!))
  })
}

/** `null`: there is none, or not of this client. */
export async function readStatement(database: Database, tenantId: string, statementId: string, clientId: string | null): Promise<Statement | null> {
  return await inTransaction(database, async (transaction) => {
    const [row] = await headRows(transaction, tenantId, { period: null, clientId }, statementId)
    if (row === undefined) return null
    const period = (await storedPeriods(transaction, tenantId)).find(({ label }) => label === row.period)!
    const digits = minorDigitsOf(period.currency)
    const lines = await linesOf(transaction, tenantId, statementId, digits)
    return {
      ...headOf(row, period),
      from: period.from.toISOString(),
      upto: period.upto.toISOString(),
      timeZone: period.timeZone,
      unitBytes: period.unitBytes,
      closedAt: period.closedAt?.toISOString() ?? null,
      hasQueueSizes: row.hasQueueSizes,
      lines,
      taxes: taxesOf(lines, digits),
      usage: await usageOf(transaction, tenantId, row.period, row.clientId),
    }
  })
}

const messagesPerPage = 200

/** The entries that a line was rated from, oldest first. `null`: there is no such line. */
export async function messagesOfLine(
  database: Database,
  tenantId: string,
  asked: { statementId: string; line: number; clientId: string | null; cursor: string | null },
): Promise<StatementMessages | null> {
  return await inTransaction(database, async (transaction) => {
    const [head] = await headRows(transaction, tenantId, { period: null, clientId: asked.clientId }, asked.statementId)
    if (head === undefined) return null
    const line = (await linesOf(transaction, tenantId, asked.statementId, 0)).find((one) => one.line === asked.line)
    if (line === undefined) return null
    const label = line.ofPeriod ?? head.period
    const plan = (await storedPeriods(transaction, tenantId)).find((period) => period.label === label)!.plan!
    const shares = sharesOf(plan, head.clientId, line)
    // What a reversal takes back was rated without what this statement shows, the others with it.
    const shown = { period: head.period, isWithIt: line.kind !== 'reversal' }
    return await entryPage(transaction, tenantId, plan, shares, directionsOf(line), shown, asked.cursor)
  })
}

/** Which clients' entries of which parts a line holds. */
function sharesOf(plan: RatingPlan, carrier: string, line: StatementLine): { clientId: string; part: number }[] {
  const tariff = line.kind === 'usage' ? `${line.tariffId}@${line.tariffVersion}` : null
  return Object.entries(plan.carried).flatMap(([clientId, parts]) =>
    parts.flatMap((carried, part) =>
      carried?.clientId === carrier && (tariff === null || carried.tariff === tariff) ? [{ clientId, part }] : []))
}

function directionsOf({ kind, direction }: StatementLine): string[] {
  return kind === 'usage' && direction !== null && direction !== 'both' ? [direction] : ['inbound', 'outbound']
}

async function entryPage(
  transaction: SqlTransaction,
  tenantId: string,
  plan: RatingPlan,
  shares: readonly { clientId: string; part: number }[],
  directions: readonly string[],
  shown: { period: string; isWithIt: boolean },
  cursor: string | null,
): Promise<StatementMessages> {
  const [afterTime, afterId, afterRecipient, afterCorrection] = cursor === null ? [] : cursor.split('_')
  const { rows } = await transaction.query<{
    transactionId: string; endedAt: Date; recipient: string; recipientId: string; clientId: string; direction: string; octets: bigint; correction: bigint
  }>(
    `select entry.transaction_id as "transactionId", entry.ended_at as "endedAt", entry.recipient_id as "recipientId",
       coalesce(name.address, 'erased-' || left(replace(entry.recipient_id::text, '-', ''), 12)) as recipient,
       entry.client_id as "clientId", entry.direction, entry.correction,
       case when ($6::text[])[width_bucket(entry.ended_at, $5::timestamptz[])] = 'split' then entry.split_bytes else entry.full_bytes end as octets
     from usage_entry entry
     left join recipient_name name on name.tenant_id = entry.tenant_id and name.recipient_id = entry.recipient_id
     where entry.tenant_id = $1 and entry.ended_at >= $2 and entry.ended_at < $3 and entry.is_billable
       and entry.direction = any ($4)
       and (entry.client_id, width_bucket(entry.ended_at, $5::timestamptz[]) - 1) in (select * from unnest($7::text[], $8::integer[]))
       and not exists (select from late_entry late
         where late.tenant_id = entry.tenant_id and late.transaction_id = entry.transaction_id and late.id_time = entry.id_time
           and late.recipient_id = entry.recipient_id and late.correction = entry.correction and (late.shown_in > $9 or (late.shown_in = $9 and not $15)))
       and ($10::timestamptz is null or (entry.ended_at, entry.transaction_id, entry.recipient_id, entry.correction) > ($10, $11::uuid, $12::uuid, $13::bigint))
     order by entry.ended_at, entry.transaction_id, entry.recipient_id, entry.correction
     limit $14`,
    [
      tenantId, plan.from, plan.upto, directions, plan.parts.map(({ from }) => from), plan.parts.map(({ mode }) => mode),
      shares.map(({ clientId }) => clientId), shares.map(({ part }) => part), shown.period,
      afterTime ?? null, afterId ?? null, afterRecipient ?? null, afterCorrection ?? null, messagesPerPage + 1, shown.isWithIt,
    ],
  )
  const page = rows.slice(0, messagesPerPage)
  const last = page.at(-1)
  return {
    rows: page.map(({ recipientId: _, ...row }) => ({ ...row, endedAt: row.endedAt.toISOString(), octets: String(row.octets), correction: String(row.correction / 2n) })),
    nextCursor: rows.length > page.length && last !== undefined ? [last.endedAt.toISOString(), last.transactionId, last.recipientId, last.correction].join('_') : null,
  }
}

function headOf({ netMinor, taxMinor, totalMinor, hasQueueSizes: _, ...row }: HeadRow, { currency }: StoredPeriod): StatementHead {
  const digits = minorDigitsOf(currency)
  const money = (minor: string): string => moneyText(BigInt(minor), digits)
  return { ...row, currency, net: money(netMinor), tax: money(taxMinor), total: money(totalMinor) }
}

async function headRows(transaction: SqlTransaction, tenantId: string, filter: StatementFilter, statementId: string | null): Promise<HeadRow[]> {
  const { rows } = await transaction.query<HeadRow>(
    `select statement_id as "statementId", period, client_id as "clientId", client_name as "clientName", net_minor::text as "netMinor",
       tax_minor::text as "taxMinor", total_minor::text as "totalMinor", has_queue_sizes as "hasQueueSizes", hash
     from statement
     where tenant_id = $1 and ($2::text is null or period = $2) and ($3::text is null or client_id = $3)
       and ($4::text is null or statement_id = $4)
     order by period desc, statement_id`,
    [tenantId, filter.period, filter.clientId, statementId],
  )
  return rows
}

async function linesOf(transaction: SqlTransaction, tenantId: string, statementId: string, digits: number): Promise<StatementLine[]> {
  const { rows } = await transaction.query<Omit<StatementLine, 'amount' | 'tax'> & { amountMinor: string; taxMinor: string }>(
    `select line, kind, of_period as "ofPeriod", tariff_id as "tariffId", tariff_version as "tariffVersion", component,
       component_kind as "componentKind", direction, tier, quantity, price, priced_count as count, amount_minor::text as "amountMinor",
       tax_percent as "taxPercent", tax_minor::text as "taxMinor"
     from statement_line where tenant_id = $1 and statement_id = $2 order by line`,
    [tenantId, statementId],
  )
  return rows.map(({ amountMinor, taxMinor, ...row }) => ({ ...row, amount: moneyText(BigInt(amountMinor), digits), tax: moneyText(BigInt(taxMinor), digits) }))
}

function taxesOf(lines: readonly StatementLine[], digits: number): Statement['taxes'] {
  const minor = (text: string): bigint => BigInt(text.replace('.', ''))
  const sums = new Map<string, { net: bigint; tax: bigint }>()
  for (const { kind, taxPercent, amount, tax } of lines) {
    if (kind !== 'usage' || taxPercent === null) continue
    const sum = sums.get(taxPercent) ?? { net: 0n, tax: 0n }
    sums.set(taxPercent, { net: sum.net + minor(amount), tax: sum.tax + minor(tax) })
  }
  return [...sums].map(([percent, { net, tax }]) => ({ percent, net: moneyText(net, digits), tax: moneyText(tax, digits) }))
}

async function usageOf(transaction: SqlTransaction, tenantId: string, period: string, clientId: string): Promise<Statement['usage']> {
  const { rows } = await transaction.query<Statement['usage'][number]>(
    `select used ->> 'clientId' as "clientId", used ->> 'direction' as direction, sum((used ->> 'octets')::numeric)::text as octets
     from rating cross join lateral jsonb_array_elements(usage) as used
     where tenant_id = $1 and period = $2 and shown_in = $2 and client_id = $3
     group by 1, 2 order by 1, 2`,
    [tenantId, period, clientId],
  )
  return rows
}
