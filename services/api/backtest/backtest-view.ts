/** Backtests as the API shows them, and the messages behind one of their cells. */
import { sql, type RawBuilder } from 'kysely'
import type { MessageRow } from '../../contracts/api.ts'
import type { Backtest, BacktestResult } from '../../contracts/backtest.ts'
import type { Database } from '../../database/open-database.ts'
import { messageRows } from '../trace/message-row.ts'
import { cursorText, parseCursor } from '../trace/trace-cursor.ts'

type StoredBacktest = Omit<Backtest, 'createdAt' | 'from' | 'upto' | 'finishedAt' | 'watermark' | 'result'> & {
  createdAt: Date
  fromTime: Date
  uptoTime: Date
  finishedAt: Date | null
  watermark: bigint | null
  result: BacktestResult | null
}

const columns = sql`backtest_id as id, created_at as "createdAt", created_by as "createdBy", state,
  from_time as "fromTime", upto_time as "uptoTime", ruleset_hash as "rulesetHash", watermark,
  done_count::integer as "doneCount", total_count::integer as "totalCount", finished_at as "finishedAt", fault`

/** Newest first, without their results. */
export async function recentBacktests(database: Database, tenantId: string): Promise<Backtest[]> {
  const { rows } = await sql<StoredBacktest>`
    select ${columns}, null as result from backtest where tenant_id = ${tenantId}
    order by created_at desc, backtest_id desc`.execute(database.kysely)
  return rows.map(backtestOf)
}

export async function backtestById(database: Database, tenantId: string, id: string): Promise<Backtest | null> {
  const { rows } = await sql<StoredBacktest>`
    select ${columns}, result from backtest where tenant_id = ${tenantId} and backtest_id = ${id}::uuid`.execute(
    database.kysely,
  )
  return rows[0] === undefined ? null : backtestOf(rows[0])
}

function backtestOf({ fromTime, uptoTime, createdAt, finishedAt, watermark, ...same }: StoredBacktest): Backtest {
  return {
    ...same,
    createdAt: createdAt.toISOString(),
    from: fromTime.toISOString(),
    upto: uptoTime.toISOString(),
    watermark: watermark === null ? null : String(watermark),
    finishedAt: finishedAt?.toISOString() ?? null,
  }
}

export type CellSearch = { tenantId: string; backtest: Backtest; cell: string; cursor: string | null; limit: number }

/** Newest first; `null` for a cursor that was never given. */
export async function cellMessages(
  database: Database,
  { tenantId, backtest, cell, cursor, limit }: CellSearch,
): Promise<{ rows: MessageRow[]; nextCursor: string | null } | null> {
  const after = cursor === null ? null : parseCursor(cursor)
  if (cursor !== null && after === null) return null
  const place = (alias: 'm' | 't'): RawBuilder<unknown> =>
    after === null
      ? sql``
      : sql` and (${sql.ref(`${alias}.id_time`)}, ${sql.ref(`${alias}.transaction_id`)}) < (${new Date(after.idTimeMs)}, ${after.transactionId}::uuid)`
  const [difference, before] = cell.split(':')
  // What stays the same is not stored a second time: it is all that the job saw and does not differ.
  const page =
    difference === 'same'
      ? sql`select t.transaction_id, t.id_time from mail_transaction t
          where t.tenant_id = ${tenantId} and t.id_time >= ${backtest.from} and t.id_time < ${backtest.upto}
            and t.batch_id <= ${backtest.watermark}::bigint and t.outcome = ${before}${place('t')}
            and not exists (select from backtest_message m where m.tenant_id = ${tenantId}
              and m.backtest_id = ${backtest.id}::uuid and m.transaction_id = t.transaction_id)
          order by t.id_time desc, t.transaction_id desc limit ${limit + 1}`
      : sql`select m.transaction_id, m.id_time from backtest_message m
          where m.tenant_id = ${tenantId} and m.backtest_id = ${backtest.id}::uuid and m.cell = ${cell}${place('m')}
          order by m.id_time desc, m.transaction_id desc limit ${limit + 1}`
  const rows = await messageRows(database, page, { clientId: null })
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    rows: shown,
    nextCursor: rows.length > limit && last !== undefined ? cursorText(last.transactionId, 0) : null,
  }
}
