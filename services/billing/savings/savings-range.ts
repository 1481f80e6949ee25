/** The time of a savings report: a billing period by its label, or two times. */
import type { Database } from '../../database/open-database.ts'
import { inTransaction } from '../in-transaction.ts'
import { plannedPeriod } from '../periods/period-store.ts'

/** Throws a RangeError where neither is given, or both. */
export async function savingsRange(
  database: Database,
  tenantId: string,
  { period, from, upto }: { period?: string | undefined; from?: string | undefined; upto?: string | undefined },
): Promise<{ from: Date; upto: Date }> {
  if ((period === undefined) === (from === undefined || upto === undefined)) throw new RangeError('name a period, or from and upto')
  if (period === undefined) return { from: new Date(from!), upto: new Date(upto!) }
  return await inTransaction(database, (transaction) => plannedPeriod(transaction, tenantId, period))
}
