/**
 * What is ingested of each life of a gateway: the row whose lock makes one loader at a time, and whose ranges of
 * sequence numbers tell a new event from a known one.
 */
import type pg from 'pg'
import type { Batch } from './batch.ts'
import type { KeptLine, LogPlace, RejectedLine } from './decode-line.ts'
import { formatSeqRanges, parseSeqRanges, rangesOf, union, type SeqRanges } from './seq-ranges.ts'

export type BootState = { key: string; node: string; boot: string; seqs: SeqRanges }

const keyOf = (place: { node: string; boot: string }): string => `${place.node}/${place.boot}`

/** Locks the rows of every boot that the batch speaks of, always in the same order; by `node/boot`. */
export async function lockBoots(client: pg.PoolClient, tenantId: string, batch: Batch): Promise<Map<string, BootState>> {
  const wanted = new Map<string, { node: string; boot: string }>()
  let lastKey = ''
  for (const { event } of batch.lines) {
    const key = keyOf(event)
    if (key !== lastKey) wanted.set((lastKey = key), { node: event.node, boot: event.boot })
  }
  for (const { place } of batch.rejected) if (place !== null) wanted.set(keyOf(place), place)

  const states = new Map<string, BootState>()
  for (const [key, { node, boot }] of [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))) {
    let locked = await lockBoot(client, tenantId, node, boot)
    if (locked === undefined) {
      await client.query('insert into log_boot (tenant_id, node, boot) values ($1, $2, $3) on conflict do nothing', [tenantId, node, boot])
      locked = await lockBoot(client, tenantId, node, boot)
    }
    states.set(key, { key, node, boot, seqs: parseSeqRanges(locked!) })
  }
  return states
}

async function lockBoot(client: pg.PoolClient, tenantId: string, node: string, boot: string): Promise<string | undefined> {
  const { rows } = await client.query<{ seqs: string }>(
    'select seqs::text as seqs from log_boot where tenant_id = $1 and node = $2 and boot = $3 for update',
    [tenantId, node, boot],
  )
  return rows[0]?.seqs
}

/** Adds what was loaded, and what was understood and refused, to what is seen. */
export async function updateBoots(
  client: pg.PoolClient,
  tenantId: string,
  boots: ReadonlyMap<string, BootState>,
  loaded: readonly KeptLine[],
  rejected: readonly RejectedLine[],
): Promise<void> {
  for (const state of boots.values()) {
    const lines = loaded.filter((line) => keyOf(line.event) === state.key)
    const refused = rejected.flatMap(({ place }): LogPlace[] => (place !== null && keyOf(place) === state.key ? [place] : []))
    const added = rangesOf([...lines.map((line) => line.event.seq), ...refused.map((place) => place.seq)])
    if (added.length === 0) continue
    const news = newsOf(lines)
    await client.query(
      `update log_boot set
         seqs = seqs + $4::int8multirange,
         newest_at = greatest(newest_at, $5),
         complete_at = case when $6 then greatest(newest_at, $5) else greatest(complete_at, $7) end,
         boot_number = coalesce(boot_number, $8),
         previous_boot = coalesce(previous_boot, $9),
         previous_seq = coalesce(previous_seq, $10),
         previous_ended_cleanly = coalesce(previous_ended_cleanly, $11),
         ended_cleanly = ended_cleanly or $12
       where tenant_id = $1 and node = $2 and boot = $3`,
      [
        tenantId, state.node, state.boot, formatSeqRanges(added), newestAt(lines),
        ...completeness(union(state.seqs, added), lines),
        news.bootNumber, news.previousBoot, news.previousSeq, news.previousEndedCleanly, news.endedCleanly,
      ],
    )
  }
}

/**
 * Whether nothing is missing in the boot now; and, where something is, the newest of the events just loaded that
 * stand before the first hole: not the newest there is, but one before which nothing is missing.
 */
function completeness(seqs: SeqRanges, lines: readonly KeptLine[]): [boolean, Date | null] {
  const first = seqs[0]!
  if (first.from !== 1) return [false, null]
  if (seqs.length === 1) return [true, null]
  return [false, newestAt(lines.filter((line) => line.event.seq < first.upto))]
}

function newestAt(lines: readonly KeptLine[]): Date | null {
  let newest = ''
  for (const { event } of lines) if (event.at > newest) newest = event.at
  return newest === '' ? null : new Date(newest)
}

type BootNews = {
  bootNumber: number | null
  previousBoot: string | null
  previousSeq: number | null
  previousEndedCleanly: boolean | null
  endedCleanly: boolean
}

function newsOf(lines: readonly KeptLine[]): BootNews {
  const news: BootNews = { bootNumber: null, previousBoot: null, previousSeq: null, previousEndedCleanly: null, endedCleanly: false }
  for (const { event } of lines) {
    if (event.kind === 'segment.opened') news.bootNumber ??= event.bootNumber
    else if (event.kind === 'gateway.stopped') news.endedCleanly = true
    else if (event.kind === 'gateway.started') {
      news.bootNumber = event.bootNumber
      news.previousBoot = event.previousBoot
      news.previousSeq = event.previousSeq
      news.previousEndedCleanly = event.previousEndedCleanly
    }
  }
  return news
}
