/**
 * What is near a message: the same sender, remote, subject, recipient within seven days to either side; the parts of
 * one scan, tries of the same envelope, duplicates.
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
/** Parts of one scan come one after the other. */
const scanMs = 10 * 60_000
/** As long as a sender tries, and as the gateway knows a retry for one (DESIGN §3). */
const retryMs = 5 * 86_400_000
/** Of many recipients so many name the envelope. */
const mostNamed = 5
/** Counting stops here; the list goes on. */
export const mostNear = 1_000

type NearQuery = { label: string; query: string }

export function nearQueries(event: TransactionEnded): NearQuery[] {
  const queries: NearQuery[] = []
  const add = (label: string, spanMs: number | null, ...terms: (string | null)[]) => {
    if (terms.every((term) => term !== null)) queries.push({ label, query: [...terms, ...within(event, spanMs)].join(' ') })
  }
  const from = event.sender === null ? null : event.sender === '' ? 'from:<>' : tracePatternText('from', event.sender)
  const ip = event.remote.ip === null ? null : `ip:${event.remote.ip}`
  const to = event.recipients.slice(0, mostNamed).map((one) => tracePatternText('to', one.normalized))
  const messageId = event.messageId ? tracePatternText('msgid', event.messageId) : null
  if (event.sender !== '') add('same-sender', nearMs, from)
  add('same-ip', nearMs, ip)
  add('same-subject', nearMs, event.subject?.trim() ? tracePatternText('subject', event.subject) : null)
  add('same-recipient', nearMs, to[0] ?? null)
  add('same-message-id', nearMs, messageId)
  // A device splits a scan that is too large into several messages, minutes apart (SYSTEMS, P3).
  if (event.remote.networkClass === 'device' && to.length > 0) add('scan-group', scanMs, ip, from, ...to)
  // Not taken the first time: the same envelope again, until its sender gives up.
  if (!isTaken(event) && to.length > 0) add('retries', retryMs, from, ...to)
  add('duplicates', retryMs, messageId, 'has:duplicate')
  if (event.duplicateOf !== null) add('duplicate-of', null, `id:${event.duplicateOf}`)
  // What is longer than a query may be, or reads as something else, is no link.
  return queries.filter(({ query }) => 'query' in parseTraceQuery(query))
}

function within(event: TransactionEnded, spanMs: number | null): string[] {
  if (spanMs === null) return []
  const endedMs = Date.parse(event.endedAt)
  return [`after:${new Date(endedMs - spanMs).toISOString()}`, `before:${new Date(endedMs + spanMs).toISOString()}`]
}

function isTaken(event: TransactionEnded): boolean {
  return event.outcome === 'accepted' || event.outcome === 'marked'
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
