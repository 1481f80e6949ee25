/**
 * The rule set that a new instance begins with, as its version 1: on disk before the gateway starts, which is before
 * there is a database, and in the database as soon as that is there.
 *
 * Why  both texts are equal, so the gateway sees one publication and not two.
 */
import type { Database } from '../../database/open-database.ts'
import { currentSnapshotHash, writeSnapshotText } from '../../kit/snapshot-folder.ts'
import { canonicalJson, rulesetHash } from '../../rules/ruleset-hash.ts'
import { parseRuleset } from '../../rules/parse-ruleset.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import type { PolicySnapshot } from '../../contracts/policy-snapshot.ts'
import { publishVersion } from './ruleset-versions.ts'
import { publishedFolder } from './write-snapshot.ts'

/** Writes nothing where something is published already. */
export async function writeFirstSnapshot(dataFolder: string, tenantId: string, text: string): Promise<void> {
  const folder = publishedFolder(dataFolder)
  if ((await currentSnapshotHash(folder)) !== null) return
  const content = ownRules(text)
  const ruleset = { hash: rulesetHash(content), version: 1, content }
  await writeSnapshotText(folder, canonicalJson({ version: 1, tenantId, parts: { ruleset } } satisfies PolicySnapshot))
}

/** Publishes nothing where there is a version already. */
export async function publishFirstRules(database: Database, tenantId: string, text: string, by: string): Promise<void> {
  const first = { ruleset: ownRules(text), text, baseVersion: 0, by, note: null, reverts: null }
  await database.kysely.transaction().execute((transaction) => publishVersion(transaction, tenantId, first))
}

function ownRules(text: string): Ruleset {
  const parsed = parseRuleset(text, 'rules.yaml')
  if ('ruleset' in parsed) return parsed.ruleset
  throw new Error(`The rule set to begin with has faults: ${parsed.faults[0]!.message}`)
}
