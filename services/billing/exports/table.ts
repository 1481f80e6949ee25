/**
 * What an export writes: columns, and rows of cells in stable order.
 *
 * Owns    what a cell may be. Figures come as decimal strings, so that no octet and no cent passes through a Number.
 * Fails   with a RangeError that names row and column where a text cannot stand in a file (NUL, half a surrogate
 *         pair) or a figure is none: a file must not silently hold something else than the rows.
 */
export type ColumnKind = 'text' | 'id' | 'time' | 'octets' | 'count' | 'amount'

export type TableColumn = {
  /** Header of CSV and XLSX. */
  name: string
  kind: ColumnKind
  /** Property of JSON and NDJSON; default: the name. */
  key?: string
  /** What CSV and XLSX show for null; default: an empty cell. JSON has null. */
  empty?: string
  /** Of an amount: digits that XLSX shows behind the point, e.g. those of the currency. Default 2. */
  decimals?: number
}

export type Cell = string | null
export type TableRow = readonly Cell[]

export const tableFormats = ['csv', 'xlsx', 'json', 'ndjson'] as const
export type TableFormat = (typeof tableFormats)[number]

/** How a spreadsheet of a country reads CSV: it knows neither the comma of RFC 4180 everywhere nor UTF-8 unmarked. */
export type ExcelProfile = { name: 'excel'; locale: string }

export type Table = {
  columns: readonly TableColumn[]
  /** Some thousand rows at a time, a cell a column. */
  batches: AsyncIterable<readonly TableRow[]>
  format: TableFormat
  /** Of CSV only. */
  profile?: ExcelProfile | undefined
  /** What the manifest tells beside format, rows and hash; at least zone, unit and filter. */
  head: object
  /** Properties that JSON shows before its rows; default: those of `head`. */
  jsonHead?: object
  /** Name of the XLSX sheet, at most 31 characters; default `export`. */
  sheetName?: string
}

export const isFigure = ({ kind }: TableColumn): boolean => kind === 'octets' || kind === 'count' || kind === 'amount'

/** For rows that come singly. */
export async function* inBatches(rows: AsyncIterable<TableRow>, size = 1_000): AsyncGenerator<TableRow[]> {
  let batch: TableRow[] = []
  for await (const row of rows) {
    if (batch.push(row) < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** One look at what is nearly always fine. */
const suspicious = /[\0\ud800-\udfff]/
const decimal = /^-?\d+(\.\d+)?$/

/** `firstRow`: number of the first of these rows in the whole table, from 1. */
export function refuseUnwritable(columns: readonly TableColumn[], rows: readonly TableRow[], firstRow: number): void {
  for (const [index, row] of rows.entries()) {
    if (row.length !== columns.length) {
      throw new RangeError(`Row ${firstRow + index} has ${row.length} cells for ${columns.length} columns`)
    }
    for (const [place, cell] of row.entries()) {
      if (cell === null) continue
      const column = columns[place]!
      const fault = faultOf(column, cell)
      if (fault !== null) {
        throw new RangeError(
          `Row ${firstRow + index}, column ${column.name}: ${fault}. Correct it where it comes from`,
        )
      }
    }
  }
}

function faultOf(column: TableColumn, cell: string): string | null {
  if (isFigure(column)) return decimal.test(cell) ? null : `"${cell}" is no figure`
  if (!suspicious.test(cell)) return null
  if (cell.includes('\0')) return 'a text with NUL cannot be exported'
  // lib of ES2022 does not know isWellFormed, which Node 20 has
  return /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.test(cell)
    ? 'half a surrogate pair is no text'
    : null
}
