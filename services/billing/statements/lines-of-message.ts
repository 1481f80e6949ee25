/** From a message to the lines of statements that it is in: its month's, and those that took that month back and replaced it. */
import type { MessageStatementLines } from '../../contracts/statement.ts'
import type { Database } from '../../database/open-database.ts'
import { inTransaction } from '../in-transaction.ts'
import { storedPeriods } from '../periods/period-store.ts'

/** `shown_in`: of what came late, the period whose statements were the first to hold it. */
type Entry = { ended_at: Date; client_id: string; direction: string; shown_in: string | null }

/** `clientId`: only statements of this client. */
export async function linesOfMessage(database: Database, tenantId: string, transactionId: string, clientId: string | null): Promise<MessageStatementLines['lines']> {
  return await inTransaction(database, async (transaction) => {
    const { rows: entries } = await transaction.query<Entry>(
      `select entry.ended_at, entry.client_id, entry.direction,
         case when bool_or(late.shown_in is null) then null else min(late.shown_in) end as shown_in
       from usage_entry entry left join late_entry late using (tenant_id, transaction_id, id_time, recipient_id, correction)
       where tenant_id = $1 and transaction_id = $2 and entry.is_billable and entry.client_id is not null
       group by 1, 2, 3`, [tenantId, transactionId])
    const periods = await storedPeriods(transaction, tenantId)
    const found = new Map<string, MessageStatementLines['lines'][number]>()
    for (const { ended_at: endedAt, client_id: payer, direction, shown_in: shownIn } of entries) {
      const period = periods.find(({ from, upto, plan }) => plan !== null && endedAt >= from && endedAt < upto)
      if (period === undefined) continue
      const plan = period.plan!
      const part = plan.parts.findIndex(({ from, upto }) => endedAt >= new Date(from) && endedAt < new Date(upto))
      const carried = plan.carried[payer]?.[part]
      if (carried == null || (clientId !== null && carried.clientId !== clientId)) continue
      const at = carried.tariff.lastIndexOf('@')
      const { rows } = await transaction.query<{ statement_id: string; line: number; kind: 'usage' | 'reversal' | 'replacement' }>(
        `select statement_id, line, kind from statement_line join statement using (tenant_id, statement_id)
         where tenant_id = $1 and statement.client_id = $2 and (
           ($7::text is null and statement.period = $3 and kind = 'usage' and quantity is not null and tariff_id = $4 and tariff_version = $5 and direction in ($6, 'both'))
           -- What came late is in the replacement that first shows it, and in all behind that.
           or (of_period = $3 and ($7 is null or statement.period > $7 or (statement.period = $7 and kind = 'replacement'))))
         order by statement_id, line`,
        [tenantId, carried.clientId, period.label, carried.tariff.slice(0, at), Number(carried.tariff.slice(at + 1)), direction, shownIn],
      )
      for (const row of rows) found.set(`${row.statement_id} ${row.line}`, { statementId: row.statement_id, line: row.line, kind: row.kind, clientId: carried.clientId })
    }
    return [...found.values()]
  })
}
