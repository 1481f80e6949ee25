/** What needs somebody's attention, each with what to do about it. Only what is wrong now is listed. */
import { sql } from 'kysely'
import type { Completeness, Overview } from '../../contracts/api.ts'
import type { Database } from '../../database/open-database.ts'

type Warning = Overview['warnings'][number]

/** A gateway writes at least each minute: a newest line that is older shows a tail that is a minute behind. */
export const silentAfterMs = 120_000
export const unmeteredAfterMs = 300_000

export async function overviewWarnings(
  database: Database,
  tenantId: string,
  completeness: Completeness,
  nowMs: number,
): Promise<Warning[]> {
  const { rows } = await sql<{ oldest: Date | null }>`
    select min(b.ingested_at) as oldest from ingest_batch b
    where b.tenant_id = ${tenantId} and b.transaction_count > 0
      and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)`.execute(
    database.kysely,
  )
  const stopped = await sql<{ node: string }>`
    select node from (select distinct on (node) node, ended_cleanly from log_boot
      where tenant_id = ${tenantId} order by node, newest_at desc nulls last, boot_number desc nulls last) as newest
    where ended_cleanly`.execute(database.kysely)
  return warningsOf({
    completeness,
    stoppedNodes: new Set(stopped.rows.map((row) => row.node)),
    oldestUnmeteredMs: rows[0]?.oldest?.getTime() ?? null,
    nowMs,
  })
}

export type WarningFacts = {
  completeness: Completeness
  /** Gateways whose last word was that they stop. */
  stoppedNodes: ReadonlySet<string>
  /** When the oldest batch was ingested that is not metered. */
  oldestUnmeteredMs: number | null
  nowMs: number
}

export function warningsOf({ completeness, stoppedNodes, oldestUnmeteredMs, nowMs }: WarningFacts): Warning[] {
  const warnings: Warning[] = []
  for (const node of completeness.nodes) {
    if (node.gapCount > 0) {
      const gaps = node.gapCount === 1 ? 'a part' : `${node.gapCount} parts`
      warnings.push({
        text: `The log of ${node.node} has ${gaps} missing: mail may be absent from trace and usage`,
        remedy: `Ingest the missing segments of ${node.node} (tollgate ingest FILE). If they are lost, the gap has to be accepted by name before a period can be closed`,
      })
    }
    const ageMs = node.newestAt === null ? null : nowMs - Date.parse(node.newestAt)
    if (ageMs !== null && ageMs > silentAfterMs && !stoppedNodes.has(node.node)) {
      warnings.push({
        text: `Nothing was ingested from ${node.node} for ${durationText(ageMs)}, although a gateway writes each minute`,
        remedy: `See whether the gateway ${node.node} and its ingest run; mail that the gateway accepts meanwhile is in its log and comes later`,
      })
    }
  }
  if (BigInt(completeness.rejectedLineCount) > 0n) {
    warnings.push({
      text: `${completeness.rejectedLineCount} lines of the log could not be understood`,
      remedy:
        'They are kept whole, with the reason, in table rejected_line; a newer Tollgate may be needed where they come from a newer gateway',
    })
  }
  if (oldestUnmeteredMs !== null && nowMs - oldestUnmeteredMs > unmeteredAfterMs) {
    warnings.push({
      text: `Mail ingested ${durationText(nowMs - oldestUnmeteredMs)} ago is not metered yet: usage is too low`,
      remedy: 'See whether the worker runs (tollgate worker, or tollgate up) and what its log says',
    })
  }
  return warnings
}

function durationText(ms: number): string {
  const minutes = Math.floor(ms / 60_000)
  if (minutes < 120) return `${minutes} minutes`
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} hours` : `${Math.floor(minutes / 1440)} days`
}
