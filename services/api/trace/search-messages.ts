/**
 * One page of a trace: newest first, stable while rows arrive.
 *
 * Fails  a cursor that this version did not give throws `BadCursor`; a database that is away, its own error.
 */
import { sql } from 'kysely'
import type { MessageRow } from '../../contracts/api.ts'
import type { TraceQuery } from '../../contracts/trace-query.ts'
import type { Database } from '../../database/open-database.ts'
import { messageRows } from './message-row.ts'
import { cursorText, parseCursor } from './trace-cursor.ts'
import type { TraceScope } from './trace-scope.ts'
import { traceSelect } from './trace-select.ts'

export class BadCursor extends Error {}

export type MessageSearch = {
  database: Database
  tenantId: string
  /** `{ clientId: null }` sees the whole tenant. */
  scope: TraceScope
  query: TraceQuery
  /** IANA zone in which the query's dates are meant. */
  timeZone: string
  nowMs: number
  /** The tenant's setting recipients.lowerCaseLocalPart. */
  lowersLocalPart: boolean
  /** `nextCursor` of the page before, `null` for the first. */
  cursor: string | null
  /** Rows a page. */
  limit: number
}

export type MessagePage = { rows: MessageRow[]; nextCursor: string | null }

export async function searchMessages(search: MessageSearch): Promise<MessagePage> {
  const cursor = search.cursor === null ? null : parseCursor(search.cursor)
  if (search.cursor !== null && cursor === null)
    throw new BadCursor('The cursor is not one of ours: start again at the first page')
  const clock = { nowMs: cursor?.nowMs ?? search.nowMs, timeZone: search.timeZone }
  // One row more than asked for tells whether there is a next page.
  const select = traceSelect(
    { ...search, clock },
    { columns: sql`t.transaction_id, t.id_time`, limit: search.limit + 1, after: cursor },
  )
  const rows = await messageRows(search.database, select, search.scope)
  const shown = rows.slice(0, search.limit)
  const last = shown.at(-1)
  return {
    rows: shown,
    nextCursor: rows.length > shown.length && last !== undefined ? cursorText(last.transactionId, clock.nowMs) : null,
  }
}
