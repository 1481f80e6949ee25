/**
 * The parts of a published snapshot that this gateway knows, each checked and made ready to decide with.
 *
 * Why    all of it is checked before any of it counts: a snapshot is taken as a whole or not at all.
 * Fails  with a sentence that names the part. Add a part: one member of the type, one reader.
 */
import Value from 'typebox/value'
import { PolicySnapshot, type PolicySnapshotPart } from '../../contracts/policy-snapshot.ts'
import { compileRuleset, type CompiledRuleset } from '../../rules/compile-ruleset.ts'
import { pathText } from '../../rules/fault-list.ts'
import { rulesetOf } from '../../rules/ruleset-faults.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'

/** `null`: never published. */
export type SnapshotParts = { ruleset: CompiledRuleset | null }

export function snapshotParts(text: string, tenantId: string): SnapshotParts {
  const snapshot = snapshotOf(text)
  if (snapshot.tenantId !== tenantId)
    throw new Error(`it is of the tenant ${snapshot.tenantId}, and this gateway serves ${tenantId}`)
  const { ruleset } = snapshot.parts
  return { ruleset: ruleset === undefined ? null : publishedRuleset(ruleset) }
}

function snapshotOf(text: string): PolicySnapshot {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`it is no JSON: ${(error as Error).message}`, { cause: error })
  }
  const [fault] = Value.Errors(PolicySnapshot, value)
  if (fault !== undefined) throw new Error(`${fault.instancePath || 'the whole of it'} ${fault.message}`)
  return value as PolicySnapshot
}

function publishedRuleset({ hash, content }: PolicySnapshotPart): CompiledRuleset {
  const result = rulesetOf(content)
  if ('faults' in result) {
    const { path, message } = result.faults[0]!
    throw new Error(`its rule set has faults: ${pathText(path)} ${message}`)
  }
  // Of the content as it came: a version with more defaults than the one that published may take it all the same.
  if (rulesetHash(content as Ruleset) !== hash) throw new Error('its rule set is another one than its hash says')
  return compileRuleset(result.ruleset)
}
