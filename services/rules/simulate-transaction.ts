/**
 * Runs a logged transaction through a rule set again, stage by stage, as the gateway did.
 *
 * Owns    which stages and recipients rules see, and how a transaction ends by what they say.
 * Why     the one way back from the log to the rules: explanation and replay must not differ in it.
 * Limits  what the gateway decided without rules (unknown recipients, sizes, broken connections) stays as logged.
 *         Where the old rules ended the transaction and the new ones would not, what came after was never sent,
 *         and nobody can tell how it would have ended: the outcome is `null`.
 */
import type { Evaluation, LoggedRecipient, Reply, TransactionEnded } from '../contracts/event.ts'
import { stages, type Outcome, type Reason, type RecipientOutcome, type Stage } from '../contracts/vocabulary.ts'
import { attributesOf, isTaken, type Attributes } from './attributes.ts'
import { checkNamed } from './check-names.ts'
import type { CompiledRuleset } from './compile-ruleset.ts'
import {
  evaluateStage,
  initialProgress,
  type Progress,
  type RuleStep,
  type StageResult,
  type UndecidedRule,
  type Verdict,
} from './evaluate-stage.ts'

export type Simulation = {
  /** `null`: not decidable. */
  outcome: Outcome | null
  /** Where it ended, or for an undecidable one the first stage that was never reached. */
  stage: Stage
  reason: Reason | null
  decidingRuleId: string | null
  recipientOutcomes: readonly RecipientOutcome[]
  /** What the remote was told where rules or the weight refused it; `null` elsewhere. */
  reply: Reply | null
  /** The same of recipients, by position; empty where rules refused none. */
  recipientReplies: ReadonlyMap<number, Reply>
  progress: Progress
  /** Those with hits, as they would be logged. */
  evaluations: readonly Evaluation[]
  /** Rules that ask for what the log does not tell. */
  undecided: readonly UndecidedRule[]
}

/** What the log does not tell, by stage. */
export type UnloggedAttributes = Readonly<Record<Stage, ReadonlySet<string>>>

export type SimulationObserver = {
  /** Before the rules of a stage run, and the observer of each rule. */
  beginStage(stage: Stage, recipient: number | null, progress: Progress): (step: RuleStep) => void
  endStage(stage: Stage, recipient: number | null, result: StageResult): void
}

type Ending = Pick<Simulation, 'outcome' | 'stage' | 'reason' | 'decidingRuleId'> & { reply?: Reply | null }

/** `unlogged`: `null` where the rules are those that judged, so that what is not there was not there either. */
export function simulateTransaction(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  unlogged: UnloggedAttributes | null = null,
  observer: SimulationObserver | null = null,
): Simulation {
  const recipients = [...event.recipients]
  let progress = initialProgress()
  const evaluations: Evaluation[] = []
  let undecided: readonly UndecidedRule[] = noUndecided
  const recipientReplies = new Map<number, Reply>()

  const run = (stage: Stage, recipient: number | null): Verdict | null => {
    const attributes = attributesOf(event, stage, recipient, recipients)
    if (unlogged !== null) {
      attributes.unlogged = unlogged[stage]
      attributes.checks = withLaterAnswers(event, attributes.checks, stage, unlogged[stage])
    }
    const observe = observer?.beginStage(stage, recipient, progress)
    const result = evaluateStage(compiled, stage, attributes, progress, recipient, observe)
    observer?.endStage(stage, recipient, result)
    progress = result.progress
    if (result.evaluation.hits.length > 0) evaluations.push(result.evaluation)
    if (result.undecided.length > 0) undecided = [...undecided, ...result.undecided]
    return result.verdict
  }
  const ended = ({ outcome, stage, reason, decidingRuleId, reply = null }: Ending): Simulation => ({
    outcome,
    stage,
    reason,
    decidingRuleId,
    recipientOutcomes: recipients.map((recipient) => recipient.outcome),
    reply,
    recipientReplies,
    progress,
    evaluations,
    undecided,
  })

  for (const stage of stages) {
    if (!wereRulesReached(event, stage))
      return ended(isEndedByRules(event) ? undecidable(stage) : endingAsLogged(event))
    if (stage !== 'rcpt') {
      const verdict = run(stage, null)
      if (isRefusing(verdict)) return ended(endingOfRefusal(verdict, stage))
      if (stage === 'complete') return ended(endingOfMessage(event, recipients, verdict, progress))
      continue
    }
    const refusingRuleIds = new Map<number, string | null>()
    for (const [index, recipient] of event.recipients.entries()) {
      if (isRefusedByGateway(recipient)) continue
      const verdict = run('rcpt', index)
      recipients[index] = recipientAfter(recipient, verdict)
      if (!isRefusing(verdict)) continue
      refusingRuleIds.set(index, verdict.ruleId)
      if (verdict.reply !== null) recipientReplies.set(index, verdict.reply)
    }
    const ending = endingWithoutRecipients(recipients, refusingRuleIds, recipientReplies)
    if (ending !== null) return ended(ending)
  }
  throw new Error('The last stage always ends a transaction')
}

/**
 * With what was only asked at a later stage then, and would have been answered the same at this one: a rule that moves
 * to an earlier stage can be tried on the past.
 */
function withLaterAnswers(
  event: TransactionEnded,
  seen: Attributes['checks'],
  stage: Stage,
  unlogged: ReadonlySet<string>,
): Attributes['checks'] {
  if (unlogged.size === 0 || event.checks.length === 0) return seen
  const later = event.checks.filter(({ name, stage: asked, recipient }) => {
    if (recipient != null || stages.indexOf(asked) <= stages.indexOf(stage) || !unlogged.has(`check.${name}`))
      return false
    const check = checkNamed(name)
    return check !== null && check.isFleeting !== true && stages.indexOf(check.from) <= stages.indexOf(stage)
  })
  return later.length === 0 ? seen : [...seen, ...later]
}

