/** Lines of the log that are no events, or contradict one: newest first, as text that is safe to show. */
import type { RejectedLineList } from '../../contracts/api.ts'
import type { Database } from '../../database/open-database.ts'
import { visibleOctets } from '../../kit/visible-text.ts'

export type RejectedSearch = {
  database: Database
  tenantId: string
  reason: string | null
  /** `nextCursor` of the page before. */
  cursor: string | null
  limit: number
}

/** Of a line so much is shown; the table keeps it whole. */
export const shownLineBytes = 4_096

export async function listRejectedLines(search: RejectedSearch): Promise<RejectedLineList> {
  const { rows } = await search.database.pool.query<RejectedRow>(
    `select rejected_id, reason, detail, file_name, position_bytes, rejected_at,
       substring(line from 1 for $5) as line, length(line) as length_bytes
     from rejected_line
     where tenant_id = $1 and ($2::text is null or reason = $2) and ($3::bigint is null or rejected_id < $3)
     order by rejected_id desc limit $4`,
    [search.tenantId, search.reason, search.cursor, search.limit + 1, shownLineBytes],
  )
  const shown = rows.slice(0, search.limit)
  return {
    rows: shown.map((row) => ({
      rejectedId: String(row.rejected_id),
      reason: row.reason,
      detail: row.detail,
      fileName: row.file_name,
      positionBytes: String(row.position_bytes),
      rejectedAt: row.rejected_at.toISOString(),
      line: visibleOctets(row.line),
      lineBytes: row.length_bytes,
    })),
    nextCursor: rows.length > shown.length ? String(shown.at(-1)!.rejected_id) : null,
  }
}

type RejectedRow = {
  rejected_id: bigint
  reason: string
  detail: string
  file_name: string
  position_bytes: bigint
  rejected_at: Date
  line: Buffer
  length_bytes: number
}
