/**
 * The rule set that judged a message, as it was then: names, thresholds, and every rule with what it did.
 *
 * Why  what did not hit is not in the event. It is computed by the code that judges live, from the content that
 *      `policy.loaded` left, and told only where that computation leads to exactly the hits that were logged: else
 *      nobody could trust the rest of it.
 */
import { sql } from 'kysely'
import type { MessageDetail, RuleStep } from '../../contracts/api.ts'
import type { TransactionEnded } from '../../contracts/event.ts'
import type { Database } from '../../database/open-database.ts'
import { compileRuleset } from '../../rules/compile-ruleset.ts'
import { explainTransaction, type RuleExplanation } from '../../rules/explain-transaction.ts'
import { rulesetOf } from '../../rules/ruleset-faults.ts'

export type RulesetFacts = Pick<MessageDetail, 'ruleNames' | 'thresholds' | 'rules' | 'rulesUnknown'>

/** Empty and `null` where the rule set was not logged. Its content is of its own time, so it is read with care. */
export async function rulesetFacts(
  database: Database,
  tenantId: string,
  event: TransactionEnded,
): Promise<RulesetFacts> {
  const nothing = { ruleNames: {}, thresholds: null, rules: null }
  if (event.rulesetHash === null) return { ...nothing, rulesUnknown: 'not-logged' }
  const { rows } = await sql<{ content: unknown }>`
    select content from policy_version where tenant_id = ${tenantId} and part = 'ruleset'
      and hash = ${event.rulesetHash}`.execute(
    database.kysely,
  )
  const content = rows[0]?.content
  if (!isRecord(content)) return { ...nothing, rulesUnknown: rows.length === 0 ? 'no-content' : 'not-readable' }
  return {
    ruleNames: namesOfHits(content, event),
    thresholds: { markAt: numberOrNull(content['markAt']), rejectAt: numberOrNull(content['rejectAt']) },
    ...explained(content, event),
  }
}

function namesOfHits(content: Record<string, unknown>, event: TransactionEnded): Record<string, string> {
  const hitIds = new Set(event.evaluations.flatMap((evaluation) => evaluation.hits.map((hit) => hit.ruleId)))
  if (event.decidingRuleId !== null) hitIds.add(event.decidingRuleId)
  const ruleNames: Record<string, string> = {}
  for (const rule of Array.isArray(content['rules']) ? content['rules'] : []) {
    if (
      isRecord(rule) &&
      typeof rule['id'] === 'string' &&
      typeof rule['name'] === 'string' &&
      hitIds.has(rule['id'])
    )
      ruleNames[rule['id']] = rule['name']
  }
  return ruleNames
}

function explained(
  content: Record<string, unknown>,
  event: TransactionEnded,
): Pick<RulesetFacts, 'rules' | 'rulesUnknown'> {
  const read = rulesetOf({ ...content, lists: entriesOfLists(content['lists']) })
  if ('faults' in read) return { rules: null, rulesUnknown: 'not-readable' }
  const told = explainTransaction(event, compileRuleset(read.ruleset)).rules
  if (!isAsLogged(told, event)) return { rules: null, rulesUnknown: 'not-reproducible' }
  const rules = told.map(({ isLogged: _isLogged, ...rule }): RuleStep => ({ ...rule, marks: [...rule.marks] }))
  return { rules, rulesUnknown: null }
}

/** As they were logged: with their entries, or long ones by their hash alone, which are empty here. */
function entriesOfLists(lists: unknown): Record<string, unknown> {
  if (!isRecord(lists)) return {}
  return Object.fromEntries(
    Object.entries(lists).map(([name, list]) => [name, isRecord(list) ? (list['entries'] ?? []) : list]),
  )
}

const resultOf = { then: 'hit', else: 'else', unknown: 'unknown' } as const

/** Whether the same rules took the same branches, at the same places. */
function isAsLogged(told: readonly RuleExplanation[], event: TransactionEnded): boolean {
  const logged = event.evaluations.flatMap(({ stage, recipient, hits }) =>
    hits.map((hit) => `${stage} ${recipient} ${hit.ruleId} ${resultOf[hit.branch]}`),
  )
  const computed = told.flatMap((rule) =>
    rule.isLogged ? [`${rule.stage} ${rule.recipient} ${rule.ruleId} ${rule.result}`] : [],
  )
  return logged.length === computed.length && new Set([...logged, ...computed]).size === new Set(logged).size
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
