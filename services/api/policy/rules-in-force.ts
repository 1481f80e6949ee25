/**
 * The rule set that judges mail now, as far as the api can tell: the file of the setting `rules`, else the newest
 * version; and what each of its rules did lately.
 *
 * Known weakness  of a gateway on another machine the file is not seen; its events tell the hash that it used.
 */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { sql } from 'kysely'
import type { RulesInForce } from '../../contracts/published-rules.ts'
import { stages } from '../../contracts/vocabulary.ts'
import { listFilesOf, parseRuleset } from '../../rules/parse-ruleset.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import type { ApiContext } from '../api-server.ts'
import { ruleRows } from '../overview/analytics.ts'
import { rolledRange, type RolledRange } from '../overview/rolled-range.ts'
import { rulesetDraft } from './ruleset-draft.ts'
import { versionContent } from './ruleset-versions.ts'
import { placesOf } from './rules-text.ts'

const hourMs = 3_600_000

export async function rulesInForce(context: ApiContext, days: number): Promise<RulesInForce> {
  const { database, tenantId, config, clock } = context
  const published = await versionContent(database.kysely, tenantId, null)
  const file = config.rules === undefined ? null : await rulesOfFile(config.rules)
  const ruleset = file === null ? (published?.ruleset ?? null) : file.ruleset
  const uptoMs = Math.ceil(clock.nowMs() / hourMs) * hourMs
  const range = rolledRange(tenantId, { fromMs: uptoMs - days * 24 * hourMs, uptoMs }, true)
  return {
    source: file !== null ? 'file' : published === null ? 'none' : 'published',
    file: config.rules ?? null,
    version: published?.version ?? 0,
    hash: ruleset === null ? null : rulesetHash(ruleset),
    text: file === null ? (published?.text ?? null) : file.text,
    publishedAt: file === null ? (published?.publishedAt.toISOString() ?? null) : null,
    publishedBy: file === null ? (published?.publishedBy ?? null) : null,
    note: file === null ? (published?.note ?? null) : null,
    faults: file?.faults ?? [],
    rules: ruleset === null ? [] : await rulesWithHits(context, ruleset, range),
    days,
    draft: await rulesetDraft(database.kysely, tenantId),
  }
}

/** The set itself, for a comparison or an explanation; `null`: there is none, or its file has faults. */
export async function rulesetInForce({ database, tenantId, config }: ApiContext): Promise<Ruleset | null> {
  if (config.rules !== undefined) return (await rulesOfFile(config.rules)).ruleset
  return (await versionContent(database.kysely, tenantId, null))?.ruleset ?? null
}

type FileRules = { ruleset: Ruleset | null; text: string | null; faults: RulesInForce['faults'] }

async function rulesOfFile(file: string): Promise<FileRules> {
  const text = await textOrNull(file)
  if (text === null)
    return { ruleset: null, text, faults: [{ line: 1, column: 1, path: '', message: `${file} cannot be read` }] }
  const lists = new Map<string, string>()
  for (const name of listFilesOf(text)) {
    const list = await textOrNull(path.resolve(path.dirname(file), name))
    if (list !== null) lists.set(name, list)
  }
  const parsed = parseRuleset(text, file, lists)
  if ('faults' in parsed) return { ruleset: null, text, faults: placesOf(parsed.faults) }
  return { ruleset: parsed.ruleset, text, faults: [] }
}

async function textOrNull(file: string): Promise<string | null> {
  return await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === undefined) throw error
    return null
  })
}

async function rulesWithHits(
  { database, tenantId }: ApiContext,
  { rules }: Ruleset,
  range: RolledRange,
): Promise<RulesInForce['rules']> {
  const rows = await ruleRows(database, range, 'all', undefined)
  const figures = new Map(rows.map((row) => [row.ruleId, row]))
  const { rows: hours } = await sql<{ rule_id: string; hour: Date }>`
    select rule_id, max(hour) as hour from rule_hour
    where tenant_id = ${tenantId} and hour >= ${new Date(range.fromMs)} group by rule_id`.execute(database.kysely)
  const lastHours = new Map(hours.map(({ rule_id, hour }) => [rule_id, hour]))
  return stages.flatMap((stage) =>
    rules
      .filter((rule) => rule.stage === stage)
      .map(({ id, revision, name, mode }) => ({
        id,
        revision,
        name,
        stage,
        mode,
        transactionCount: figures.get(id)?.transactionCount ?? '0',
        hitCount: figures.get(id)?.hitCount ?? '0',
        shadowHitCount: figures.get(id)?.shadowHitCount ?? '0',
        lastHitHour: lastHours.get(id)?.toISOString() ?? null,
      })),
  )
}
