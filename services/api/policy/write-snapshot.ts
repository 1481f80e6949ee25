/**
 * Makes the snapshot of what is published and puts it where the gateway of this machine looks, `data/policy/published`.
 *
 * Why     one at a time for a tenant, and read anew under that lock: of two publications, the file of the older one
 *         never comes last. Equal content gives an equal text, so writing again changes nothing.
 * Fails   throws where database or disk do; whoever published has published all the same, and the next pass writes it.
 */
import path from 'node:path'
import { sql } from 'kysely'
import type { PolicySnapshot } from '../../contracts/policy-snapshot.ts'
import type { Database, DatabaseTransaction } from '../../database/open-database.ts'
import { snapshotTextHash, writeSnapshotText, type FolderSnapshot } from '../../kit/snapshot-folder.ts'
import { canonicalJson } from '../../rules/ruleset-hash.ts'
import { snapshotPartReaders } from './snapshot-parts.ts'

export type SnapshotPlace = { database: Database; tenantId: string; dataFolder: string }

export function publishedFolder(dataFolder: string): string {
  return path.join(dataFolder, 'policy', 'published')
}

/** The snapshot written; nothing is written where it is `known` by its hash. */
export async function writeSnapshot(
  { database, tenantId, dataFolder }: SnapshotPlace,
  known: string | null = null,
): Promise<FolderSnapshot> {
  return await database.kysely.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(hashtext('tollgate policy snapshot'), hashtext(${tenantId}))`.execute(transaction)
    const text = await snapshotText(transaction, tenantId)
    const hash = snapshotTextHash(text)
    if (hash !== known) await writeSnapshotText(publishedFolder(dataFolder), text)
    return { hash, text }
  })
}

async function snapshotText(transaction: DatabaseTransaction, tenantId: string): Promise<string> {
  const parts: PolicySnapshot['parts'] = {}
  for (const [name, read] of Object.entries(snapshotPartReaders)) {
    const part = await read(transaction, tenantId)
    if (part !== null) parts[name] = part
  }
  const snapshot: PolicySnapshot = { version: 1, tenantId, parts }
  return canonicalJson(snapshot)
}
