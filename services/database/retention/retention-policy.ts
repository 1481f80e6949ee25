/** The policy of a tenant as it stands in the database, where the owner's functions hold everybody to it. */
import type { Config } from '../../kit/config.ts'
import type { Database } from '../open-database.ts'

/** Days; `null` is for ever. */
export type RetentionPolicy = Record<'detail' | 'subject' | 'message' | 'total' | 'usage' | 'audit', number | null>

export function retentionPolicyOf(settings: Config['retention']): RetentionPolicy {
  const days = (value: number): number | null => (value === 0 ? null : value)
  return {
    detail: days(settings.detailDays),
    subject: days(settings.subjectDays),
    message: days(settings.messageDays),
    total: days(settings.totalDays),
    usage: days(settings.usageDays),
    audit: days(settings.auditDays),
  }
}

/** The tenant must exist. */
export async function storeRetentionPolicy(database: Database, tenantId: string, policy: RetentionPolicy): Promise<void> {
  const values = {
    detail_days: policy.detail,
    subject_days: policy.subject,
    message_days: policy.message,
    total_days: policy.total,
    usage_days: policy.usage,
    audit_days: policy.audit,
  }
  await database.kysely
    .insertInto('retention_policy')
    .values({ tenant_id: tenantId, ...values })
    .onConflict((conflict) => conflict.column('tenant_id').doUpdateSet({ ...values, updated_at: new Date() }))
    .execute()
}

/** `null` where the tenant has none yet: then everything is kept. */
export async function readRetentionPolicy(database: Database, tenantId: string): Promise<RetentionPolicy | null> {
  const row = await database.kysely
    .selectFrom('retention_policy')
    .selectAll()
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst()
  if (row === undefined) return null
  return {
    detail: row.detail_days,
    subject: row.subject_days,
    message: row.message_days,
    total: row.total_days,
    usage: row.usage_days,
    audit: row.audit_days,
  }
}
