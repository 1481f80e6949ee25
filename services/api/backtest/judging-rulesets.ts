/**
 * The rule sets that judged stored mail, by the hash in each event, as `policy.loaded` told their content.
 *
 * Limits  long lists are logged by their hash alone, so such a set is not for judging: it tells which rules asked for
 *         what, and that is what a replay needs of it.
 * Fails   a set that was never logged, or that this version cannot read, is one without rules: then a rule that asks
 *         for what had to be looked up is not decidable.
 */
import { sql } from 'kysely'
import type { Database } from '../../database/open-database.ts'
import { compileRuleset, type CompiledRuleset } from '../../rules/compile-ruleset.ts'
import type { Ruleset } from '../../rules/ruleset.ts'

export class JudgingRulesets {
  readonly #database: Database
  readonly #tenantId: string
  readonly #tried: CompiledRuleset
  readonly #known = new Map<string, CompiledRuleset>()
  readonly #unknown = compileRuleset({ markAt: null, rejectAt: null, lists: {}, rules: [] })

  /** `tried`: what is tried itself, for events that it judged. */
  constructor(database: Database, tenantId: string, tried: CompiledRuleset) {
    this.#database = database
    this.#tenantId = tenantId
    this.#tried = tried
  }

  /** A promise only where the database has to be asked. */
  of(hash: string | null): CompiledRuleset | Promise<CompiledRuleset> {
    if (hash === this.#tried.hash) return this.#tried
    if (hash === null) return this.#unknown
    return this.#known.get(hash) ?? this.#load(hash)
  }

  async #load(hash: string): Promise<CompiledRuleset> {
    const { rows } = await sql<{ content: unknown }>`
      select content from policy_version where tenant_id = ${this.#tenantId} and part = 'ruleset' and hash = ${hash}`.execute(
      this.#database.kysely,
    )
    const compiled = compiledOrNull(rows[0]?.content) ?? this.#unknown
    this.#known.set(hash, compiled)
    return compiled
  }
}

/** Content of its own time: read with care, and never an error. */
function compiledOrNull(content: unknown): CompiledRuleset | null {
  if (typeof content !== 'object' || content === null || !('rules' in content) || !Array.isArray(content.rules))
    return null
  const lists = Object.entries(('lists' in content && content.lists) || {}).map(([name, list]) => [
    name,
    Array.isArray((list as { entries?: unknown }).entries) ? (list as { entries: string[] }).entries : [],
  ])
  try {
    return compileRuleset({ ...(content as Ruleset), lists: Object.fromEntries(lists) as Ruleset['lists'] })
  } catch {
    // A pattern or an attribute that this version does not have.
    return null
  }
}
