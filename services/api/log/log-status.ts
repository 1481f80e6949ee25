/** How far the event log is here, node by node: boots, gaps with their numbers, where the tail stands, what was rejected. */
import type { LogStatus } from '../../contracts/api.ts'
import { listGaps, logCompleteness } from '../../database/log-completeness.ts'
import type { Database } from '../../database/open-database.ts'

export async function logStatus(database: Database, tenantId: string): Promise<LogStatus> {
  const [completeness, gaps, nodes, rejected, accepted] = await Promise.all([
    logCompleteness(database, tenantId),
    listGaps(database, tenantId),
    nodeRows(database, tenantId),
    database.pool.query<{ reason: string; count: bigint }>(
      'select reason, count(*) as count from rejected_line where tenant_id = $1 group by reason order by reason',
      [tenantId],
    ),
    database.pool.query<AcceptedRow>(acceptedQuery, [tenantId]),
  ])
  return {
    completeness,
    gaps,
    acceptedGaps: accepted.rows.map((row) => ({
      node: row.node,
      boot: row.boot,
      fromSeq: Number(row.from_seq),
      uptoSeq: Number(row.upto_seq),
      acceptedBy: row.accepted_by,
      acceptedAt: row.accepted_at.toISOString(),
      reason: row.reason,
    })),
    nodes: nodes.map((row) => ({
      node: row.node,
      bootCount: row.boot_count,
      newestAt: row.newest_at?.toISOString() ?? null,
      tail:
        row.file_name === null
          ? null
          : {
              boot: row.boot!,
              segment: Number(row.segment),
              fileName: row.file_name,
              positionBytes: String(row.position_bytes),
              readAt: row.updated_at!.toISOString(),
            },
    })),
    rejected: Object.fromEntries(rejected.rows.map((row) => [row.reason, String(row.count)])),
  }
}

type NodeRow = {
  node: string
  boot_count: number
  newest_at: Date | null
  boot: string | null
  segment: bigint | null
  file_name: string | null
  position_bytes: bigint | null
  updated_at: Date | null
}

/** The tail stands in the newest segment of the newest boot. */
async function nodeRows(database: Database, tenantId: string): Promise<NodeRow[]> {
  const { rows } = await database.pool.query<NodeRow>(
    `select b.node, b.boot_count, b.newest_at, s.boot, s.segment, s.file_name, s.position_bytes, s.updated_at
     from (select node, count(*)::integer as boot_count, max(newest_at) as newest_at from log_boot
           where tenant_id = $1 group by node) b
     left join lateral (
       select s.* from log_segment s join log_boot own using (tenant_id, node, boot)
       where s.tenant_id = $1 and s.node = b.node
       order by own.boot_number desc nulls last, s.segment desc limit 1) s on true
     order by b.node`,
    [tenantId],
  )
  return rows
}

type AcceptedRow = {
  node: string
  boot: string
  from_seq: bigint
  upto_seq: bigint
  accepted_by: string
  accepted_at: Date
  reason: string
}
const acceptedQuery = `
  select g.node, g.boot, lower(r.seqs) as from_seq, upper(r.seqs) as upto_seq, g.accepted_by, g.accepted_at, g.reason
  from log_gap_accepted g, unnest(g.seqs) as r (seqs)
  where g.tenant_id = $1 order by g.accepted_at, lower(r.seqs)`
