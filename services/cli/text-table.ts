import { visibleText } from '../kit/visible-text.ts'

/** Rows in columns of fixed width, so that pages can follow one another. Numbers stand to the right. */
export function textTable(head: readonly string[] | null, rows: readonly (readonly string[])[], widths: readonly number[]): string {
  const all = head === null ? rows : [head, ...rows]
  const line = (cells: readonly string[]) => cells.map((cell, index) => fitted(cell, widths[index] ?? 20)).join('  ').trimEnd()
  return all.map((cells) => `${line(cells)}\n`).join('')
}

function fitted(cell: string, width: number): string {
  // What came with the mail may hold control characters, and those would act on the terminal.
  const text = visibleText(cell)
  const characters = [...text]
  if (characters.length > width) return `${characters.slice(0, width - 1).join('')}…`
  const blank = ' '.repeat(width - characters.length)
  return /^\d+$/.test(text) ? `${blank}${text}` : `${text}${blank}`
}
