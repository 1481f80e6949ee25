/**
 * Declares events lost for good, by name: what is accepted is no gap any more.
 *
 * Owns    the rows of log_gap_accepted, and the record of who did it, in one transaction.
 * Fails   RangeError where the range is not wholly within one open gap: nothing that is there, or that may still come
 *         as the log goes on, can be declared lost. Should the lines turn up all the same, they are ingested.
 */
import { listGaps } from '../../database/log-completeness.ts'
import type { Database } from '../../database/open-database.ts'

export type AcceptedGap = {
  node: string
  /** The id of the boot, or its number. */
  boot: string
  /** Half-open. */
  fromSeq: number
  uptoSeq: number
  reason: string
  /** Who accepts it. */
  by: string
}

export async function acceptGap(database: Database, tenantId: string, asked: AcceptedGap): Promise<void> {
  const { node, fromSeq, uptoSeq, reason, by } = asked
  const open = (await listGaps(database, tenantId)).filter((gap) => gap.node === node)
  const gap = open.find(
    (one) =>
      (one.boot === asked.boot.toLowerCase() || String(one.bootNumber) === asked.boot) &&
      one.fromSeq <= fromSeq && uptoSeq <= one.uptoSeq && fromSeq < uptoSeq,
  )
  if (gap === undefined) {
    const there = open.map((one) => `boot ${one.bootNumber ?? one.boot} ${one.fromSeq}-${one.uptoSeq}`)
    throw new RangeError(
      `${fromSeq}-${uptoSeq} of boot ${asked.boot} is no open gap of ${node}: ${there.length === 0 ? 'it has none' : `open are ${there.slice(0, 10).join(', ')}`}`,
    )
  }
  await database.pool.query(
    `with accepted as (
       insert into log_gap_accepted (tenant_id, node, boot, seqs, accepted_by, reason, accepted_at)
       values ($1, $2, $3, int8multirange(int8range($4, $5)), $6, $7, clock_timestamp()) returning node)
     insert into audit_record (tenant_id, actor, action, subject, detail)
     select $1, $6, 'log.gap-accepted', node, $8 from accepted`,
    [tenantId, node, gap.boot, fromSeq, uptoSeq, by, reason, JSON.stringify({ boot: gap.boot, fromSeq, uptoSeq, reason })],
  )
}
