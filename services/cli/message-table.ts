/** Messages as a table that fits the terminal: what gives way first are the texts, then whole columns. */
import type { MessageRow } from '../contracts/api.ts'
import { textTable } from './text-table.ts'

type TableColumn = { name: string; width: number; leastWidth: number; text: (row: MessageRow, time: (iso: string) => string) => string }

const tableColumns: TableColumn[] = [
  { name: 'time', width: 19, leastWidth: 19, text: (row, time) => time(row.endedAt) },
  { name: 'outcome', width: 11, leastWidth: 11, text: (row) => row.outcome },
  { name: 'reason', width: 17, leastWidth: 8, text: (row) => row.reason ?? '' },
  { name: 'from', width: 30, leastWidth: 12, text: (row) => (row.sender === '' ? '<>' : (row.sender ?? '')) },
  { name: 'to', width: 34, leastWidth: 12, text: recipientsText },
  { name: 'octets', width: 9, leastWidth: 9, text: (row) => row.messageBytes ?? '' },
  { name: 'subject', width: 40, leastWidth: 10, text: (row) => row.subject ?? '' },
  { name: 'id', width: 36, leastWidth: 36, text: (row) => row.transactionId },
]
/** In the order in which they are left out. */
const dispensable = ['octets', 'reason', 'subject', 'outcome', 'time']

export type MessageTableOptions = { timeZone: string; width: number | null; hasHead: boolean }

export function messageTable(rows: readonly MessageRow[], { timeZone, width, hasHead }: MessageTableOptions): string {
  const local = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  const shown = columnsWithin(width)
  const lines = rows.map((row) => shown.map((column) => column.text(row, (iso) => local.format(new Date(iso)))))
  return textTable(hasHead ? shown.map((column) => column.name) : null, lines, shown.map((column) => column.width))
}

/** Each at its own width where there is room, else narrower; the last that give way are the addresses and the id. */
export function columnsWithin(width: number | null): TableColumn[] {
  if (width === null) return tableColumns
  let shown = tableColumns
  for (const name of dispensable) {
    if (totalOf(shown.map((column) => column.leastWidth)) <= width) break
    shown = shown.filter((column) => column.name !== name)
  }
  const over = totalOf(shown.map((column) => column.width)) - width
  if (over <= 0) return shown
  const give = shown.map((column) => column.width - column.leastWidth)
  const all = give.reduce((sum, one) => sum + one, 0)
  return shown.map((column, index) => {
    const less = Math.min(give[index]!, Math.ceil((Math.min(over, all) * give[index]!) / Math.max(1, all)))
    return { ...column, width: column.width - less }
  })
}

function totalOf(widths: readonly number[]): number {
  return widths.reduce((sum, one) => sum + one, 0) + 2 * (widths.length - 1)
}

function recipientsText(row: MessageRow): string {
  const first = row.recipients[0]?.address ?? ''
  return row.recipientCount > 1 ? `${first} +${row.recipientCount - 1}` : first
}
