/**
 * Runs the rules of one stage: what hit, what it adds up to, and what is to be done (DESIGN §4).
 *
 * Owns    order, weights, marks, thresholds, shadow, and what counts of a recipient's rules.
 * Leaves  SMTP replies, spool and events to the gateway; durations to the caller, who puts them into
 *         `evaluation.durationUs` (0 here): this file reads no clock, so that equal input gives equal output.
 * Why     progress is a value: a session keeps that of `connect` and `helo` and starts each transaction from it.
 *
 * Verdicts are given where they can be acted on. Reject and defer end their stage at once; a discard or quarantine
 * of the whole message is held until `complete`, where a later refusal still overrides it, and so is every verdict
 * of a `header` rule unless the rule set decides these at `header`.
 */
import type { Evaluation, Reply, RuleHit } from '../contracts/event.ts'
import type { Stage } from '../contracts/vocabulary.ts'
import type { Attributes } from './attributes.ts'
import type { Truth } from './compile-condition.ts'
import { StageContext } from './stage-context.ts'
import { thousandths, type CompiledBranch, type CompiledRule, type CompiledRuleset } from './compile-ruleset.ts'
import { flagHeaderName, headerMark, scoreHeaderName, subjectMark } from './marks.ts'
import { branchActions, type Branch } from './ruleset.ts'

export type Verdict = {
  /** `accept` at `rcpt` concerns the recipient's rules alone, elsewhere all later rules and the thresholds. */
  action: 'reject' | 'defer' | 'discard' | 'quarantine' | 'accept'
  /** What to answer for reject and defer. */
  reply: Reply | null
  reason: 'rule' | 'weight'
  /** `null` where the weight decided. */
  ruleId: string | null
}

/** Where a transaction stands between two stages. A value: never changed, only replaced. */
export type Progress = {
  weightThousandths: number
  /** In the order in which they were set, each once. */
  marks: readonly string[]
  /** `rcpt` rules whose weight and marks already count. */
  countedRuleIds: readonly string[]
  /** What is to happen at `complete`, unless something stronger does. */
  held: Verdict | null
  /** A rule accepted the message: no later rule runs, and no threshold applies. */
  isAccepted: boolean
  /** For all recipients, set outside `rcpt`. */
  redirectTo: string | null
  copyTo: readonly string[]
}

export type StageResult = {
  evaluation: Evaluation
  progress: Progress
  /** `null`: go on. */
  verdict: Verdict | null
  /** Set by this evaluation: at `rcpt` for this recipient, else also in `progress`. */
  redirectTo: string | null
  copyTo: readonly string[]
  /** In a replay: rules, shadow ones apart, that ask for what the log does not tell, and so took no sure branch. */
  undecided: readonly UndecidedRule[]
}

export type UndecidedRule = { rule: CompiledRule; attribute: string }

/** One rule that ran, as `explain` shows it. */
export type RuleStep = {
  rule: CompiledRule
  truth: boolean | null
  attribute: string | null
  matchedText: string | null
  /** What the log does not tell, where that left the truth open. */
  unlogged: string | null
  hit: RuleHit | null
}

export function initialProgress(): Progress {
  return {
    weightThousandths: 0,
    marks: [],
    countedRuleIds: [],
    held: null,
    isAccepted: false,
    redirectTo: null,
    copyTo: [],
  }
}

/**
 * `recipient` is the position of the recipient for stage `rcpt`, else `null`. `observe` is told of every rule that
 * ran, whether it hit or not.
 */
export function evaluateStage(
  compiled: CompiledRuleset,
  stage: Stage,
  attributes: Attributes,
  progress: Progress,
  recipient: number | null,
  observe?: (step: RuleStep) => void,
): StageResult {
  const isSkipped = progress.isAccepted || (stage === 'complete' && isRefusal(progress.held))
  const rules = isSkipped ? noRules : compiled.stageRules[stage]
  const run = runRules(compiled, rules, attributes, observe)
  const settled = stage === 'rcpt' ? settleRecipient(progress, run) : settleMessage(progress, run)
  const evaluation: Evaluation = {
    stage,
    recipient,
    weightBefore: progress.weightThousandths / 1000,
    weightAfter: settled.weightThousandths / 1000,
    hits: run.hits,
    durationUs: 0,
  }
  const next =
    stage === 'complete'
      ? decide(compiled, settled, run.verdict)
      : stage === 'rcpt'
        ? { progress: settled, verdict: run.verdict }
        : hold(compiled, stage, settled, run.verdict)
  return {
    evaluation,
    progress: next.progress,
    verdict: next.verdict,
    redirectTo: run.redirectTo,
    copyTo: run.copyTo,
    undecided: run.undecided,
  }
}

