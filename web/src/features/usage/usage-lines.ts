/** Lines of the usage report as the page shows them: named, sorted, with the query that opens their messages. */
import type { UsageReport } from '../../../../services/contracts/api.ts'
import { term } from '../../search/query-terms.ts'

export type UsageRow = UsageReport['rows'][number]
export const sortKeys = ['name', 'messages', 'billed', 'unbilled'] as const
export type SortKey = (typeof sortKeys)[number]
export type Sorting = { key: SortKey; isDescending: boolean }

/** What a line is about under its grouping; `null` is the house: recipients that no client holds. */
export function lineName(row: UsageRow, by: UsageReport['by']): string | null {
  if (by === 'client') return row.clientName ?? row.clientId
  if (by === 'direction') return row.direction
  return by === 'recipient' ? row.recipient : by === 'domain' ? row.domain : row.day
}

/** The terms that find the messages of a line, without its time; a day has none beside its client. */
export function lineQuery(row: UsageRow, by: UsageReport['by'], client: string | null): string {
  const terms: string[] = []
  if (by === 'client') terms.push(term('client', row.clientId ?? 'house'))
  if (by === 'recipient' && row.recipient !== null) terms.push(term('to', row.recipient))
  if (by === 'domain' && row.domain !== null) terms.push(term('to', `*@${row.domain}`))
  if (client !== null && by !== 'client') terms.push(term('client', client))
  return terms.join(' ')
}

export function sortingFrom(text: string, by: UsageReport['by']): Sorting {
  const key = text.replace(/^-/, '')
  if ((sortKeys as readonly string[]).includes(key)) return { key: key as SortKey, isDescending: text.startsWith('-') }
  return by === 'day' ? { key: 'name', isDescending: false } : { key: 'billed', isDescending: true }
}

export function sortedLines(rows: readonly UsageRow[], by: UsageReport['by'], sorting: Sorting): UsageRow[] {
  const sign = sorting.isDescending ? -1 : 1
  return [...rows].sort((one, other) => sign * compare(one, other, by, sorting.key) || compare(one, other, by, 'name'))
}

function compare(one: UsageRow, other: UsageRow, by: UsageReport['by'], key: SortKey): number {
  if (key === 'name') return (lineName(one, by) ?? '').localeCompare(lineName(other, by) ?? '')
  const field = { messages: 'messageCount', billed: 'billedBytes', unbilled: 'unbilledBytes' } as const
  const difference = BigInt(one[field[key]]) - BigInt(other[field[key]])
  return difference === 0n ? 0 : difference < 0n ? -1 : 1
}
