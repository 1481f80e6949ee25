/**
 * Why one transaction was judged as it was: every rule in order, what it saw, what it added, and why later ones did
 * not run.
 *
 * Why  computed from the logged event by the code that judges live, so that it cannot tell another story; with a
 *      draft in place of the rules of that day it answers what the draft would have done.
 */
import type { RuleAction, TransactionEnded } from '../contracts/event.ts'
import { stages, type Stage } from '../contracts/vocabulary.ts'
import { isTaken } from './attributes.ts'
import type { CompiledRuleset } from './compile-ruleset.ts'
import type { Progress, RuleStep, StageResult } from './evaluate-stage.ts'
import type { RuleMode } from './ruleset.ts'
import { unloggedOf } from './replay-transaction.ts'
import { simulateTransaction, type Simulation } from './simulate-transaction.ts'

/** `unknown`: a check did not answer, or the log does not hold what the rule asks for; its `unknown` branch was taken. */
export type RuleResult = 'hit' | 'else' | 'missed' | 'unknown' | 'not-run'

export type RuleExplanation = {
  ruleId: string
  revision: number
  name: string
  mode: RuleMode
  stage: Stage
  /** Position in `recipients` for a rule of `rcpt` that ran or could have, else `null`. */
  recipient: number | null
  result: RuleResult
  /** It stands among the hits of the event: it hit, or took another branch that does something. */
  isLogged: boolean
  /** What matched; for `unknown` what the log does not tell, or `null` where a check had no answer. */
  attribute: string | null
  matchedText: string | null
  action: RuleAction
  marks: readonly string[]
  /** What counts for the message; of a shadow rule what would have counted. */
  weight: number
  weightBefore: number
  weightAfter: number
  /** Set for `not-run`. */
  whyNot: string | null
}

export type TransactionExplanation = { rules: RuleExplanation[]; ending: Simulation }

/** `judgedBy` as for `replayTransaction`. */
export function explainTransaction(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  judgedBy: CompiledRuleset | null = null,
): TransactionExplanation {
  const told: RuleExplanation[] = []
  const reached = new Set<string>()
  let stopped: { at: string; why: string } | null = null
  let steps: RuleStep[] = []
  let before: Progress | null = null

  const ending = simulateTransaction(event, compiled, unloggedOf(event, compiled, judgedBy), {
    beginStage(_stage, _recipient, progress) {
      steps = []
      before = progress
      return (step) => steps.push(step)
    },
    endStage(stage, recipient, result) {
      const place = placeOf(stage, recipient)
      reached.add(place)
      told.push(...stepsTold(stage, recipient, result, steps))
      const why = before!.isAccepted || before!.held?.reply ? stopped?.why : whyStageStopped(steps.at(-1))
      const ran = new Set(steps.map((step) => step.rule.rule.id))
      told.push(...restTold(compiled, stage, recipient, ran, result.evaluation.weightAfter, why ?? ''))
      if (why != null) stopped = { at: place, why }
    },
  })
  tellUnreached(event, compiled, reached, ending, told)
  return { rules: told.sort((left, right) => orderOf(compiled, left) - orderOf(compiled, right)), ending }
}

function placeOf(stage: Stage, recipient: number | null): string {
  return `${stage} ${recipient ?? ''}`
}

function stepsTold(
  stage: Stage,
  recipient: number | null,
  result: StageResult,
  steps: readonly RuleStep[],
): RuleExplanation[] {
  let thousandths = Math.round(result.evaluation.weightBefore * 1000)
  return steps.map(({ rule, truth, attribute, matchedText, unlogged, hit }) => {
    const weightBefore = thousandths / 1000
    if (hit !== null && !hit.shadow) thousandths += Math.round(hit.weight * 1000)
    return {
      ...identityOf(rule.rule),
      stage,
      recipient,
      result: truth === null ? 'unknown' : truth ? 'hit' : hit === null ? 'missed' : 'else',
      isLogged: hit !== null,
      attribute: truth ? attribute : unlogged,
      matchedText: truth ? matchedText : null,
      action: hit?.action ?? 'none',
      marks: hit?.marks ?? [],
      weight: hit?.weight ?? 0,
      weightBefore,
      weightAfter: thousandths / 1000,
      whyNot: null,
    }
  })
}

