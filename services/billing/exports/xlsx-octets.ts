/**
 * Rows as an XLSX workbook that is made while it is read, at constant memory.
 *
 * Owns    which cells are numbers: figures are, with a format; texts, ids and times are texts, so that `007` keeps
 *         its zeros and `=1+1` is no formula.
 * Why     a spreadsheet keeps 15 significant digits of a number and drops the rest silently. A figure with more is
 *         written as a text: shown in full, left out of sums by the spreadsheet, and counted in `textFigures`.
 * Limits  32,767 characters a cell, else a RangeError that names it. Past 1,048,576 rows the next sheet begins, with
 *         the header again. 4 GiB a sheet before compression, far behind that.
 */
import { writeXlsxStream } from 'hucre/xlsx'
import { isFigure, type Table, type TableColumn } from './table.ts'

const longestCell = 32_767

/** `counted.textFigures` grows while the octets are read. */
export function xlsxOctets(table: Table, counted: { textFigures: number }): AsyncIterable<Uint8Array> {
  const { columns } = table
  return writeXlsxStream(workbookRows(table, counted), {
    name: table.sheetName ?? 'export',
    columns: columns.map((column) => ({
      header: column.name,
      width: column.kind === 'text' ? 32 : 18,
      ...(isFigure(column) ? { numFmt: numberFormat(column) } : { numFmt: '@' }),
    })),
    freezePane: { rows: 1 },
  })
}

async function* workbookRows(
  { columns, batches }: Table,
  counted: { textFigures: number },
): AsyncGenerator<(string | number | null)[]> {
  const figures = columns.map(isFigure)
  let rowCount = 0
  for await (const rows of batches) {
    for (const row of rows) {
      rowCount += 1
      yield row.map((cell, place) => {
        const text = cell ?? columns[place]!.empty ?? null
        if (text === null) return null
        if (figures[place]) {
          if (isExactNumber(text)) return Number(text)
          counted.textFigures += 1
        } else if (text.length > longestCell) {
          throw new RangeError(
            `Row ${rowCount}, column ${columns[place]!.name}: ${text.length} characters are more than a cell of ` +
              `XLSX holds (${longestCell}). Take CSV or JSON`,
          )
        }
        // The format writes signs that XML forbids as _x0001_; a text that looks like one is marked as being none.
        return text.replace(/_(?=x[0-9a-f]{4}_)/gi, '_x005F_')
      })
    }
  }
}

/** Whether a spreadsheet keeps every digit of it. */
export function isExactNumber(figure: string): boolean {
  const digits = figure.includes('.') ? figure.replace(/0+$/, '') : figure
  return digits.replace(/[-.]/g, '').replace(/^0+/, '').length <= 15
}

function numberFormat({ kind, decimals = 2 }: TableColumn): string {
  return kind === 'amount' && decimals > 0 ? `#,##0.${'0'.repeat(decimals)}` : '#,##0'
}
