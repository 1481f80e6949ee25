/**
 * Tells a line that is repeated from one that contradicts what is stored.
 *
 * Why  the first stays: a bill must not change because a file came again with other content. The contradiction is
 *      kept and reported.
 */
import type pg from 'pg'
import { timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import { rejectedRow } from './batch.ts'
import type { KeptLine, RejectedLine } from './decode-line.ts'
import { isOfRemovedMonth, removedMonths } from './removed-months.ts'

/** Of lines whose place is taken: those whose content is neither stored there nor kept as rejected already. */
export async function conflictsAmong(client: pg.PoolClient, tenantId: string, seen: readonly KeptLine[]): Promise<RejectedLine[]> {
  if (seen.length === 0) return []
  const unproven = new Set(seen)
  for (const [table, lines] of groupedByTable(seen)) {
    for (const line of await storedAlike(client, tenantId, table, lines)) unproven.delete(line)
  }
  if (unproven.size === 0) return []
  const { rows } = await client.query<{ digest: Buffer }>(
    'select digest from rejected_line where tenant_id = $1 and digest = any($2::bytea[])',
    [tenantId, [...unproven].map((line) => line.digest)],
  )
  const kept = new Set(rows.map((row) => row.digest.toString('hex')))
  const removed = await removedMonths(client, tenantId)
  return [...unproven]
    .filter((line) => !kept.has(line.digest.toString('hex')))
    // What retention has removed cannot contradict anything any more.
    .filter(({ event }) => !isOfRemovedMonth(event, removed))
    .map((line) => conflict(line, `${placeOf(line)} was ingested before with other content`))
}

/** Of lines whose place is new: those whose transaction or session is stored, from another place. */
export async function withKnownIdentity(
  client: pg.PoolClient,
  tenantId: string,
  lines: readonly KeptLine[],
): Promise<{ unknown: KeptLine[]; conflicts: RejectedLine[] }> {
  const taken = new Set([
    ...(await takenIds(client, tenantId, lines, 'transaction.ended', 'mail_transaction', 'transaction_id', 'id_time')),
    ...(await takenIds(client, tenantId, lines, 'session.closed', 'session_closed', 'session_id', 'closed_at')),
  ])
  const unknown: KeptLine[] = []
  const conflicts: RejectedLine[] = []
  for (const line of lines) {
    const identity = identityOf(line)
    if (identity !== null && taken.has(identity)) conflicts.push(conflict(line, `${identity} is stored already, from another place of the log`))
    else unknown.push(line)
    if (identity !== null) taken.add(identity)
  }
  return { unknown, conflicts }
}

type StoredTable = 'mail_transaction' | 'delivery_attempt' | 'message_finished' | 'session_closed' | 'gateway_event'

function groupedByTable(lines: readonly KeptLine[]): Map<StoredTable | null, KeptLine[]> {
  const groups = new Map<StoredTable | null, KeptLine[]>()
  for (const line of lines) {
    const table = tableOf(line)
    const group = groups.get(table)
    if (group === undefined) groups.set(table, [line])
    else group.push(line)
  }
  return groups
}

function tableOf({ event }: KeptLine): StoredTable | null {
  if (event.kind === 'transaction.ended') return 'mail_transaction'
  if (event.kind === 'delivery.attempted') return 'delivery_attempt'
  if (event.kind === 'message.finished') return 'message_finished'
  if (event.kind === 'session.closed') return 'session_closed'
  return event.kind === 'gateway.alive' ? null : 'gateway_event'
}

const hashOf = (line: KeptLine): bigint => line.digest.readBigInt64BE(0)

async function storedAlike(
  client: pg.PoolClient,
  tenantId: string,
  table: StoredTable | null,
  lines: readonly KeptLine[],
): Promise<KeptLine[]> {
  // gateway.alive leaves no row: nothing that could contradict.
  if (table === null) return [...lines]
  const { rows } = await client.query<{ position: bigint }>(alikeQueries[table], [
    tenantId,
    lines.map(({ event }) => ('transactionId' in event ? event.transactionId : event.kind === 'session.closed' ? event.sessionId : event.boot)),
    lines.map(({ event }) => new Date('transactionId' in event ? timeMsOfTransactionId(event.transactionId) : event.kind === 'session.closed' ? event.closedAt : event.at)),
    lines.map(hashOf),
    lines.map(({ event }) => event.boot),
    lines.map(({ event }) => event.seq),
    ...(table === 'gateway_event' ? [lines.map(({ event }) => event.node)] : []),
  ])
  return rows.map((row) => lines[Number(row.position) - 1]!)
}

const wanted = `unnest($2::uuid[], $3::timestamptz[], $4::bigint[], $5::uuid[], $6::bigint[]) with ordinality as w(id, time, hash, boot, seq, position)`
const byMessage = (table: string): string => `
  select w.position from ${wanted} join ${table} s
    on s.tenant_id = $1 and s.transaction_id = w.id and s.id_time = w.time and s.boot = w.boot and s.seq = w.seq and s.event_hash = w.hash`
const alikeQueries: Record<StoredTable, string> = {
  mail_transaction: byMessage('mail_transaction'),
  delivery_attempt: byMessage('delivery_attempt'),
  message_finished: byMessage('message_finished'),
  session_closed: `
    select w.position from ${wanted} join session_closed s
      on s.tenant_id = $1 and s.session_id = w.id and s.closed_at = w.time and s.event_hash = w.hash`,
  gateway_event: `
    select w.position from
      unnest($2::uuid[], $3::timestamptz[], $4::bigint[], $5::uuid[], $6::bigint[], $7::text[]) with ordinality
        as w(id, time, hash, boot, seq, node, position)
      join gateway_event s on s.tenant_id = $1 and s.node = w.node and s.boot = w.boot and s.seq = w.seq and s.event_hash = w.hash`,
}

function identityOf({ event }: KeptLine): string | null {
  if (event.kind === 'transaction.ended') return `transaction ${event.transactionId}`
  return event.kind === 'session.closed' ? `session ${event.sessionId} closed at ${event.closedAt}` : null
}

async function takenIds(
  client: pg.PoolClient,
  tenantId: string,
  lines: readonly KeptLine[],
  kind: 'transaction.ended' | 'session.closed',
  table: string,
  idColumn: string,
  timeColumn: string,
): Promise<string[]> {
  const asked = lines.filter((line) => line.event.kind === kind)
  if (asked.length === 0) return []
  const ids = asked.map(({ event }) => (event.kind === 'transaction.ended' ? event.transactionId : event.kind === 'session.closed' ? event.sessionId : ''))
  const times = asked.map(({ event }) => new Date(event.kind === 'session.closed' ? event.closedAt : timeMsOfTransactionId((event as { transactionId: string }).transactionId)))
  const { rows } = await client.query<{ position: bigint }>(
    `select w.position from unnest($2::uuid[], $3::timestamptz[]) with ordinality as w(id, time, position)
     join ${table} s on s.tenant_id = $1 and s.${idColumn} = w.id and s.${timeColumn} = w.time`,
    [tenantId, ids, times],
  )
  return rows.map((row) => identityOf(asked[Number(row.position) - 1]!)!)
}

function conflict(line: KeptLine, detail: string): RejectedLine {
  return rejectedRow(line, detail, 'conflict')
}

function placeOf({ event }: KeptLine): string {
  return `${event.node} boot ${event.boot} seq ${event.seq}`
}
