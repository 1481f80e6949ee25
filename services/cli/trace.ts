/**
 * `tollgate trace QUERY`: the newest messages that match, as a table or as JSON Lines; of a single id, or with
 * `--detail`, everything about each.
 *
 * Why  standard output holds the result alone, JSON the same as the API's; counts and how far the log is complete go to
 *      standard error.
 */
import { logStatus } from '../api/log/log-status.ts'
import { messageDetail } from '../api/trace/message-detail.ts'
import { searchMessages } from '../api/trace/search-messages.ts'
import { exactIds } from '../api/trace/trace-select.ts'
import { tenantSettings } from '../api/tenant-settings.ts'
import type { MessageRow } from '../contracts/api.ts'
import { parseTraceQuery, type TraceFault, type TraceQuery } from '../contracts/trace-query.ts'
import { systemClock } from '../kit/clock.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase, type CommandDatabase } from './command-database.ts'
import { completenessLine } from './completeness-line.ts'
import { messageTable } from './message-table.ts'
import { messageText } from './message-text.ts'
import { UsageError } from './outcome.ts'

export type TraceOptions = { query: string; format: 'table' | 'json'; limit: number; isDetailed: boolean; isDemo: boolean }

const rowsPerPage = 500

export async function trace(configured: Config, options: TraceOptions): Promise<void> {
  const parsed = parseTraceQuery(options.query)
  if ('faults' in parsed) throw new UsageError(parsed.faults.flatMap((fault) => faultLines(options.query, fault)))
  const isDetailed = options.isDetailed || exactIds(parsed.query).length === 1
  const width = process.stdout.isTTY === true ? process.stdout.columns : null
  await withCommandDatabase(configured, options, async (opened) => {
    const timeZone = await zoneOf(opened)
    let count = 0
    for await (const rows of pages(opened, parsed.query, timeZone, options.limit)) {
      if (isDetailed) for (const row of rows) await print(await detailText(opened, row.transactionId, timeZone, options.format, width))
      else if (options.format === 'json') await print(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
      else await print(messageTable(rows, { timeZone, width, hasHead: count === 0 }))
      count += rows.length
    }
    if (options.format === 'json') return
    process.stderr.write(count === 0 ? 'No message matches.\n' : countLine(count, options.limit))
    process.stderr.write(completenessLine(await logStatus(opened.database, opened.config.tenant)))
  })
}

async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve))
}

function countLine(count: number, limit: number): string {
  return count < limit ? `${count} ${count === 1 ? 'message' : 'messages'}\n` : `The newest ${count}; more with --limit\n`
}

async function zoneOf({ database, config }: CommandDatabase): Promise<string> {
  const context = { config, database, tenantId: config.tenant, isDemo: false, version: '', clock: systemClock }
  return (await tenantSettings(context)).timeZone
}

function searchIn({ database, config }: CommandDatabase, timeZone: string) {
  return {
    database,
    tenantId: config.tenant,
    scope: { clientId: null },
    timeZone,
    nowMs: systemClock.nowMs(),
    lowersLocalPart: config.recipients.lowerCaseLocalPart,
  }
}

async function detailText(opened: CommandDatabase, transactionId: string, timeZone: string, format: 'table' | 'json', width: number | null): Promise<string> {
  const detail = await messageDetail({ ...searchIn(opened, timeZone), transactionId })
  // Removed by retention between the list and this.
  if (detail === null) return ''
  return format === 'json' ? `${JSON.stringify(detail)}\n` : `${messageText(detail, { timeZone, width })}\n`
}

async function* pages(opened: CommandDatabase, query: TraceQuery, timeZone: string, limit: number): AsyncGenerator<MessageRow[]> {
  let cursor: string | null = null
  for (let rest = limit; rest > 0; ) {
    const page = await searchMessages({ ...searchIn(opened, timeZone), query, cursor, limit: Math.min(rest, rowsPerPage) })
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