const noUndecided: readonly UndecidedRule[] = []

/** Whether the rules of a stage ran, or would have had what they need to. */
function wereRulesReached(event: TransactionEnded, stage: Stage): boolean {
  const position = stages.indexOf(stage)
  const end = stages.indexOf(event.stage)
  // Broken off while the message came in: its header may not have been whole.
  if (stage === 'header' && event.messageBytes === null && event.timings.headerUs === null) return false
  if (position !== end) return position < end
  if (isEndedByRules(event) || isTakenMessage(event) || stage === 'rcpt') return true
  return event.timings[timingOf[stage]] !== null && !(stage === 'mail' && event.reason === 'size-limit')
}

const timingOf = {
  connect: 'connectUs',
  helo: 'heloUs',
  mail: 'mailUs',
  rcpt: 'rcptUs',
  header: 'headerUs',
  complete: 'completeUs',
} as const

/** Whether another rule set could have let it go on: it ended because rules said so, of it or of its recipients. */
function isEndedByRules(event: TransactionEnded): boolean {
  if (event.reason === 'rule' || event.reason === 'weight') return true
  return (
    event.stage === 'rcpt' &&
    event.recipients.every((one) => !isTaken(one)) &&
    event.recipients.some((one) => one.reason === 'rule')
  )
}

function isTakenMessage(event: TransactionEnded): boolean {
  return ['accepted', 'marked', 'discarded', 'quarantined'].includes(event.outcome)
}

/** Rules of `rcpt` never saw it. */
function isRefusedByGateway(recipient: LoggedRecipient): boolean {
  return !isTaken(recipient) && recipient.reason !== 'rule'
}

function isRefusing(verdict: Verdict | null): verdict is Verdict {
  return verdict !== null && (verdict.action === 'reject' || verdict.action === 'defer')
}

const recipientOutcomeOf = {
  reject: 'refused',
  defer: 'deferred',
  discard: 'discarded',
  quarantine: 'quarantined',
  accept: 'accepted',
} as const satisfies Record<Verdict['action'], RecipientOutcome>

function recipientAfter(recipient: LoggedRecipient, verdict: Verdict | null): LoggedRecipient {
  const outcome = verdict === null ? 'accepted' : recipientOutcomeOf[verdict.action]
  const reason = outcome !== 'accepted' ? 'rule' : recipient.reason === 'rule' ? null : recipient.reason
  return outcome === recipient.outcome && reason === recipient.reason ? recipient : { ...recipient, outcome, reason }
}

function endingOfRefusal(verdict: Verdict, stage: Stage): Ending {
  return {
    outcome: verdict.action === 'defer' ? 'deferred' : 'refused',
    stage,
    reason: verdict.reason,
    decidingRuleId: verdict.ruleId,
    reply: verdict.reply,
  }
}

function endingAsLogged({ outcome, stage, reason, decidingRuleId }: TransactionEnded): Ending {
  return { outcome, stage, reason, decidingRuleId }
}

function undecidable(stage: Stage): Ending {
  return { outcome: null, stage, reason: null, decidingRuleId: null }
}

/** No recipient is left: refused if one got 5xx, else deferred (BILLING, metering 5); `null` where one is left. */
function endingWithoutRecipients(
  recipients: readonly LoggedRecipient[],
  refusingRuleIds: ReadonlyMap<number, string | null>,
  replies: ReadonlyMap<number, Reply>,
): Ending | null {
  if (recipients.length === 0 || recipients.some(isTaken)) return null
  const outcome = recipients.some((recipient) => recipient.outcome === 'refused') ? 'refused' : 'deferred'
  const first = recipients.findIndex((recipient) => recipient.outcome === outcome)
  const { reason } = recipients[first]!
  return {
    outcome,
    stage: 'rcpt',
    reason,
    decidingRuleId: refusingRuleIds.get(first) ?? null,
    reply: replies.get(first) ?? null,
  }
}

/** What becomes of a message that rules let through, unless the gateway itself refused it. */
function endingOfMessage(
  event: TransactionEnded,
  recipients: readonly LoggedRecipient[],
  verdict: Verdict | null,
  progress: Progress,
): Ending {
  if (!isEndedByRules(event) && !isTakenMessage(event)) return endingAsLogged(event)
  const outcome = outcomeOfMessage(recipients, verdict, progress)
  const isRuled = verdict?.action === 'discard' || verdict?.action === 'quarantine'
  return {
    outcome,
    stage: 'complete',
    reason: outcome === 'discarded' || outcome === 'quarantined' ? 'rule' : null,
    decidingRuleId: isRuled ? verdict.ruleId : null,
  }
}

/** A message counts as discarded or quarantined where all of its recipients are. */
function outcomeOfMessage(
  recipients: readonly LoggedRecipient[],
  verdict: Verdict | null,
  progress: Progress,
): Outcome {
  if (verdict?.action === 'discard') return 'discarded'
  if (verdict?.action === 'quarantine') return 'quarantined'
  const taken = new Set(recipients.filter(isTaken).map((recipient) => recipient.outcome))
  const [only] = taken
  if (taken.size === 1 && (only === 'discarded' || only === 'quarantined')) return only
  return progress.marks.length > 0 ? 'marked' : 'accepted'
}
