/**
 * Whether anything of the event log is missing, and up to when nothing is: "nothing is missing" is a statement that
 * the product can make.
 *
 * Why    all links count: the sequence numbers within a boot, the last one that the next boot names, and the boot
 *        itself that the next one names. A gap that an administrator accepted by name is none.
 */
import type { Completeness } from '../contracts/api.ts'
import type { Source } from '../contracts/vocabulary.ts'
import type { Database } from './open-database.ts'

export type LogGap = {
  node: string
  boot: string
  bootNumber: number | null
  /** `missing-boot`: nothing of it is there; `lost-tail`: the next boot names later events; `hole`: between others. */
  kind: 'hole' | 'lost-tail' | 'missing-boot'
  /** Half-open range of sequence numbers. */
  fromSeq: number
  uptoSeq: number
}

/** Open gaps of all nodes, oldest boot first. */
export async function listGaps(database: Database, tenantId: string): Promise<LogGap[]> {
  const boots = await readBoots(database, tenantId)
  return boots.flatMap((boot) =>
    boot.gaps.map((gap) => ({
      node: boot.node,
      boot: boot.boot,
      bootNumber: boot.bootNumber,
      kind: boot.isMissing ? 'missing-boot' : gap.fromSeq >= boot.nextSeq ? 'lost-tail' : 'hole',
      ...gap,
    })),
  )
}

export async function logCompleteness(database: Database, tenantId: string): Promise<Completeness> {
  const boots = await readBoots(database, tenantId)
  const { rows } = await database.pool.query<{ count: bigint }>('select count(*) as count from rejected_line where tenant_id = $1', [tenantId])
  const nodes = [...new Set(boots.map((boot) => boot.node))].map((node) => nodeCompleteness(node, boots.filter((boot) => boot.node === node)))
  return {
    completeUpto: completeUpto(nodes)?.toISOString() ?? null,
    gapCount: nodes.reduce((sum, node) => sum + node.gapCount, 0),
    rejectedLineCount: String(rows[0]!.count),
    nodes: nodes.map(({ node, newestAt, gapCount }) => ({ node, newestAt: newestAt?.toISOString() ?? null, gapCount })),
    unnumberedSources: await readUnnumbered(database, tenantId),
  }
}

/** Nodes that may still have something to tell of before a time; `completeAt`: up to where nothing of theirs is missing. */
export async function nodesBehind(database: Database, tenantId: string, time: Date): Promise<{ node: string; completeAt: Date | null }[]> {
  const boots = await readBoots(database, tenantId)
  return [...new Set(boots.map((boot) => boot.node))]
    .map((node) => nodeCompleteness(node, boots.filter((boot) => boot.node === node)))
    .filter(({ completeAt, isAtRest }) => !isAtRest && (completeAt === null || completeAt < time))
    .map(({ node, completeAt }) => ({ node, completeAt }))
}

/** Other MTAs number no lines: what is missing of theirs cannot be known, and says nothing about the nodes. */
async function readUnnumbered(database: Database, tenantId: string): Promise<Completeness['unnumberedSources']> {
  const { rows } = await database.pool.query<{ source: Source; host: string; newest_at: Date }>(
    'select source, host, newest_at from log_source where tenant_id = $1 order by source, host',
    [tenantId],
  )
  return rows.map(({ source, host, newest_at }) => ({ source, host, newestAt: newest_at.toISOString() }))
}

type Boot = {
  node: string
  boot: string
  bootNumber: number | null
  newestAt: Date | null
  completeAt: Date | null
  isMissing: boolean
  endedCleanly: boolean
  /** Behind the last one that is ingested. */
  nextSeq: number
  gaps: { fromSeq: number; uptoSeq: number }[]
}

type NodeCompleteness = { node: string; newestAt: Date | null; completeAt: Date | null; gapCount: number; isAtRest: boolean }

