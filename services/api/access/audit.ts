/** Who did what: rows of audit_record, append-only. The caller waits: what could not be recorded did not happen. */
import type { Database, DatabaseTransaction } from '../../database/open-database.ts'

export type AuditAction =
  | 'session.login'
  | 'session.login-failed'
  | 'session.logout'
  | 'message.read'
  | 'usage.export'
  | 'user.created'
  | 'address.erased'
  | 'log.gap-accepted'
  | 'backtest.started'
  | 'backtest.cancelled'
  | 'queue.retried'
  | 'queue.deleted'
  | 'quarantine.read'
  | 'quarantine.downloaded'
  | 'quarantine.released'
  | 'quarantine.deleted'
  | 'rules.drafted'
  | 'rules.published'
  | 'rules.reverted'
  | 'client.added'
  | 'client.changed'
  | 'client.address-added'
  | 'client.address-removed'
  | 'clients.imported'
  | 'tariff.added'
  | 'tariff.version-added'
  | 'tariff.assigned'
  | 'period.closed'
  | 'correction.entered'
  | 'statement.export'

export type AuditEntry = { actor: string; action: AuditAction; subject?: string; detail?: Record<string, unknown> }

export async function recordAudit(database: Database, tenantId: string, entry: AuditEntry): Promise<void> {
  await recordAuditIn(database.kysely, tenantId, entry)
}

/** With what it tells of in one transaction: neither is there without the other. */
export async function recordAuditIn(
  transaction: DatabaseTransaction | Database['kysely'],
  tenantId: string,
  entry: AuditEntry,
): Promise<void> {
  await transaction
    .insertInto('audit_record')
    .values({
      tenant_id: tenantId,
      actor: entry.actor,
      action: entry.action,
      subject: entry.subject ?? null,
      detail: entry.detail === undefined ? null : JSON.stringify(entry.detail),
    })
    .execute()
}