type Run = {
  hits: RuleHit[]
  /** Which compiled branch made each hit. */
  branches: CompiledBranch[]
  verdict: Verdict | null
  redirectTo: string | null
  copyTo: string[]
  undecided: UndecidedRule[]
}

const noRules: readonly CompiledRule[] = []

function runRules(
  compiled: CompiledRuleset,
  rules: readonly CompiledRule[],
  attributes: Attributes,
  observe: ((step: RuleStep) => void) | undefined,
): Run {
  const run: Run = { hits: [], branches: [], verdict: null, redirectTo: null, copyTo: [], undecided: [] }
  if (rules.length === 0) return run
  const context = new StageContext(compiled, attributes)
  for (const rule of rules) {
    context.matchedSlot = null
    context.matchedText = null
    context.unloggedName = null
    const truth = rule.when(context)
    if (truth === null && context.unloggedName !== null && !rule.isShadow)
      run.undecided.push({ rule, attribute: context.unloggedName })
    const branch = truth === true ? rule.then : truth === false ? rule.else : rule.unknown
    const hit =
      branch === null || (truth !== true && !branch.hasEffect) ? null : ruleHit(rule, branch, truth, context)
    if (hit !== null) {
      run.hits.push(hit)
      run.branches.push(branch!)
    }
    observe?.({
      rule,
      truth,
      attribute: context.matchedAttribute,
      matchedText: context.cutMatchedText,
      unlogged: truth === null ? context.unloggedName : null,
      hit,
    })
    if (hit === null || rule.isShadow) continue
    const { branch: action } = branch!
    if (action.redirect !== undefined) run.redirectTo = action.redirect
    if (action.copy !== undefined && !run.copyTo.includes(action.copy)) run.copyTo.push(action.copy)
    if (action.stop) break
    run.verdict = verdictOf(rule.rule.id, action)
    if (run.verdict !== null) break
  }
  return run
}

function ruleHit(rule: CompiledRule, branch: CompiledBranch, truth: Truth, context: StageContext): RuleHit {
  const isThen = truth === true
  return {
    ruleId: rule.rule.id,
    revision: rule.rule.revision,
    branch: isThen ? 'then' : truth === false ? 'else' : 'unknown',
    attribute: isThen ? context.matchedAttribute : null,
    matchedText: isThen ? context.cutMatchedText : null,
    weight: branch.weightThousandths / 1000,
    marks: [...branch.marks],
    action: branchActions.find((action) => branch.branch[action] !== undefined) ?? 'none',
    shadow: rule.isShadow,
  }
}

function verdictOf(ruleId: string, branch: Branch): Verdict | null {
  if (branch.reject !== undefined) {
    const { code = 550, enhanced = '5.7.1', text } = branch.reject
    return { action: 'reject', reply: { code, enhanced, text }, reason: 'rule', ruleId }
  }
  if (branch.defer !== undefined) {
    const { code = 451, enhanced = '4.7.1', text } = branch.defer
    return { action: 'defer', reply: { code, enhanced, text }, reason: 'rule', ruleId }
  }
  const action = branch.discard ? 'discard' : branch.quarantine ? 'quarantine' : branch.accept ? 'accept' : null
  return action === null ? null : { action, reply: null, reason: 'rule', ruleId }
}