/** Rules of a stage that did not run, those that are off among them. */
function restTold(
  compiled: CompiledRuleset,
  stage: Stage,
  recipient: number | null,
  ran: ReadonlySet<string>,
  weight: number,
  why: string,
): RuleExplanation[] {
  return compiled.ruleset.rules
    .filter((rule) => rule.stage === stage && !ran.has(rule.id))
    .map((rule) => ({
      ...identityOf(rule),
      stage,
      recipient,
      result: 'not-run',
      isLogged: false,
      attribute: null,
      matchedText: null,
      action: 'none',
      marks: [],
      weight: 0,
      weightBefore: weight,
      weightAfter: weight,
      whyNot: rule.mode === 'off' ? 'The rule is off' : why,
    }))
}

function tellUnreached(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  reached: ReadonlySet<string>,
  ending: Simulation,
  told: RuleExplanation[],
): void {
  const weight = ending.progress.weightThousandths / 1000
  const none = new Set<string>()
  for (const stage of stages) {
    if (stage !== 'rcpt') {
      if (!reached.has(placeOf(stage, null)))
        told.push(...restTold(compiled, stage, null, none, weight, whyUnreached(event, stage, ending)))
      continue
    }
    if (event.recipients.length === 0)
      told.push(...restTold(compiled, stage, null, none, weight, whyUnreached(event, stage, ending)))
    for (const [index, recipient] of event.recipients.entries()) {
      if (reached.has(placeOf(stage, index))) continue
      const isOwn = !isTaken(recipient) && recipient.reason !== 'rule'
      const why = isOwn
        ? `The gateway itself ${recipient.outcome} this recipient: ${recipient.reason ?? 'no reason logged'}`
        : whyUnreached(event, stage, ending)
      told.push(...restTold(compiled, stage, index, none, weight, why))
    }
  }
}

function whyUnreached(event: TransactionEnded, stage: Stage, ending: Simulation): string {
  if (ending.outcome === null) return `Not known: the rules of that time ended it at ${event.stage}, before ${stage}`
  const cause = ending.decidingRuleId === null ? (ending.reason ?? ending.outcome) : `rule ${ending.decidingRuleId}`
  return stages.indexOf(ending.stage) < stages.indexOf(stage)
    ? `It ended at ${ending.stage}, before ${stage}: ${cause}`
    : `It ended at ${ending.stage} without rules: ${cause}`
}

/** Why the rules behind the last one did not run, or `null` where it was simply the last. */
function whyStageStopped(last: RuleStep | undefined): string | null {
  if (last === undefined || last.hit === null || last.hit.shadow) return null
  const { id, stage } = last.rule.rule
  switch (last.hit.action) {
    case 'stop':
      return `Rule ${id} stopped the rules of ${stage}`
    case 'accept':
      return stage === 'rcpt'
        ? `Rule ${id} accepted this recipient`
        : `Rule ${id} accepted the message without further rules`
    case 'reject':
    case 'defer':
    case 'discard':
    case 'quarantine':
      return `Rule ${id} decided: ${last.hit.action}`
    default:
      return null
  }
}

function identityOf(rule: {
  id: string
  revision: number
  name: string
  mode: RuleMode
}): Pick<RuleExplanation, 'ruleId' | 'revision' | 'name' | 'mode'> {
  return { ruleId: rule.id, revision: rule.revision, name: rule.name, mode: rule.mode }
}

/** By stage, recipient, then place in the rule set. */
function orderOf(compiled: CompiledRuleset, told: RuleExplanation): number {
  const place = compiled.ruleset.rules.findIndex((rule) => rule.id === told.ruleId)
  return (stages.indexOf(told.stage) * 10_000 + (told.recipient ?? 0)) * 10_000 + place
}
