/**
 * Publishes a rule set: a text, the draft, or the content of an old version.
 *
 * Owns    what may be published, and everything that goes with it in one transaction: version, draft, audit.
 * Leaves  the snapshot for the gateways to write-snapshot.ts, after the commit: what is lost in between heals.
 * Fails   `conflict` where somebody else published or changed the draft in between; it says who and when.
 */
import type { PublishedVersion, PublishRequest, RulesDraft } from '../../contracts/published-rules.ts'
import type { Database, DatabaseTransaction } from '../../database/open-database.ts'
import { diffRulesets } from '../../rules/diff-rulesets.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { ApiFault } from '../api-fault.ts'
import { changeDraft, rulesetDraft } from './ruleset-draft.ts'
import { publishVersion, versionContent, type VersionRow } from './ruleset-versions.ts'
import { parsedRules, refuseUnstorable } from './rules-text.ts'

export type PublishOptions = {
  database: Database
  tenantId: string
  /** The setting `rules`: with it the file governs. */
  rulesFile: string | undefined
  by: string
}

export async function publishRules(
  { database, tenantId, rulesFile, by }: PublishOptions,
  request: PublishRequest,
): Promise<PublishedVersion> {
  if (rulesFile !== undefined)
    throw new ApiFault(
      'rules-from-file',
      `The setting rules names ${rulesFile}, and that file governs: change it there, or remove the setting and publish then`,
    )
  const { text, draftRevision, revertTo, baseVersion } = request
  if ([text, draftRevision, revertTo].filter((one) => one !== undefined).length !== 1)
    throw new ApiFault('bad-request', 'Name one of text, draftRevision and revertTo')
  const note = request.note?.trim() || null
  return await database.kysely.transaction().execute(async (transaction) => {
    const inForce = await versionContent(transaction, tenantId, null)
    const source = await sourceOf(transaction, tenantId, request)
    refuseUnstorable(source.ruleset)
    const publication = { ...source, baseVersion, by, note, reverts: revertTo ?? null }
    const published = await publishVersion(transaction, tenantId, publication)
    if (published === null) throw movedOn(await versionContent(transaction, tenantId, null))
    if (draftRevision !== undefined) await takeDraft(transaction, tenantId, { text: null, revision: draftRevision, by })
    return { ...versionView(published), forgottenRevisions: forgottenRevisions(inForce?.ruleset ?? null, source.ruleset) }
  })
}

async function sourceOf(
  transaction: DatabaseTransaction,
  tenantId: string,
  { text, draftRevision, revertTo }: PublishRequest,
): Promise<{ ruleset: Ruleset; text: string }> {
  if (text !== undefined) return { ruleset: parsedRules(text), text }
  if (revertTo !== undefined) {
    const old = await versionContent(transaction, tenantId, revertTo)
    if (old === null) throw new ApiFault('not-found', `There is no version ${revertTo} of the rules`)
    return { ruleset: old.ruleset, text: old.text }
  }
  const draft = await rulesetDraft(transaction, tenantId)
  if (draft.revision !== draftRevision) throw draftMoved(draft)
  if (draft.text === null) throw new ApiFault('not-found', 'There is no draft to publish')
  return { ruleset: parsedRules(draft.text), text: draft.text }
}

/** Changes the draft, or says who did so before. */
export async function takeDraft(
  transaction: DatabaseTransaction,
  tenantId: string,
  change: { text: string | null; revision: number; by: string },
): Promise<RulesDraft> {
  const changed = await changeDraft(transaction, tenantId, change)
  if (changed === null) throw draftMoved(await rulesetDraft(transaction, tenantId))
  return changed
}

function draftMoved({ changedBy, changedAt, revision }: RulesDraft): ApiFault {
  const who = changedBy === null ? 'there is no draft yet' : `${changedBy} changed it at ${changedAt}`
  return new ApiFault('conflict', `The draft is at revision ${revision} now (${who}): read it, and make your change on that one`)
}

function movedOn(inForce: VersionRow | null): ApiFault {
  if (inForce === null) return new ApiFault('conflict', 'Nothing was published yet: publish on base version 0')
  const { version, publishedBy, publishedAt } = inForce
  return new ApiFault(
    'conflict',
    `Version ${version} is in force now (${publishedBy} published it at ${publishedAt.toISOString()}): compare with it, and publish on that one`,
  )
}

/** Rules that mean something else under the same revision. */
export function forgottenRevisions(before: Ruleset | null, after: Ruleset): string[] {
  if (before === null) return []
  const { changed } = diffRulesets(before, after)
  return changed.flatMap(({ ruleId, isRevisionForgotten }) => (isRevisionForgotten ? [ruleId] : []))
}

export function versionView({ publishedAt, version, hash, publishedBy, note, reverts }: VersionRow) {
  return { version, hash, publishedAt: publishedAt.toISOString(), publishedBy, note, reverts }
}
