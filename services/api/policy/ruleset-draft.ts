/**
 * The draft of a tenant's next rule set (table `ruleset_draft`): one, for everybody who tunes.
 *
 * Why     its revision goes up with each change and never comes twice, so that nobody writes over a change unseen.
 * Fails   a change on another revision than the present one is `null`.
 */
import { sql } from 'kysely'
import type { RulesDraft } from '../../contracts/published-rules.ts'
import type { Database, DatabaseTransaction } from '../../database/open-database.ts'
import { recordAuditIn } from '../access/audit.ts'

export async function rulesetDraft(reader: DatabaseTransaction | Database['kysely'], tenantId: string): Promise<RulesDraft> {
  const row = await reader
    .selectFrom('ruleset_draft')
    .select(['revision', 'source_text', 'changed_at', 'changed_by'])
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst()
  if (row === undefined) return { revision: 0, text: null, changedAt: null, changedBy: null }
  return {
    revision: Number(row.revision),
    text: row.source_text,
    changedAt: row.changed_at.toISOString(),
    changedBy: row.changed_by,
  }
}

export type DraftChange = { text: string | null; revision: number; by: string }

export async function changeDraft(
  transaction: DatabaseTransaction,
  tenantId: string,
  { text, revision, by }: DraftChange,
): Promise<RulesDraft | null> {
  // Revision 0 is a row that is not there yet; of two who make it, the second changes nothing.
  const { numAffectedRows } = await (revision === 0
    ? sql`insert into ruleset_draft (tenant_id, revision, source_text, changed_by) values (${tenantId}, 1, ${text}, ${by})
        on conflict (tenant_id) do nothing`
    : sql`update ruleset_draft set revision = revision + 1, source_text = ${text}, changed_by = ${by},
          changed_at = clock_timestamp()
        where tenant_id = ${tenantId} and revision = ${revision}`
  ).execute(transaction)
  if (numAffectedRows !== 1n) return null
  const detail = { revision: revision + 1, isDropped: text === null }
  await recordAuditIn(transaction, tenantId, { actor: by, action: 'rules.drafted', subject: String(revision + 1), detail })
  return await rulesetDraft(transaction, tenantId)
}
