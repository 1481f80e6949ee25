/** `tollgate trace QUERY`: the newest messages that match, as a table or as JSON Lines. */
import { searchMessages } from '../api/trace/search-messages.ts'
import { tenantSettings } from '../api/tenant-settings.ts'
import type { MessageRow } from '../contracts/api.ts'
import { parseTraceQuery, type TraceFault, type TraceQuery } from '../contracts/trace-query.ts'
import { systemClock } from '../kit/clock.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase, type CommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { textTable } from './text-table.ts'

export type TraceOptions = { query: string; format: 'table' | 'json'; limit: number; isDemo: boolean }

const rowsPerPage = 500

export async function trace(configured: Config, options: TraceOptions): Promise<void> {
  const parsed = parseTraceQuery(options.query)
  if ('faults' in parsed) throw new UsageError(parsed.faults.flatMap((fault) => faultLines(options.query, fault)))
  await withCommandDatabase(configured, options, async (opened) => {
    const zone = await zoneOf(opened)
    let count = 0
    for await (const rows of pages(opened, parsed.query, zone, options.limit)) {
      const text = options.format === 'json' ? rows.map((row) => `${JSON.stringify(row)}\n`).join('') : messageTable(rows, zone, count === 0)
      count += rows.length
      if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve))
    }
    if (options.format === 'table') process.stderr.write(count === 0 ? 'No message matches.\n' : countLine(count, options.limit))
  })
}

function countLine(count: number, limit: number): string {
  return count < limit ? `${count} ${count === 1 ? 'message' : 'messages'}\n` : `The newest ${count}; more with --limit\n`
}

async function zoneOf({ database, config }: CommandDatabase): Promise<string> {
  const context = { config, database, tenantId: config.tenant, isDemo: false, version: '', clock: systemClock }
  return (await tenantSettings(context)).timeZone
}

async function* pages(opened: CommandDatabase, query: TraceQuery, timeZone: string, limit: number): AsyncGenerator<MessageRow[]> {
  const { database, config } = opened
  let cursor: string | null = null
  for (let rest = limit; rest > 0; ) {
    const page = await searchMessages({
      database,
      tenantId: config.tenant,
      scope: { clientId: null },
      query,
      timeZone,
      nowMs: systemClock.nowMs(),
      lowersLocalPart: config.recipients.lowerCaseLocalPart,
      cursor,
      limit: Math.min(rest, rowsPerPage),
    })
    if (page.rows.length > 0) yield page.rows
    rest -= page.rows.length
    cursor = page.nextCursor
    if (cursor === null) return
  }
}

/** The query with the place underlined, and what is wrong there. */
function faultLines(query: string, fault: TraceFault): string[] {
  const length = Math.max(1, fault.upto - fault.from)
  return [query, `${' '.repeat(fault.from)}${'^'.repeat(length)}`, `${fault.message.replace(/\.$/, '')}.`]
}

function messageTable(rows: readonly MessageRow[], timeZone: string, hasHead: boolean): string {
  const local = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' })
  const lines = rows.map((row) => [
    local.format(new Date(row.endedAt)),
    row.outcome,
    row.reason ?? '',
    row.sender === '' ? '<>' : (row.sender ?? ''),
    recipientsText(row),
    row.messageBytes ?? '',
    row.subject ?? '',
    row.transactionId,
  ])
  const head = ['time', 'outcome', 'reason', 'from', 'to', 'octets', 'subject', 'id']
  return textTable(hasHead ? head : null, lines, [19, 11, 17, 30, 34, 9, 40, 36])
}

function recipientsText(row: MessageRow): string {
  const first = row.recipients[0]?.address ?? ''
  return row.recipientCount > 1 ? `${first} +${row.recipientCount - 1}` : first
}
