/**
 * A usage report as a file or a stream, and the manifest that says what it holds.
 *
 * Owns    which columns a report has.
 * Leaves  the form of exports to exports/write-table.ts; ending the output to its owner.
 * Fails   when the output or the database does; the report is closed then, and what was written is not complete.
 */
import type { Writable } from 'node:stream'
import type { UsageRow } from '../contracts/api.ts'
import type { ExportFormat } from '../contracts/export.ts'
import type { Period } from '../contracts/period.ts'
import { focusCells, focusColumns } from './exports/focus-columns.ts'
import type { ExcelProfile, Table, TableColumn, TableRow } from './exports/table.ts'
import { writeTable, writeTableFile, type TableManifest } from './exports/write-table.ts'
import type { UsageGrouping, UsageReport } from './usage-report.ts'

export type UsageFormat = ExportFormat

export { decimalPointOf } from './exports/csv-text.ts'
export type { ExcelProfile } from './exports/table.ts'

/** What an export holds, to be kept beside it. `sha256` is of all octets written. */
export type UsageManifest = TableManifest & UsageManifestHead & { mapping?: 'focus' }
export type UsageManifestHead = {
  period: { label: string; from: string; upto: string }
  timeZone: string
  unitBytes: number
  filter: { by: UsageGrouping; client: string | null; countedBy: { mode: string; from: string }[] }
  totals: UsageReport['totals']
  /** Only of a comparison. */
  previous?: { period: { label: string; from: string; upto: string }; totals: UsageReport['totals'] }
  unmeteredBatchCount: number
}

/** Writes the whole report and leaves `output` open. `profile` is one of CSV. */
export async function writeUsage(
  report: UsageReport,
  format: UsageFormat,
  output: Writable,
  profile?: ExcelProfile,
): Promise<UsageManifest> {
  try {
    return await writeTable(usageTable(report, format, profile), output)
  } finally {
    await report.close()
  }
}

/** Writes the report to a file, and its manifest beside it: writeTableFile. */
export async function writeUsageFile(
  report: UsageReport,
  format: UsageFormat,
  file: string,
  profile?: ExcelProfile,
): Promise<UsageManifest> {
  try {
    return await writeTableFile(usageTable(report, format, profile), file)
  } finally {
    await report.close()
  }
}

/** The part of the manifest that is known before the rows are read, e.g. for the headers of a reply. */
export function manifestHead(report: UsageReport): UsageManifestHead {
  const { period, by, clientId, modeSpans, unitBytes, totals, previous, unmeteredBatchCount } = report
  return {
    period: periodText(period),
    timeZone: period.timeZone,
    unitBytes,
    filter: {
      by,
      client: clientId,
      countedBy: modeSpans.map((span) => ({ mode: span.mode, from: span.from.toISOString() })),
    },
    totals,
    ...(previous === null ? {} : { previous: { period: periodText(previous.period), totals: previous.totals } }),
    unmeteredBatchCount,
  }
}

const periodText = ({ label, from, upto }: Period) => ({
  label,
  from: from.toISOString(),
  upto: upto.toISOString(),
})

type Column = TableColumn & { row: keyof UsageRow }

const columnOf = {
  client_id: { kind: 'id', row: 'clientId', empty: 'house' },
  client_name: { kind: 'text', row: 'clientName' },
  recipient: { kind: 'text', row: 'recipient' },
  domain: { kind: 'text', row: 'domain' },
  day: { kind: 'time', row: 'day' },
  direction: { kind: 'id', row: 'direction' },
  messages: { kind: 'count', row: 'messageCount' },
  billed_bytes: { kind: 'octets', row: 'billedBytes' },
  unbilled_bytes: { kind: 'octets', row: 'unbilledBytes' },
  previous_messages: { kind: 'count', row: 'previousMessageCount' },
  previous_billed_bytes: { kind: 'octets', row: 'previousBilledBytes' },
  previous_unbilled_bytes: { kind: 'octets', row: 'previousUnbilledBytes' },
  billed_bytes_change: { kind: 'octets', row: 'billedBytesChange' },
} as const satisfies Record<string, Omit<Column, 'name'>>

const figureColumns = ['direction', 'messages', 'billed_bytes', 'unbilled_bytes'] as const
export const columnsOf = {
  client: ['client_id', 'client_name', ...figureColumns],
  recipient: ['client_id', 'client_name', 'recipient', 'domain', ...figureColumns],
  day: ['day', ...figureColumns],
  domain: ['domain', ...figureColumns],
  direction: figureColumns,
} as const satisfies Record<UsageGrouping, readonly (keyof typeof columnOf)[]>

const comparedColumns = [
  'previous_messages',
  'previous_billed_bytes',
  'previous_unbilled_bytes',
  'billed_bytes_change',
] as const

/** JSON has every key, whatever the grouping: null where it does not use one. */
const jsonColumns = ['client_id', 'client_name', 'recipient', 'domain', 'day', ...figureColumns] as const

type UsageTable = Table & { head: UsageManifestHead & { mapping?: 'focus' } }

function usageTable(report: UsageReport, format: UsageFormat, profile: ExcelProfile | undefined): UsageTable {
  const head = manifestHead(report)
  if (format === 'focus') {
    refuseFocus(report)
    const batches = focusRows(report)
    return { columns: focusColumns, batches, format: 'csv', profile, head: { ...head, mapping: 'focus' } }
  }
  const isSheet = format === 'csv' || format === 'xlsx'
  const names = [
    ...(isSheet ? columnsOf[report.by] : jsonColumns),
    ...(report.previous === null ? [] : comparedColumns),
  ]
  const columns: Column[] = names.map((name) => ({ name, key: columnOf[name].row, ...columnOf[name] }))
  return {
    columns,
    batches: tableRows(
      report.batches,
      columns.map((column) => column.row),
    ),
    format,
    profile,
    head,
    jsonHead: jsonHead(report),
    sheetName: `usage ${report.period.label}`,
  }
}

async function* tableRows(
  batches: AsyncIterable<UsageRow[]>,
  keys: readonly (keyof UsageRow)[],
): AsyncGenerator<TableRow[]> {
  for await (const rows of batches) yield rows.map((row) => keys.map((key) => row[key] ?? null))
}

/** FOCUS charges an account: the paying client. A RangeError with the remedy where a report does not tell it. */
export function refuseFocus({ by, previous }: Pick<UsageReport, 'by' | 'previous'>): void {
  if (by !== 'client' && by !== 'recipient') {
    throw new RangeError(`focus charges clients: ask for it by client or by recipient, not by ${by}`)
  }
  if (previous !== null) throw new RangeError('focus has no comparison: leave compare out, or take another format')
}

async function* focusRows({ batches, period, currency, by }: UsageReport): AsyncGenerator<TableRow[]> {
  for await (const rows of batches) {
    yield rows.map(({ recipient, ...row }) =>
      focusCells({
        clientId: row.clientId,
        clientName: row.clientName,
        billedCost: null,
        currency,
        period,
        consumedQuantity: row.billedBytes,
        direction: row.direction,
        resource: by === 'recipient' && recipient !== null ? { id: recipient, type: 'recipient' } : null,
        description: `Mail, ${row.direction}`,
        messageCount: row.messageCount,
        unbilledBytes: row.unbilledBytes,
      }),
    )
  }
}

function jsonHead(report: UsageReport): object {
  const { period, by, clientId, mode, unitBytes, totals, previous } = report
  return {
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
    ...(previous === null ? {} : { previous: manifestHead(report).previous }),
  }
}
