/**
 * One logged transaction under another rule set: what would have become of it, and what that changes.
 *
 * Owns    the comparison; the run itself is simulate-transaction.ts, the code that judges live.
 * Why     a rule set is tried against real history before it is put into force. Replaying the rule set that judged
 *         must give `same` for every transaction: a test holds that.
 */
import type { ReplayDifference } from '../contracts/backtest.ts'
import type { Evaluation, Reply, TransactionEnded } from '../contracts/event.ts'
import type { Outcome, Stage } from '../contracts/vocabulary.ts'
import { isTaken } from './attributes.ts'
import type { CompiledRule, CompiledRuleset } from './compile-ruleset.ts'
import type { UndecidedRule } from './evaluate-stage.ts'
import { simulateTransaction, type Simulation, type UnloggedAttributes } from './simulate-transaction.ts'
import { UnloggedFinder } from './unlogged-attributes.ts'

export type Undecidable =
  /** The old rules ended it before this stage: what came after was never sent. */
  | { reason: 'ended-before'; stage: Stage }
  /** These attributes were neither looked up nor logged, and rules that could change the answer ask for them. */
  | { reason: 'not-logged'; attributes: readonly string[] }

export type Replay = {
  difference: ReplayDifference
  /** Set for `not-decidable`. */
  undecidable: Undecidable | null
  before: { outcome: Outcome; weight: number; marks: readonly string[] }
  after: Simulation
  /** Positions of recipients that are refused or accepted otherwise than before. */
  newlyRefusedRecipients: readonly number[]
  newlyAcceptedRecipients: readonly number[]
}

/**
 * `judgedBy` is the rule set that judged it live; of an unknown one, a set without rules. `null`: the same as
 * `compiled`, and whatever the event does not hold was not there then either.
 */
export function replayTransaction(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  judgedBy: CompiledRuleset | null = null,
): Replay {
  const after = simulateTransaction(event, compiled, unloggedOf(event, compiled, judgedBy))
  const [newlyRefusedRecipients, newlyAcceptedRecipients] = changedRecipients(event, after)
  const before = { outcome: event.outcome, weight: event.weight, marks: event.marks }
  const changed = { before, after, newlyRefusedRecipients, newlyAcceptedRecipients }
  const undecidable = undecidableOf(after)
  return {
    difference:
      undecidable === null
        ? differenceOf(event, after.outcome!, changed, compiled, judgedBy ?? compiled)
        : 'not-decidable',
    undecidable,
    ...changed,
  }
}

/** What the event does not tell to these rules; `null` where they are those that judged it. */
export function unloggedOf(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  judgedBy: CompiledRuleset | null,
): UnloggedAttributes | null {
  return judgedBy === null || judgedBy === compiled ? null : unloggedFinder(compiled, judgedBy).of(event)
}

const finders = new WeakMap<CompiledRuleset, WeakMap<CompiledRuleset, UnloggedFinder>>()

function unloggedFinder(compiled: CompiledRuleset, judgedBy: CompiledRuleset): UnloggedFinder {
  let ofRules = finders.get(compiled)
  if (ofRules === undefined) finders.set(compiled, (ofRules = new WeakMap()))
  let finder = ofRules.get(judgedBy)
  if (finder === undefined) ofRules.set(judgedBy, (finder = new UnloggedFinder(compiled, judgedBy)))
  return finder
}

function undecidableOf(after: Simulation): Undecidable | null {
  if (after.outcome === null) return { reason: 'ended-before', stage: after.stage }
  const telling = after.undecided.filter((one) => couldChange(one, after))
  if (telling.length === 0) return null
  return { reason: 'not-logged', attributes: [...new Set(telling.map(({ attribute }) => attribute))] }
}

/** A refusal stands unless the rule could have prevented it: by ending the rules, or by less weight. */
function couldChange({ rule }: UndecidedRule, after: Simulation): boolean {
  const branches = [rule.then, rule.else, rule.unknown].filter((branch) => branch !== null)
  if (!isRefused(after.outcome!)) return branches.some(({ hasEffect }) => hasEffect)
  if (branches.some(({ branch }) => branch.accept === true || branch.stop === true)) return true
  return after.reason === 'weight' && leastWeight(rule) < (rule.unknown?.weightThousandths ?? 0)
}

