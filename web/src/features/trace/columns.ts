/** The columns of the trace, in their order; which are shown stands in the URL. */
export const columns = ['time', 'outcome', 'from', 'to', 'subject', 'size', 'weight', 'why', 'reply', 'remote', 'delivery'] as const
export type Column = (typeof columns)[number]

export const defaultColumns: readonly Column[] = ['time', 'outcome', 'from', 'to', 'subject', 'size', 'weight', 'why']

/** Widths in px; those without one share what is left. */
export const columnWidths: Partial<Record<Column, number>> = {
  time: 132,
  outcome: 116,
  size: 84,
  weight: 66,
  why: 160,
  remote: 132,
  delivery: 92,
}

export function columnsFrom(text: string): readonly Column[] {
  const named = text.split(',').filter((name): name is Column => (columns as readonly string[]).includes(name))
  return named.length === 0 ? defaultColumns : columns.filter((column) => named.includes(column))
}

/** `null` for the default ones: they need no place in the URL. */
export function columnsText(shown: readonly Column[]): string | null {
  const text = columns.filter((column) => shown.includes(column)).join(',')
  return text === '' || text === defaultColumns.join(',') ? null : text
}
