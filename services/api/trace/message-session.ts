/** The connection that brought a message, and what was done to it at a gateway afterwards. */
import { sql } from 'kysely'
import type { MessageSession } from '../../contracts/api.ts'
import type { SessionClosed, TransactionEnded } from '../../contracts/event.ts'
import type { Database } from '../../database/open-database.ts'
import type { GatewayAct } from './message-timeline.ts'

/** A connection may stay open for other messages; its row lies at the time at which it closed. */
const longestAfterMs = 2 * 86_400_000
/** A clock that was set back in between. */
const clockStepMs = 3_600_000

export async function messageSession(
  database: Database,
  tenantId: string,
  event: TransactionEnded,
): Promise<MessageSession | null> {
  const endedMs = Date.parse(event.endedAt)
  const { rows } = await sql<{ event: SessionClosed }>`
    select s.event from session_closed s
    where s.tenant_id = ${tenantId} and s.session_id = ${event.sessionId}::uuid
      and s.closed_at >= ${new Date(endedMs - clockStepMs)} and s.closed_at < ${new Date(endedMs + longestAfterMs)}
    order by s.closed_at limit 1`.execute(database.kysely)
  const closed = rows[0]?.event
  if (closed === undefined) return null
  return {
    openedAt: closed.openedAt,
    closedAt: closed.closedAt,
    closedBy: closed.closedBy,
    receivedBytes: String(closed.receivedBytes),
    sentBytes: String(closed.sentBytes),
    transactionCount: closed.transactionCount,
    violations: closed.violations,
    isReplyWritten: !closed.unflushedTransactionIds.includes(event.transactionId),
  }
}

export async function gatewayActs(database: Database, tenantId: string, transactionId: string): Promise<GatewayAct[]> {
  const { rows } = await sql<{ kind: GatewayAct['kind']; at: Date; by: string | null }>`
    select g.kind, g.at, g.event->>'by' as by from gateway_event g
    where g.tenant_id = ${tenantId} and g.transaction_id = ${transactionId}::uuid
      and g.kind in ('quarantine.released', 'quarantine.deleted')
    order by g.at, g.boot, g.seq`.execute(database.kysely)
  return rows.map((row) => ({ ...row, at: row.at.toISOString() }))
}