function leastWeight(rule: CompiledRule): number {
  return Math.min(rule.then.weightThousandths, rule.else?.weightThousandths ?? 0)
}

function differenceOf(
  event: TransactionEnded,
  outcome: Outcome,
  changed: Pick<Replay, 'after' | 'newlyRefusedRecipients' | 'newlyAcceptedRecipients'>,
  compiled: CompiledRuleset,
  judgedBy: CompiledRuleset,
): ReplayDifference {
  const { after, newlyRefusedRecipients, newlyAcceptedRecipients } = changed
  if (isRefused(outcome) && !isRefused(event.outcome)) return 'newly-refused'
  if (isRefused(event.outcome) && !isRefused(outcome)) return 'newly-accepted'
  if (newlyRefusedRecipients.length > 0) return 'newly-refused'
  if (newlyAcceptedRecipients.length > 0) return 'newly-accepted'
  if (isRefused(outcome)) {
    const isSamePlace = placeOf(after.stage) === placeOf(event.stage)
    const isSame = outcome === event.outcome && isSamePlace && isSameReply(after.reply, event.reply)
    return isSame ? 'same' : 'ending-changed'
  }
  const isMarkingAlone = [outcome, event.outcome].every((one) => one === 'accepted' || one === 'marked')
  if (outcome !== event.outcome && !isMarkingAlone) return 'ending-changed'
  for (const [index, recipient] of event.recipients.entries()) {
    if (after.recipientOutcomes[index] !== recipient.outcome) return 'ending-changed'
    if (!isSameReply(after.recipientReplies.get(index) ?? null, recipient.reply)) return 'ending-changed'
  }
  const relaysThen = relaysOf(event.evaluations, judgedBy.ruleset.rules.length > 0 ? judgedBy : compiled)
  if (!isSameList(relaysOf(after.evaluations, compiled), relaysThen)) return 'ending-changed'
  const isSameWeight = after.progress.weightThousandths === Math.round(event.weight * 1000)
  const isSameMarks = isSameList(after.progress.marks, event.marks)
  return isSameWeight && isSameMarks && outcome === event.outcome ? 'same' : 'mark-or-weight-changed'
}

/** A refusal at `header` is told at `complete` where the message came in one piece: the log cannot tell them apart. */
function placeOf(stage: Stage): Stage {
  return stage === 'header' ? 'complete' : stage
}

/** What rules say now (`null`: they said nothing), and what was answered then, where the log tells it. */
function isSameReply(now: Reply | null, then: Reply | null): boolean {
  return now === null || then === null || (now.code === then.code && now.enhanced === then.enhanced)
}

/** Where it, or one of its recipients, was sent instead or too; the log names the rule, and the rule the address. */
export function relaysOf(evaluations: readonly Evaluation[], rules: CompiledRuleset): readonly string[] {
  let relays: string[] = noRelays
  for (const { recipient, hits } of evaluations)
    for (const { action, branch, shadow, ruleId } of hits) {
      if (shadow || (action !== 'redirect' && action !== 'copy')) continue
      const rule = rules.ruleset.rules.find(({ id }) => id === ruleId)
      if (relays === noRelays) relays = []
      relays.push(`${action} ${recipient} ${ruleId} ${rule?.[branch]?.[action] ?? ''}`)
    }
  return relays
}

const noRelays: string[] = []

export function isSameList(left: readonly string[], right: readonly string[]): boolean {
  return left.length === right.length && left.every((one, index) => one === right[index])
}

/** A recipient of a transaction that both refuse as a whole is none the worse. */
function changedRecipients(event: TransactionEnded, after: Simulation): [number[], number[]] {
  const refused: number[] = []
  const accepted: number[] = []
  if (after.outcome === null || isRefused(after.outcome) || isRefused(event.outcome)) return [refused, accepted]
  for (const [index, recipient] of event.recipients.entries()) {
    const wasTaken = isTaken(recipient)
    const isNowTaken = isTaken({ outcome: after.recipientOutcomes[index]! })
    if (wasTaken && !isNowTaken) refused.push(index)
    if (!wasTaken && isNowTaken) accepted.push(index)
  }
  return [refused, accepted]
}

/** Deferred is refused for now. */
export function isRefused(outcome: Outcome): boolean {
  return outcome === 'refused' || outcome === 'deferred'
}
