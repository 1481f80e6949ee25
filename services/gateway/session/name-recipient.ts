/**
 * One recipient joins the open transaction: what policy decides of it, then what rules say (DESIGN §4).
 *
 * Why  rules run only for a recipient that policy accepts, and what they do to it concerns it alone.
 */
import type { LoggedRecipient } from '../../contracts/event.ts'
import type { StageResult } from '../../rules/evaluate-stage.ts'
import { decideRecipient } from '../policy/decide-recipient.ts'
import type { NotifyRequest } from '../verbs/dsn-parameters.ts'
import { recipientOctets } from '../verbs/rcpt-to.ts'
import { deliveredTo } from './envelope.ts'
import { andThen, type MaybePromise } from './maybe-promise.ts'
import { runStage, type StageDeps } from './stage-rules.ts'
import type { Transaction } from './transaction.ts'

/** `address` as RCPT gave it, well-formed. */
export function nameRecipient(
  deps: StageDeps,
  transaction: Transaction,
  { address, request }: { address: string; request: NotifyRequest },
): MaybePromise<LoggedRecipient> {
  const { clock } = deps
  const startedUs = clock.monotonicUs()
  const earlierUs = transaction.timings.rcptUs ?? 0
  const decision = decideRecipient(transaction.policy, transaction.facts.mayRelay, address)
  const recipient: LoggedRecipient = { address, ...decision }
  if (request.notify !== null) recipient.notify = [...request.notify]
  if (request.originalRecipient !== null) recipient.originalRecipient = request.originalRecipient
  if (decision.outcome !== 'accepted') deps.checks.refused(transaction, recipient.normalized)
  const ruled = decision.outcome === 'accepted' ? runStage(deps, transaction, 'rcpt', recipient.normalized) : null
  return andThen(ruled, (result) => {
    if (result !== null) applyRules(transaction, recipient, result)
    transaction.recipients.push(recipient)
    transaction.recipientOctets += recipientOctets(address) + Buffer.byteLength(request.originalRecipient ?? '')
    transaction.timings.rcptUs = earlierUs + clock.monotonicUs() - startedUs
    return recipient
  })
}

function applyRules(transaction: Transaction, recipient: LoggedRecipient, result: StageResult): void {
  const { verdict, redirectTo, copyTo } = result
  const action = verdict?.action ?? 'accept'
  if (action !== 'accept') {
    recipient.reason = 'rule'
    recipient.outcome = outcomeOf[action]
  }
  if (verdict !== null && verdict.reply !== null) {
    recipient.reply = verdict.reply
    return
  }
  const targets = deliveredTo(transaction, redirectTo ?? recipient.address)
  const heldByRuleId = action === 'quarantine' ? (verdict?.ruleId ?? null) : null
  const copies = copyTo.flatMap((copy) => deliveredTo(transaction, copy))
  for (const [index, target] of targets.entries()) {
    transaction.deliveries.push({
      named: recipient,
      recipient: heldByRuleId === null ? target : { ...target, heldByRuleId },
      copies: index === 0 ? copies : [],
      disposition: action === 'discard' || action === 'quarantine' ? action : 'deliver',
    })
  }
}

const outcomeOf = { reject: 'refused', defer: 'deferred', discard: 'discarded', quarantine: 'quarantined' } as const
