/** Names of rules and the thresholds, as they were in the rule set that judged a message. */
import { sql } from 'kysely'
import type { MessageDetail } from '../../contracts/api.ts'
import type { TransactionEnded } from '../../contracts/event.ts'
import type { Database } from '../../database/open-database.ts'

export type RulesetFacts = Pick<MessageDetail, 'ruleNames' | 'thresholds'>

/** Empty and `null` where the rule set was not logged. Its content is of its own time, so it is read with care. */
export async function rulesetFacts(
  database: Database,
  tenantId: string,
  event: TransactionEnded,
): Promise<RulesetFacts> {
  if (event.rulesetHash === null) return { ruleNames: {}, thresholds: null }
  const { rows } = await sql<{ content: unknown }>`
    select content from policy_version where tenant_id = ${tenantId} and part = 'ruleset'
      and hash = ${event.rulesetHash}`.execute(
    database.kysely,
  )
  const content = rows[0]?.content
  if (!isRecord(content)) return { ruleNames: {}, thresholds: null }
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
  return {
    ruleNames,
    thresholds: { markAt: numberOrNull(content['markAt']), rejectAt: numberOrNull(content['rejectAt']) },
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function numberOrNull(value: unknown): number | null {
  return typeof value === 'number' ? value : null
}
