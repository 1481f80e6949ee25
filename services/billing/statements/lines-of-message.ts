/** From a message to the lines of statements that it is in: its month's, and those that took that month back and replaced it. */
import type { MessageStatementLines } from '../../contracts/statement.ts'
import type { Database } from '../../database/open-database.ts'
import { inTransaction } from '../in-transaction.ts'
import { storedPeriods } from '../periods/period-store.ts'

type Entry = { ended_at: Date; client_id: string; direction: string }

/** `clientId`: only statements of this client. */
export async function linesOfMessage(database: Database, tenantId: string, transactionId: string, clientId: string | null): Promise<MessageStatementLines['lines']> {
  return await inTransaction(database, async (transaction) => {
    const { rows: entries } = await transaction.query<Entry>(
      `select distinct ended_at, client_id, direction from usage_entry
       where tenant_id = $1 and transaction_id = $2 and is_billable and client_id is not null`, [tenantId, transactionId])
    const periods = await storedPeriods(transaction, tenantId)
    const found = new Map<string, MessageStatementLines['lines'][number]>()
    for (const { ended_at: endedAt, client_id: payer, direction } of entries) {
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
           (statement.period = $3 and kind = 'usage' and quantity is not null and tariff_id = $4 and tariff_version = $5 and direction in ($6, 'both'))
           or of_period = $3)
         order by statement_id, line`,
        [tenantId, carried.clientId, period.label, carried.tariff.slice(0, at), Number(carried.tariff.slice(at + 1)), direction],
      )
      for (const row of rows) found.set(`${row.statement_id} ${row.line}`, { statementId: row.statement_id, line: row.line, kind: row.kind, clientId: carried.clientId })
    }
    return [...found.values()]
  })
}
