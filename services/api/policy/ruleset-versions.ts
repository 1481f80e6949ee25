/**
 * The rule sets that were published, one row each and never changed (table `ruleset_version`).
 *
 * Owns    the number of a version. It is the key of the row, and so also what lets one of two at once win.
 * Why     going back is a version of its own with the old content: what was in force when can always be told.
 * Fails   publishing answers `null` where the version in force is not the one that the caller built on.
 */
import { sql } from 'kysely'
import type { Database, DatabaseTransaction } from '../../database/open-database.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { recordAuditIn } from '../access/audit.ts'

export type VersionRow = {
  version: number
  hash: string
  publishedAt: Date
  publishedBy: string
  note: string | null
  reverts: number | null
}
export type VersionContent = VersionRow & { ruleset: Ruleset; text: string }

export type Publication = {
  /** Self-contained: its lists are in it. */
  ruleset: Ruleset
  text: string
  /** The version in force that it was made from; 0: none was. */
  baseVersion: number
  by: string
  note: string | null
  /** The version that it goes back to. */
  reverts: number | null
}

/** `null`: another version than `baseVersion` is in force. */
export async function publishVersion(
  transaction: DatabaseTransaction,
  tenantId: string,
  { ruleset, text, baseVersion, by, note, reverts }: Publication,
): Promise<VersionRow | null> {
  const { rows } = await sql<StoredVersion>`
    insert into ruleset_version (tenant_id, version, ruleset_hash, ruleset, source_text, published_by, note, reverts)
    select ${tenantId}, ${baseVersion + 1}, ${rulesetHash(ruleset)}, ${JSON.stringify(ruleset)}::jsonb, ${text}, ${by},
      ${note}, ${reverts}::bigint
    where ${baseVersion} = (select coalesce(max(version), 0) from ruleset_version where tenant_id = ${tenantId})
    on conflict on constraint ruleset_version_key do nothing
    returning version, ruleset_hash, published_at, published_by, note, reverts`.execute(transaction)
  if (rows[0] === undefined) return null
  const published = versionRow(rows[0])
  await recordAuditIn(transaction, tenantId, {
    actor: by,
    action: reverts === null ? 'rules.published' : 'rules.reverted',
    subject: String(published.version),
    detail: { hash: published.hash, note, ...(reverts === null ? {} : { reverts }) },
  })
  return published
}

/** Newest first; `below` is the version to go on under. */
export async function versionsBelow(
  database: Database,
  tenantId: string,
  { below, limit }: { below: number | null; limit: number },
): Promise<VersionRow[]> {
  const { rows } = await sql<StoredVersion>`
    select version, ruleset_hash, published_at, published_by, note, reverts from ruleset_version
    where tenant_id = ${tenantId} and (${below}::bigint is null or version < ${below})
    order by version desc limit ${limit}`.execute(database.kysely)
  return rows.map(versionRow)
}

/** `version` null: the one in force. */
export async function versionContent(
  reader: DatabaseTransaction | Database['kysely'],
  tenantId: string,
  version: number | null,
): Promise<VersionContent | null> {
  const { rows } = await sql<StoredVersion & { ruleset: Ruleset; source_text: string }>`
    select version, ruleset_hash, published_at, published_by, note, reverts, ruleset, source_text from ruleset_version
    where tenant_id = ${tenantId} and (${version}::bigint is null or version = ${version})
    order by version desc limit 1`.execute(reader)
  const [row] = rows
  return row === undefined ? null : { ...versionRow(row), ruleset: row.ruleset, text: row.source_text }
}

type StoredVersion = {
  version: bigint
  ruleset_hash: string
  published_at: Date
  published_by: string
  note: string | null
  reverts: bigint | null
}

function versionRow(row: StoredVersion): VersionRow {
  return {
    version: Number(row.version),
    hash: row.ruleset_hash,
    publishedAt: row.published_at,
    publishedBy: row.published_by,
    note: row.note,
    reverts: row.reverts === null ? null : Number(row.reverts),
  }
}
