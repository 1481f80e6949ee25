/**
 * One logged transaction under another rule set: what would have become of it, and what that changes.
 *
 * Owns    the comparison; the run itself is simulate-transaction.ts, the code that judges live.
 * Why     a rule set is tried against real history before it is put into force. Replaying the rule set that judged
 *         must give `same` for every transaction: a test holds that.
 */
import type { TransactionEnded } from '../contracts/event.ts'
import type { Outcome } from '../contracts/vocabulary.ts'
import { isTaken } from './attributes.ts'
import type { CompiledRuleset } from './compile-ruleset.ts'
import { canonicalJson } from './ruleset-hash.ts'
import { simulateTransaction, type Simulation } from './simulate-transaction.ts'

/**
 * `newly-refused` and `newly-accepted` also where only some of the recipients are. `ending-changed`: refused or
 * taken as before, and yet deferred in place of refused, or quarantined in place of delivered.
 */
export type ReplayDifference =
  'same' | 'newly-refused' | 'newly-accepted' | 'ending-changed' | 'mark-or-weight-changed' | 'not-decidable'

export type Replay = {
  difference: ReplayDifference
  before: { outcome: Outcome; weight: number; marks: readonly string[] }
  after: Simulation
  /** Positions of recipients that are refused or accepted otherwise than before. */
  newlyRefusedRecipients: readonly number[]
  newlyAcceptedRecipients: readonly number[]
}

/**
 * `judgedBy` is the rule set that judged it live, where it is known: the log tells nothing of a header that neither
 * it nor the gateway's usual choice named, nor of a check that did not run, and a rule that asks is not decidable.
 */
export function replayTransaction(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  judgedBy: CompiledRuleset | null = null,
): Replay {
  const unknownRuleIds: string[] = []
  const knownHeaders = judgedBy === null || judgedBy === compiled ? null : knownHeaderNames(event, compiled, judgedBy)
  const observer =
    judgedBy === null || judgedBy === compiled
      ? null
      : {
          beginStage: () => (step: { rule: { rule: { id: string }; isShadow: boolean }; truth: boolean | null }) => {
            if (step.truth === null && !step.rule.isShadow) unknownRuleIds.push(step.rule.rule.id)
          },
          endStage: () => {},
        }
  const after = simulateTransaction(event, compiled, knownHeaders, observer)
  const isUnknown = unknownRuleIds.some((id) => !isSameRule(id, compiled, judgedBy!))
  const [newlyRefusedRecipients, newlyAcceptedRecipients] = changedRecipients(event, after)
  const before = { outcome: event.outcome, weight: event.weight, marks: event.marks }
  const changed = { before, after, newlyRefusedRecipients, newlyAcceptedRecipients }
  const isDecidable = after.outcome !== null && !(isUnknown && !isRefused(after.outcome))
  return { difference: isDecidable ? differenceOf(event, after.outcome!, changed) : 'not-decidable', ...changed }
}

function differenceOf(
  event: TransactionEnded,
  outcome: Outcome,
  changed: Omit<Replay, 'difference'>,
): ReplayDifference {
  const { after, newlyRefusedRecipients, newlyAcceptedRecipients } = changed
  if (isRefused(outcome) && !isRefused(event.outcome)) return 'newly-refused'
  if (isRefused(event.outcome) && !isRefused(outcome)) return 'newly-accepted'
  if (newlyRefusedRecipients.length > 0) return 'newly-refused'
  if (newlyAcceptedRecipients.length > 0) return 'newly-accepted'
  if (isRefused(outcome)) return outcome === event.outcome ? 'same' : 'ending-changed'
  const isMarkingAlone = [outcome, event.outcome].every((one) => one === 'accepted' || one === 'marked')
  if (outcome !== event.outcome && !isMarkingAlone) return 'ending-changed'
  if (after.recipientOutcomes.some((one, index) => one !== event.recipients[index]!.outcome)) return 'ending-changed'
  const isSameWeight = after.progress.weightThousandths === Math.round(event.weight * 1000)
  const isSameMarks = isSameList(after.progress.marks, event.marks)
  return isSameWeight && isSameMarks && outcome === event.outcome ? 'same' : 'mark-or-weight-changed'
}

function isSameList(left: readonly string[], right: readonly string[]): boolean {
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

function isRefused(outcome: Outcome): boolean {
  return outcome === 'refused' || outcome === 'deferred'
}

function isSameRule(id: string, compiled: CompiledRuleset, judgedBy: CompiledRuleset): boolean {
  const find = ({ ruleset }: CompiledRuleset) => ruleset.rules.find((rule) => rule.id === id)
  const old = find(judgedBy)
  return old !== undefined && canonicalJson(old) === canonicalJson(find(compiled))
}

/** Signatures and traces that a gateway does not log unless a rule asks for them. */
const unloggedHeaders =
  /^(dkim-signature|domainkey-signature|arc-.+|x-google-.*|x-gm-.+|x-ms-.+|x-microsoft-.+|x-forefront-.+|x-received)$/

/** Of the headers that the new rules ask for, those of which the log tells that a message has none. */
function knownHeaderNames(
  event: TransactionEnded,
  compiled: CompiledRuleset,
  judgedBy: CompiledRuleset,
): ReadonlySet<string> {
  const isCut = event.truncated.includes('headers')
  const known = new Set<string>()
  for (const name of compiled.headerNames) {
    if (judgedBy.headerNames.has(name) || (!isCut && !unloggedHeaders.test(name))) known.add(name)
  }
  return known
}
