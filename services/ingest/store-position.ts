/** The two small tables beside the rows: lines that are no events, and how far a segment is read. */
import type pg from 'pg'
import type { SegmentPosition } from './batch.ts'
import type { RejectedLine } from './decode-line.ts'

/** Keeps each line once, however often its file is read; resolves to how many were new. */
export async function insertRejected(
  client: pg.PoolClient,
  tenantId: string,
  fileName: string,
  rejected: readonly RejectedLine[],
): Promise<number> {
  if (rejected.length === 0) return 0
  const { rowCount } = await client.query(
    `insert into rejected_line (tenant_id, reason, detail, file_name, position_bytes, digest, line)
     select $1, reason, detail, $2, position_bytes, digest, line
     from unnest($3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[]) as r(reason, detail, position_bytes, digest, line)
     on conflict do nothing`,
    [
      tenantId,
      fileName,
      rejected.map((line) => line.reason),
      rejected.map((line) => line.detail.replaceAll('\0', '\ufffd')),
      rejected.map((line) => line.positionBytes),
      rejected.map((line) => line.digest),
      rejected.map((line) => line.line),
    ],
  )
  return rowCount ?? 0
}

export async function upsertPosition(client: pg.PoolClient, tenantId: string, position: SegmentPosition, fileName: string): Promise<void> {
  await client.query(
    `insert into log_segment (tenant_id, node, boot, segment, previous_seq, position_bytes, file_name)
     values ($1, $2, $3, $4, $5, $6, $7)
     on conflict (tenant_id, node, boot, segment) do update
     set position_bytes = greatest(log_segment.position_bytes, excluded.position_bytes), file_name = excluded.file_name, updated_at = now()`,
    [tenantId, position.node, position.boot, position.segment, position.previousSeq, position.positionBytes, fileName],
  )
}
