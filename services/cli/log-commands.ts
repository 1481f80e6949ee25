/** `tollgate log …`: how complete the event log is, what could not be read, and gaps that are given up by name. */
import { userInfo } from 'node:os'
import { acceptGap } from '../api/log/accept-gap.ts'
import { logStatus } from '../api/log/log-status.ts'
import { listRejectedLines } from '../api/log/rejected-lines.ts'
import type { Config } from '../kit/config.ts'
import { visibleText } from '../kit/visible-text.ts'
import { withCommandDatabase } from './command-database.ts'
import { completenessLine, gapText } from './completeness-line.ts'
import { UsageError } from './outcome.ts'

type Format = 'table' | 'json'

export async function showLogStatus(configured: Config, options: { format: Format; isDemo: boolean }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const status = await logStatus(database, config.tenant)
    if (options.format === 'json') return void process.stdout.write(`${JSON.stringify(status)}\n`)
    const lines = status.nodes.flatMap((node) => [
      `${node.node}  ${node.bootCount} ${node.bootCount === 1 ? 'boot' : 'boots'}, newest line ${node.newestAt ?? 'none'}`,
      node.tail === null ? '  no segment read' : `  read to octet ${node.tail.positionBytes} of ${node.tail.fileName} (segment ${node.tail.segment}) at ${node.tail.readAt}`,
      ...status.gaps.filter((gap) => gap.node === node.node).map((gap) => `  missing: ${gapText(gap)}`),
      ...status.acceptedGaps
        .filter((gap) => gap.node === node.node)
        .map((gap) => `  given up: boot ${gap.boot} seq ${gap.fromSeq}-${gap.uptoSeq}, by ${gap.acceptedBy} at ${gap.acceptedAt}: ${gap.reason}`),
    ])
    const rejected = Object.entries(status.rejected).map(([reason, count]) => `rejected  ${reason}  ${count}`)
    process.stdout.write([...lines, ...rejected].map((line) => `${visibleText(line)}\n`).join('') + completenessLine(status))
  })
}

export type RejectedOptions = { reason: string | null; limit: number; format: Format; isDemo: boolean }

const rowsPerPage = 500

export async function showRejectedLines(configured: Config, options: RejectedOptions): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    let cursor: string | null = null
    let count = 0
    do {
      const limit = Math.min(rowsPerPage, options.limit - count)
      const page = await listRejectedLines({ database, tenantId: config.tenant, reason: options.reason, cursor, limit })
      for (const row of page.rows) {
        const cut = row.lineBytes > Buffer.byteLength(row.line) ? ` (${row.lineBytes} octets)` : ''
        const text = options.format === 'json' ? JSON.stringify(row) : `${visibleText(`${row.fileName}:${row.positionBytes}  ${row.reason}  ${row.detail}`)}\n  ${row.line}${cut}`
        process.stdout.write(`${text}\n`)
      }
      count += page.rows.length
      cursor = page.nextCursor
    } while (cursor !== null && count < options.limit)
    if (options.format === 'table') process.stderr.write(count === 0 ? 'No line was rejected.\n' : cursor === null ? `${count} lines\n` : `The newest ${count}; more with --limit\n`)
  })
}

export type AcceptGapOptions = { node: string; boot: string; range: { fromSeq: number; uptoSeq: number }; reason: string; isDemo: boolean }

export async function acceptLogGap(configured: Config, options: AcceptGapOptions): Promise<void> {
  const { node, boot, range, reason } = options
  if (reason.trim().length < 3) throw new UsageError('Give the reason in words: it stands in the record for ever.')
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    await acceptGap(database, config.tenant, { node, boot, ...range, reason: reason.trim(), by: `command:${userInfo().username}` }).catch((error: unknown) => {
      if (error instanceof RangeError) throw new UsageError(`${error.message}.`)
      throw error
    })
    process.stdout.write(completenessLine(await logStatus(database, config.tenant)))
  })
}