/** Outside `rcpt` everything that hit counts for the message. */
function settleMessage(progress: Progress, run: Run): Progress {
  if (run.hits.length === 0) return progress
  let weight = progress.weightThousandths
  const marks = [...progress.marks]
  for (const [index, hit] of run.hits.entries()) {
    if (hit.shadow) continue
    weight += run.branches[index]!.weightThousandths
    for (const mark of hit.marks) if (!marks.includes(mark)) marks.push(mark)
  }
  return {
    ...progress,
    weightThousandths: weight,
    marks,
    redirectTo: run.redirectTo ?? progress.redirectTo,
    copyTo: [...new Set([...progress.copyTo, ...run.copyTo])],
  }
}

/**
 * At `rcpt` a refused or deferred recipient leaves nothing to the message, and each rule counts once. A hit that
 * does not count is logged with weight 0 and no marks: the hits of a transaction always add up to its weight.
 */
function settleRecipient(progress: Progress, run: Run): Progress {
  if (run.hits.length === 0) return progress
  if (isRefusal(run.verdict)) {
    for (const hit of run.hits) discount(hit)
    return progress
  }
  let weight = progress.weightThousandths
  const marks = [...progress.marks]
  const counted = new Set(progress.countedRuleIds)
  for (const [index, hit] of run.hits.entries()) {
    if (counted.has(hit.ruleId)) {
      discount(hit)
      continue
    }
    counted.add(hit.ruleId)
    if (hit.shadow) continue
    weight += run.branches[index]!.weightThousandths
    for (const mark of hit.marks) if (!marks.includes(mark)) marks.push(mark)
  }
  return { ...progress, weightThousandths: weight, marks, countedRuleIds: [...counted] }
}

function discount(hit: RuleHit): void {
  hit.weight = 0
  hit.marks = []
}

type Decision = { progress: Progress; verdict: Verdict | null }

/** Before `complete`: a refusal is given at once where it may be, everything else waits. */
function hold(compiled: CompiledRuleset, stage: Stage, settled: Progress, verdict: Verdict | null): Decision {
  if (verdict === null) return { progress: settled, verdict: null }
  if (verdict.action === 'accept') return { progress: { ...settled, isAccepted: true }, verdict }
  const isAnsweredNow = stage !== 'header' || compiled.ruleset.decideHeaderRulesAt === 'header'
  if (isRefusal(verdict) && isAnsweredNow) return { progress: settled, verdict }
  return { progress: { ...settled, held: stronger(settled.held, verdict) }, verdict: null }
}

/** At `complete`: a rule's verdict first, then what was held, then the thresholds; marks only for what is taken. */
function decide(compiled: CompiledRuleset, settled: Progress, verdict: Verdict | null): Decision {
  if (settled.isAccepted || verdict?.action === 'accept') {
    return { progress: { ...settled, isAccepted: true }, verdict: settled.held ?? verdict }
  }
  const { markAt, rejectAt, subjectTag } = compiled.ruleset
  const ruled = stronger(settled.held, verdict)
  if (isRefusal(ruled)) return { progress: settled, verdict: ruled }
  const weight = settled.weightThousandths
  if (rejectAt !== null && weight >= thousandths(rejectAt)) {
    return {
      progress: settled,
      verdict: { action: 'reject', reply: { ...refusedByWeight }, reason: 'weight', ruleId: null },
    }
  }
  if (markAt === null || weight < thousandths(markAt)) return { progress: settled, verdict: ruled }
  const marks = new Set(settled.marks)
  if (subjectTag !== undefined) marks.add(subjectMark(subjectTag))
  marks.add(headerMark(flagHeaderName, 'YES'))
  marks.add(headerMark(scoreHeaderName, String(weight / 1000)))
  return { progress: { ...settled, marks: [...marks] }, verdict: ruled }
}

const refusedByWeight: Reply = { code: 550, enhanced: '5.7.1', text: 'Message refused: it looks like spam' }

function isRefusal(verdict: Verdict | null): boolean {
  return verdict !== null && (verdict.action === 'reject' || verdict.action === 'defer')
}

/** A refusal overrides a discard, which overrides a quarantine; of equals the earlier stays. */
function stronger(held: Verdict | null, next: Verdict | null): Verdict | null {
  if (held === null || next === null) return held ?? next
  return strength[next.action] > strength[held.action] ? next : held
}

const strength = { accept: 0, quarantine: 1, discard: 2, defer: 3, reject: 3 } as const
