/** One stored message under a rule set: every rule in order, and why later ones did not run. */
import { sql } from 'kysely'
import type { TransactionEnded } from '../../contracts/event.ts'
import type { RulesExplanation } from '../../contracts/published-rules.ts'
import { isTransactionId, timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import type { Database } from '../../database/open-database.ts'
import { compileRuleset } from '../../rules/compile-ruleset.ts'
import { explainTransaction } from '../../rules/explain-transaction.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { JudgingRulesets } from '../backtest/judging-rulesets.ts'

/** `null`: there is no such message, or its detail was removed or not ingested yet. */
export async function explainMessage(
  database: Database,
  tenantId: string,
  message: string,
  ruleset: Ruleset,
): Promise<RulesExplanation | null> {
  const id = message.toLowerCase()
  if (!isTransactionId(id)) return null
  const { rows } = await sql<{ event: TransactionEnded }>`
    select event from transaction_detail where tenant_id = ${tenantId} and transaction_id = ${id}::uuid
      and id_time = ${new Date(timeMsOfTransactionId(id))}`.execute(database.kysely)
  const event = rows[0]?.event
  if (event === undefined) return null
  const rules = compileRuleset(ruleset)
  const judgedBy = await new JudgingRulesets(database, tenantId, rules).of(event.rulesetHash)
  const { rules: told, ending } = explainTransaction(event, rules, judgedBy)
  const { outcome, stage, reason, decidingRuleId, progress } = ending
  return {
    messageId: id,
    hash: rules.hash,
    isJudgedByThese: event.rulesetHash === rules.hash,
    then: { outcome: event.outcome, stage: event.stage, reason: event.reason, weight: event.weight },
    now: {
      outcome,
      stage,
      reason,
      decidingRuleId,
      weight: progress.weightThousandths / 1_000,
      marks: [...progress.marks],
    },
    rules: told.map((rule) => ({ ...rule, marks: [...rule.marks] })),
  }
}
