/**
 * Rows as CSV: RFC 4180 with CRLF, or what the Excel of a country opens as it stands.
 *
 * Owns    the guard: a text that a spreadsheet would take for a formula gets an apostrophe in front, as does one that
 *         begins with apostrophes and then such a sign: taking one away gives the text back. Figures are left alone,
 *         so "-5.00" stays a number.
 * Why     rows in which nothing needs quoting are joined by hand, which is what csv-stringify makes of them, only
 *         several times as fast; all others are its work.
 * Known weakness  no CSV can tell Excel that `007` is a text or that a number has more than 15 digits: XLSX can.
 */
import { stringify } from 'csv-stringify/sync'
import { isFigure, type Cell, type ExcelProfile, type TableColumn, type TableRow } from './table.ts'

const byteOrderMark = '\ufeff'

export type CsvWriter = { head: string; rowsText(rows: readonly TableRow[]): string }

export function csvWriter(columns: readonly TableColumn[], profile?: ExcelProfile): CsvWriter {
  const decimalPoint = profile === undefined ? '.' : decimalPointOf(profile.locale)
  // Excel takes the list separator of the country: a semicolon where the comma is taken by numbers.
  const delimiter = decimalPoint === ',' ? ';' : ','
  const quoting = { record_delimiter: 'windows', quoted_match: /[\r\n]/, delimiter } as const
  const textCount = columns.length
  const isText = columns.map((column) => !isFigure(column))
  const emptyCells = columns.map((column) => column.empty ?? '')
  const movesPoint = columns.map((column) => column.kind === 'amount' && decimalPoint !== '.')
  // All that csv-stringify could want to quote.
  const needsQuotes = delimiter === ';' ? /[";\r\n]/ : /[",\r\n]/

  const cellText = (cell: Cell, place: number): string => {
    if (cell === null) return emptyCells[place]!
    if (isText[place]) return guardedText(cell)
    return movesPoint[place] ? cell.replace('.', decimalPoint) : cell
  }

  function rowsText(rows: readonly TableRow[]): string {
    let text = ''
    let waiting: string[][] = []
    for (const row of rows) {
      let isPlain = true
      let line = ''
      for (let place = 0; place < textCount; place += 1) {
        const cell = row[place]!
        if (cell !== null && isText[place] && needsQuotes.test(cell)) {
          isPlain = false
          break
        }
        line += (place === 0 ? '' : delimiter) + cellText(cell, place)
      }
      // A row of one empty cell is left to the library as well: it knows how not to make an empty line of it.
      if (isPlain && line !== '') {
        if (waiting.length > 0) {
          text += stringify(waiting, quoting)
          waiting = []
        }
        text += `${line}\r\n`
      } else waiting.push(row.map(cellText))
    }
    return waiting.length > 0 ? text + stringify(waiting, quoting) : text
  }

  return {
    head: (profile === undefined ? '' : byteOrderMark) + stringify([columns.map(({ name }) => name)], quoting),
    rowsText,
  }
}

/** Signs that begin a formula in a spreadsheet, their full-width twins included. */
export function guardedText(text: string): string {
  return /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text
}

/** `,` or `.`; a RangeError for what is no locale. */
export function decimalPointOf(locale: string): string {
  let parts: Intl.NumberFormatPart[]
  try {
    parts = new Intl.NumberFormat(locale, { numberingSystem: 'latn' }).formatToParts(1.5)
  } catch (error) {
    throw new RangeError(`"${locale}" is no locale: write a language such as de, or with a country such as de-CH`, {
      cause: error,
    })
  }
  return parts.find((part) => part.type === 'decimal')!.value
}
