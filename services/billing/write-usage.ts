/**
 * A usage report as a file: CSV, JSON or NDJSON, and the manifest that says what it holds.
 *
 * Owns    the form of exports: RFC 4180 with CRLF and a header row, octets exact and as decimal strings.
 * Leaves  ending the output to its owner, so that a report can go to standard output or into an HTTP reply.
 * Limits  memory is one batch of rows. The same log gives the same bytes: no time of writing, no order by chance.
 * Why     a text that a spreadsheet would take for a formula gets an apostrophe in front, as does one that begins
 *         with apostrophes and then such a sign: taking one away gives the text back. Amounts are left alone.
 * Fails   when the output or the database does; the report is closed then, and what was written is not complete.
 */
import { createHash, type Hash } from 'node:crypto'
import type { WriteStream } from 'node:fs'
import { open, rename, rm, writeFile } from 'node:fs/promises'
import { Readable, type Writable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { stringify } from 'csv-stringify/sync'
import type { UsageRow } from '../contracts/api.ts'
import type { UsageGrouping, UsageReport } from './usage-report.ts'

export const usageFormats = ['csv', 'json', 'ndjson'] as const
export type UsageFormat = (typeof usageFormats)[number]

/** What an export holds, to be kept beside it. `sha256` is of all octets written. */
export type UsageManifest = {
  format: UsageFormat
  rows: number
  sha256: string
  period: { label: string; from: string; upto: string }
  timeZone: string
  unitBytes: number
  filter: { by: UsageGrouping; client: string | null; countedBy: { mode: string; from: string }[] }
  totals: UsageReport['totals']
  unmeteredBatchCount: number
}

/** Writes the whole report and leaves `output` open. */
export async function writeUsage(report: UsageReport, format: UsageFormat, output: Writable): Promise<UsageManifest> {
  const written: Written = { hash: createHash('sha256'), rowCount: 0 }
  try {
    await pipeline(
      Readable.from(hashed(exportText(report, format, written), written), { objectMode: true, highWaterMark: 1 }),
      output,
      { end: false },
    )
  } finally {
    await report.close()
  }
  return { format, rows: written.rowCount, sha256: written.hash.digest('hex'), ...manifestHead(report) }
}

/**
 * Writes the report to a file and its manifest to `<file>.manifest.json`. Under its name stands the whole report or
 * what was there before; the manifest is written last.
 */
export async function writeUsageFile(report: UsageReport, format: UsageFormat, file: string): Promise<UsageManifest> {
  const partial = `${file}.partial`
  let output: WriteStream | null = null
  try {
    output = (await open(partial, 'w')).createWriteStream({ flush: true })
    const manifest = await writeUsage(report, format, output)
    output.end()
    await finished(output)
    await rename(partial, file)
    await writeFile(`${file}.manifest.json`, `${JSON.stringify(manifest, null, 2)}\n`)
    return manifest
  } catch (error) {
    output?.destroy()
    await report.close()
    await rm(partial, { force: true })
    throw error
  }
}

/** The part of the manifest that is known before the rows are read, e.g. for the headers of a reply. */
export function manifestHead(report: UsageReport): Omit<UsageManifest, 'format' | 'rows' | 'sha256'> {
  const { period, by, clientId, modeSpans, unitBytes, totals, unmeteredBatchCount } = report
  return {
    period: { label: period.label, from: period.from.toISOString(), upto: period.upto.toISOString() },
    timeZone: period.timeZone,
    unitBytes,
    filter: {
      by,
      client: clientId,
      countedBy: modeSpans.map((span) => ({ mode: span.mode, from: span.from.toISOString() })),
    },
    totals,
    unmeteredBatchCount,
  }
}

type Written = { hash: Hash; rowCount: number }

async function* hashed(texts: AsyncIterable<string>, written: Written): AsyncGenerator<Buffer> {
  for await (const text of texts) {
    const octets = Buffer.from(text)
    written.hash.update(octets)
    yield octets
  }
}

async function* exportText(report: UsageReport, format: UsageFormat, written: Written): AsyncGenerator<string> {
  if (format === 'csv') yield csvText([columnsOf[report.by]])
  if (format === 'json') yield jsonHead(report)
  for await (const rows of report.batches) {
    if (format === 'csv') yield csvText(rows.map((row) => columnsOf[report.by].map((column) => cellOf[column](row))))
    else if (format === 'ndjson') yield rows.map((row) => `${JSON.stringify(row)}\n`).join('')
    else yield `${written.rowCount > 0 ? ',' : ''}\n${rows.map((row) => JSON.stringify(row)).join(',\n')}`
    written.rowCount += rows.length
  }
  if (format === 'json') yield `\n],"rowCount":${written.rowCount}}\n`
}

const figureColumns = ['direction', 'messages', 'billed_bytes', 'unbilled_bytes'] as const
export const columnsOf = {
  client: ['client_id', 'client_name', ...figureColumns],
  recipient: ['client_id', 'client_name', 'recipient', 'domain', ...figureColumns],
  day: ['day', ...figureColumns],
  domain: ['domain', ...figureColumns],
} as const satisfies Record<UsageGrouping, readonly string[]>
type Column = (typeof columnsOf)[UsageGrouping][number]

const cellOf: Record<Column, (row: UsageRow) => string> = {
  client_id: (row) => row.clientId ?? 'house',
  client_name: (row) => guardedText(row.clientName ?? ''),
  recipient: (row) => guardedText(row.recipient ?? ''),
  domain: (row) => guardedText(row.domain ?? ''),
  day: (row) => row.day ?? '',
  direction: (row) => row.direction,
  messages: (row) => row.messageCount,
  billed_bytes: (row) => row.billedBytes,
  unbilled_bytes: (row) => row.unbilledBytes,
}

/** Signs that begin a formula in a spreadsheet, their full-width twins included. */
export function guardedText(text: string): string {
  return /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/.test(text) ? `'${text}` : text
}

/** With Windows line ends csv-stringify does not quote a lone CR or LF by itself. */
function csvText(records: readonly (readonly string[])[]): string {
  return stringify(records as string[][], { record_delimiter: 'windows', quoted_match: /[\r\n]/ })
}

function jsonHead(report: UsageReport): string {
  const { period, by, clientId, mode, unitBytes, totals } = report
  const head = {
    period: {
      label: period.label,
      from: period.from.toISOString(),
      upto: period.upto.toISOString(),
      timeZone: period.timeZone,
    },
    by,
    client: clientId,
    mode,
    countedBy: manifestHead(report).filter.countedBy,
    unitBytes,
    totals,
  }
  return `${JSON.stringify(head).slice(0, -1)},"rows":[`
}
