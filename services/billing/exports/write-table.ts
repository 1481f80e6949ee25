/**
 * A table as a file or a stream: CSV, XLSX, JSON or NDJSON, and the manifest that says what it holds.
 *
 * Owns    the form of every export. The same rows give the same octets, in whatever batches they come: no time of
 *         writing, no order by chance. Figures are exact: decimal strings, in XLSX numbers up to 15 digits.
 * Leaves  ending the output to its owner, so that a table can go to standard output or into an HTTP reply.
 * Limits  memory is one batch of rows.
 * Fails   when the output or the source of the rows does, or a cell cannot be written (table.ts); what was written is
 *         not complete then, and there is no manifest.
 */
import { createHash } from 'node:crypto'
import type { WriteStream } from 'node:fs'
import { open, rename, rm, writeFile } from 'node:fs/promises'
import { Readable, type Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { csvWriter } from './csv-text.ts'
import { refuseUnwritable, type Table, type TableFormat, type TableRow } from './table.ts'
import { xlsxOctets } from './xlsx-octets.ts'

/** To be kept beside the export. `sha256` is of all octets written; what `head` has follows. */
export type TableManifest = {
  format: TableFormat
  /** Only where a profile shaped the CSV: `excel-de`. */
  profile?: string
  rows: number
  sha256: string
  /** Only of XLSX, and only where there are some: figures of more than 15 digits, written as text. */
  textFigures?: number
}

/** Writes the whole table and leaves `output` open. */
export async function writeTable<T extends Table>(table: T, output: Writable): Promise<TableManifest & T['head']> {
  const hash = createHash('sha256')
  const counted = { rows: 0, textFigures: 0 }
  const checked: Table = { ...table, batches: checkedBatches(table, counted) }
  async function* hashed(): AsyncGenerator<Uint8Array> {
    for await (const octets of octetsOf(checked, counted)) {
      hash.update(octets)
      yield octets
    }
  }
  await pipeline(Readable.from(hashed(), { objectMode: true, highWaterMark: 1 }), output, { end: false })
  return {
    format: table.format,
    ...(table.profile === undefined ? {} : { profile: `${table.profile.name}-${table.profile.locale}` }),
    rows: counted.rows,
    sha256: hash.digest('hex'),
    ...(counted.textFigures > 0 ? { textFigures: counted.textFigures } : {}),
    ...table.head,
  }
}

/**
 * Writes the table to a file and its manifest to `<file>.manifest.json`. Under its name stands the whole table or what
 * was there before; the manifest is written last.
 */
export async function writeTableFile<T extends Table>(table: T, file: string): Promise<TableManifest & T['head']> {
  const partial = `${file}.partial`
  let output: WriteStream | null = null
  try {
    output = (await open(partial, 'w')).createWriteStream({ flush: true })
    const manifest = await writeTable(table, output)
    output.end()
    await finished(output)
    await rename(partial, file)
    await writeFile(`${partial}.manifest`, `${JSON.stringify(manifest, null, 2)}\n`, { flush: true })
    await rename(`${partial}.manifest`, `${file}.manifest.json`)
    return manifest
  } catch (error) {
    output?.destroy()
    await rm(partial, { force: true })
    throw error
  }
}

async function* checkedBatches(
  { columns, batches }: Table,
  counted: { rows: number },
): AsyncGenerator<readonly TableRow[]> {
  for await (const rows of batches) {
    refuseUnwritable(columns, rows, counted.rows + 1)
    counted.rows += rows.length
    yield rows
  }
}

function octetsOf(table: Table, counted: { rows: number; textFigures: number }): AsyncIterable<Uint8Array> {
  if (table.profile !== undefined && table.format !== 'csv') {
    throw new RangeError(`The profile ${table.profile.name} is one of CSV, not of ${table.format}`)
  }
  return table.format === 'xlsx' ? xlsxOctets(table, counted) : encoded(tableText(table, counted))
}

async function* encoded(texts: AsyncIterable<string>): AsyncGenerator<Buffer> {
  for await (const text of texts) if (text !== '') yield Buffer.from(text)
}

async function* tableText(table: Table, counted: { rows: number }): AsyncGenerator<string> {
  const { format, columns, batches } = table
  if (format === 'csv') {
    const csv = csvWriter(columns, table.profile)
    yield csv.head
    for await (const rows of batches) yield csv.rowsText(rows)
    return
  }
  const keys = columns.map(({ key, name }) => JSON.stringify(key ?? name))
  const rowJson = (row: TableRow) =>
    `{${row.map((cell, place) => `${keys[place]}:${JSON.stringify(cell)}`).join(',')}}`
  if (format === 'ndjson') {
    for await (const rows of batches) yield rows.map((row) => `${rowJson(row)}\n`).join('')
    return
  }
  const head = JSON.stringify(table.jsonHead ?? table.head).slice(0, -1)
  yield `${head}${head === '{' ? '' : ','}"rows":[`
  let separator = '\n'
  for await (const rows of batches) {
    if (rows.length === 0) continue
    yield separator + rows.map(rowJson).join(',\n')
    separator = ',\n'
  }
  yield `\n],"rowCount":${counted.rows}}\n`
}
