/**
 * What a snapshot is made of: one reader of the database a part. Add a part: one line here, and its reader in
 * services/gateway/policy/snapshot-parts.ts.
 *
 * `null`: never published. A part that was there once must always be there: a gateway takes no snapshot without it.
 */
import type { PolicySnapshotPart } from '../../contracts/policy-snapshot.ts'
import type { DatabaseTransaction } from '../../database/open-database.ts'
import { versionContent } from './ruleset-versions.ts'

export type SnapshotPartReader = (transaction: DatabaseTransaction, tenantId: string) => Promise<PolicySnapshotPart | null>

export const snapshotPartReaders: Record<string, SnapshotPartReader> = {
  ruleset: rulesetPart,
}

async function rulesetPart(transaction: DatabaseTransaction, tenantId: string): Promise<PolicySnapshotPart | null> {
  const inForce = await versionContent(transaction, tenantId, null)
  return inForce === null ? null : { hash: inForce.hash, version: inForce.version, content: inForce.ruleset }
}
