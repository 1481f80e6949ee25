/**
 * What is near a message: the same sender, remote, subject, recipient, within seven days to either side.
 *
 * Why  each link is a query of the trace language, and its count is made by running that query: a figure and the
 *      list behind it cannot differ.
 */
import { sql } from 'kysely'
import type { MessageDetail } from '../../contracts/api.ts'
import type { TransactionEnded } from '../../contracts/event.ts'
import { parseTraceQuery } from '../../contracts/trace-query.ts'
import { tracePatternText } from '../../contracts/trace-query-text.ts'
import type { HistogramSearch } from './message-histogram.ts'
import { traceSelect } from './trace-select.ts'

export const nearMs = 7 * 86_400_000
/** Counting stops here; the list goes on. */
export const mostNear = 1_000

type NearQuery = { label: string; query: string }

export function nearQueries(event: TransactionEnded): NearQuery[] {
  const endedMs = Date.parse(event.endedAt)
  const within = ` after:${new Date(endedMs - nearMs).toISOString()} before:${new Date(endedMs + nearMs).toISOString()}`
  const queries: NearQuery[] = []
  if (event.sender !== null && event.sender !== '')
    queries.push({ label: 'same-sender', query: tracePatternText('from', event.sender) + within })
  if (event.remote.ip !== null) queries.push({ label: 'same-ip', query: `ip:${event.remote.ip}${within}` })
  if (event.subject !== null && event.subject.trim() !== '')
    queries.push({ label: 'same-subject', query: tracePatternText('subject', event.subject) + within })
  const [first] = event.recipients
  if (first !== undefined)
    queries.push({ label: 'same-recipient', query: tracePatternText('to', first.normalized) + within })
  if (event.messageId !== null && event.messageId !== '')
    queries.push({ label: 'same-message-id', query: tracePatternText('msgid', event.messageId) + within })
  if (event.duplicateOf !== null) queries.push({ label: 'duplicate-of', query: `id:${event.duplicateOf}` })
  // What is longer than a query may be, or reads as something else, is no link.
  return queries.filter(({ query }) => 'query' in parseTraceQuery(query))
}

/** With how many others there are; links to nothing are left out. */
export async function nearLinks(
  search: Omit<HistogramSearch, 'query'>,
  event: TransactionEnded,
): Promise<MessageDetail['near']> {
  const links: MessageDetail['near'] = []
  for (const near of nearQueries(event)) {
    const parsed = parseTraceQuery(near.query)
    if (!('query' in parsed)) continue
    const clock = { nowMs: search.nowMs, timeZone: search.timeZone }
    const select = traceSelect(
      { ...search, clock, query: parsed.query },
      { columns: sql`t.transaction_id, t.id_time`, limit: mostNear + 1 },
    )
    const { rows } = await sql<{ count: number }>`
      select count(*)::integer as count from (${select}) as found where transaction_id <> ${event.transactionId}::uuid`.execute(
      search.database.kysely,
    )
    const count = Math.min(rows[0]?.count ?? 0, mostNear)
    if (count > 0) links.push({ ...near, count: String(count) })
  }
  return links
}