/**
 * The slowest of the nodes that run. One that ended cleanly with nothing missing has no more to tell until it starts
 * again, and holds nobody back; where all did, the newest line of all is what is complete.
 */
function completeUpto(nodes: readonly NodeCompleteness[]): Date | null {
  const running = nodes.filter((node) => !node.isAtRest)
  if (running.length === 0) return latest(nodes.map((node) => node.completeAt))
  return running.some((node) => node.completeAt === null) ? null : new Date(Math.min(...running.map((node) => node.completeAt!.getTime())))
}

/** The first boot with a gap ends what is complete of a node. */
function nodeCompleteness(node: string, boots: readonly Boot[]): NodeCompleteness {
  const newestAt = latest(boots.map((boot) => boot.newestAt))
  const gapCount = boots.reduce((sum, boot) => sum + boot.gaps.length, 0)
  const firstBroken = boots.findIndex((boot) => boot.gaps.length > 0)
  if (firstBroken < 0) return { node, newestAt, completeAt: newestAt, gapCount, isAtRest: boots.at(-1)!.endedCleanly }
  const before = latest(boots.slice(0, firstBroken).map((boot) => boot.newestAt))
  return { node, newestAt, completeAt: latest([before, boots[firstBroken]!.completeAt]), gapCount, isAtRest: false }
}

function latest(times: readonly (Date | null)[]): Date | null {
  return times.reduce((newest, time) => (newest === null || (time !== null && time > newest) ? time : newest), null)
}

type BootRow = {
  node: string
  boot: string
  boot_number: bigint | null
  newest_at: Date | null
  complete_at: Date | null
  is_missing: boolean
  ended_cleanly: boolean
  next_seq: bigint
  gaps: string
}

async function readBoots(database: Database, tenantId: string): Promise<Boot[]> {
  const { rows } = await database.pool.query<BootRow>(bootQuery, [tenantId])
  return rows.map((row) => ({
    node: row.node,
    boot: row.boot,
    bootNumber: row.boot_number === null ? null : Number(row.boot_number),
    newestAt: row.newest_at,
    completeAt: row.complete_at,
    isMissing: row.is_missing,
    endedCleanly: row.ended_cleanly,
    nextSeq: Number(row.next_seq),
    gaps: Array.from(row.gaps.matchAll(/\[(\d+),(\d+)\)/g), (match) => ({ fromSeq: Number(match[1]), uptoSeq: Number(match[2]) })),
  }))
}

const bootQuery = `
  with named as (
    -- what a boot says of the one before it
    select node, previous_boot as boot, max(boot_number) - 1 as boot_number, max(coalesce(previous_seq, 1)) as last_seq
    from log_boot where tenant_id = $1 and previous_boot is not null
    group by node, previous_boot
  ), known as (
    select coalesce(b.node, n.node) as node, coalesce(b.boot, n.boot) as boot, coalesce(b.boot_number, n.boot_number) as boot_number,
      b.newest_at, b.complete_at, b.boot is null as is_missing, coalesce(b.ended_cleanly, false) as ended_cleanly,
      coalesce(b.seqs, '{}') as seqs, coalesce(upper(b.seqs), 1) as next_seq, coalesce(n.last_seq + 1, 1) as named_upto
    from (select * from log_boot where tenant_id = $1) b full join named n on n.node = b.node and n.boot = b.boot
  )
  select k.node, k.boot, k.boot_number, k.newest_at, k.complete_at, k.is_missing, k.ended_cleanly, k.next_seq,
    (int8multirange(int8range(1, greatest(k.next_seq, k.named_upto))) - k.seqs - coalesce(a.seqs, '{}'))::text as gaps
  from known k left join lateral (
    select range_agg(r) as seqs from log_gap_accepted g, unnest(g.seqs) r
    where g.tenant_id = $1 and g.node = k.node and g.boot = k.boot
  ) a on true
  order by k.node, k.boot_number nulls last, k.newest_at`
