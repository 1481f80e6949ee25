/** `tollgate rules explain FILE`: every rule in order for one message, and why later ones did not run. */
import { sql } from 'kysely'
import Value from 'typebox/value'
import { JudgingRulesets } from '../api/backtest/judging-rulesets.ts'
import { TransactionEnded } from '../contracts/event.ts'
import { isTransactionId, timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import type { Config } from '../kit/config.ts'
import { noRules } from '../gateway/policy/load-rules.ts'
import { compileRuleset, type CompiledRuleset } from '../rules/compile-ruleset.ts'
import {
  explainTransaction,
  type RuleExplanation,
  type TransactionExplanation,
} from '../rules/explain-transaction.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { readRules } from './read-rules.ts'
import { textTable } from './text-table.ts'

export type ExplainRulesOptions = { message?: string; format: 'table' | 'json'; isDemo: boolean }

export async function explainRules(
  configuration: () => Config,
  file: string,
  options: ExplainRulesOptions,
): Promise<void> {
  const rules = compileRuleset(await readRules(file))
  const { event, judgedBy } =
    options.message === undefined
      ? await eventOnStdin(rules)
      : await storedEvent(configuration(), rules, options.message, options.isDemo)
  const explanation = explainTransaction(event, rules, judgedBy)
  process.stdout.write(
    options.format === 'json' ? `${JSON.stringify(explanation)}\n` : explanationText(event, explanation),
  )
  if (event.rulesetHash !== rules.hash)
    process.stderr.write('Note: these are not the rules that judged it; it ended then as the first line says.\n')
}

async function eventOnStdin(rules: CompiledRuleset): Promise<{ event: TransactionEnded; judgedBy: CompiledRuleset }> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  const text = Buffer.concat(chunks).toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new UsageError('Standard input holds no event: give one line of the event log, or --message and an id.')
  }
  // A message out of the API or the trace has its event inside.
  const event = typeof value === 'object' && value !== null && 'event' in value ? value.event : value
  const [fault] = Value.Errors(TransactionEnded, event)
  if (fault !== undefined)
    throw new UsageError(
      `This is no event transaction.ended: ${fault.instancePath || 'the whole of it'} ${fault.message}.`,
    )
  const known = event as TransactionEnded
  return { event: known, judgedBy: known.rulesetHash === rules.hash ? rules : noRules() }
}

async function storedEvent(
  configured: Config,
  rules: CompiledRuleset,
  message: string,
  isDemo: boolean,
): Promise<{ event: TransactionEnded; judgedBy: CompiledRuleset }> {
  const id = message.toLowerCase()
  if (!isTransactionId(id))
    throw new UsageError(`"${message}" is no id of a message: \`tollgate trace\` shows them in its last column.`)
  return await withCommandDatabase(configured, { isDemo }, async ({ database, config }) => {
    const { rows } = await sql<{ event: TransactionEnded }>`
      select event from transaction_detail where tenant_id = ${config.tenant} and transaction_id = ${id}::uuid
        and id_time = ${new Date(timeMsOfTransactionId(id))}`.execute(database.kysely)
    if (rows[0] === undefined) throw new UsageError(`There is no message ${id}, or its log was not ingested yet.`)
    const { event } = rows[0]
    return { event, judgedBy: await new JudgingRulesets(database, config.tenant, rules).of(event.rulesetHash) }
  })
}

function explanationText(event: TransactionEnded, { rules, ending }: TransactionExplanation): string {
  const then = `Then: ${event.outcome} at ${event.stage}, ${event.reason ?? 'no reason'}, weight ${event.weight}\n`
  const now =
    ending.outcome === null
      ? `Under these rules: not decidable, ${ending.stage} was never reached\n`
      : `Under these rules: ${ending.outcome} at ${ending.stage}, ${ending.decidingRuleId === null ? (ending.reason ?? 'no reason') : `rule ${ending.decidingRuleId}`}, weight ${ending.progress.weightThousandths / 1000}\n`
  const marks = ending.progress.marks.length === 0 ? '' : `Marks: ${ending.progress.marks.join(', ')}\n`
  const head = ['stage', 'to', 'rule', 'result', 'weight', 'sum', 'text, or why not']
  return `${then}${now}${marks}\n${textTable(
    head,
    rules.map((told) => row(event, told)),
    [8, 24, 30, 14, 7, 7, 70],
  )}`
}

function row(event: TransactionEnded, told: RuleExplanation): string[] {
  const { stage, recipient, ruleId, mode, result, weight, weightAfter, action, isLogged } = told
  const effect = isLogged && action !== 'none' ? `${result}: ${action}` : result
  return [
    stage,
    recipient === null ? '' : event.recipients[recipient]!.normalized,
    mode === 'shadow' ? `${ruleId} (shadow)` : ruleId,
    effect,
    weight === 0 ? '' : `${weight > 0 ? '+' : ''}${weight}`,
    String(weightAfter),
    told.whyNot ?? reasonText(told),
  ]
}

function reasonText({ result, attribute, matchedText }: RuleExplanation): string {
  if (result === 'unknown')
    return attribute === null ? 'a check had no answer' : `nobody looked up ${attribute}, or it was not logged`
  return matchedText === null ? (attribute ?? '') : `${attribute}: ${matchedText}`
}
