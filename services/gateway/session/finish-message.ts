/**
 * The end of data: judges the message, makes it durable, and only then lets it be acknowledged (DESIGN §3).
 *
 * Owns    the order: spool.commit, then the event, then release, then the reply; and the event of every ending here.
 * Leaves  writing the reply to session.ts.
 * Fails   a disk that fails is 452: nothing was accepted, the client tries again. Never throws for that.
 */
import type { EventLog } from '../log/event-log-contract.ts'
import type { Reason } from '../../contracts/vocabulary.ts'
import type { Verdict } from '../../rules/evaluate-stage.ts'
import { cutText, fieldValue, printable, selectedHeaders, subjectOf } from '../data/header-section.ts'
import type { MessageReceiver } from '../data/message-receiver.ts'
import type { DataFlaw } from '../data/data-scanner.ts'
import { mailLoop, tooLarge, type Limits } from '../limits.ts'
import type { MessagePlugins, PluginMessage } from '../plugins/plugin-contract.ts'
import type { DuplicateIndex, MessageIdentity } from './duplicate-index.ts'
import { commonDisposition, envelopeOf, type Disposition } from './envelope.ts'
import { endingOf, endingOfVerdict, transactionEnded, type Ending } from './ending.ts'
import { reply, type Reply } from './reply.ts'
import { addTiming, runStage, type StageDeps } from './stage-rules.ts'
import { acceptedRecipients, type Transaction } from './transaction.ts'

export type FinishDeps = StageDeps & {
  plugins: MessagePlugins
  eventLog: EventLog
  limits: Limits
  hostname: string
  duplicates: DuplicateIndex
  onFault: (error: Error, what: string) => void
}

/** `accepted`: what a retry must equal to be recognised, where the message was acknowledged. */
export type FinishedMessage = { ending: Ending; accepted: MessageIdentity | null; isLogged: boolean }

export async function finishMessage(
  deps: FinishDeps,
  transaction: Transaction,
  receiver: MessageReceiver,
  isRemoteGone: () => boolean,
): Promise<FinishedMessage> {
  takeMessageFacts(transaction, receiver)
  transaction.message.messageBytes = receiver.messageBytes
  const refusal = refusalOfContent(receiver, deps.limits)
  if (refusal !== null) return refused(receiver, refusal)
  transaction.message.digest = receiver.digest()

  const message: PluginMessage = {
    transaction,
    sizeBytes: receiver.messageBytes,
    digest: transaction.message.digest,
    octets: () => receiver.spooled.octets(),
  }
  const judged = await judge(deps, transaction, message)
  if ('outcome' in judged) return refused(receiver, judged)
  const { verdict } = judged
  const disposition = commonDisposition(transaction, verdict)
  const accepted = identityOf(transaction)
  const duplicateOf = deps.duplicates.find(accepted, deps.clock.nowMs())
  let envelope =
    duplicateOf === null ? envelopeOf(transaction, disposition, deps.hostname, deps.clock.nowMs()) : null
  if (envelope !== null && verdict?.action === 'quarantine' && verdict.ruleId !== null) {
    envelope = { ...envelope, heldByRuleId: verdict.ruleId }
  }
  if (envelope !== null && deps.plugins.wantsPrepare(transaction, envelope)) {
    const prepared = await deps.plugins.prepare(message, envelope)
    if ('outcome' in prepared) return refused(receiver, prepared)
    envelope = prepared
  }
  const queueId = envelope?.queueId ?? null
  const ending: Ending = { ...endingOfAcceptance(transaction, disposition, verdict, duplicateOf), queueId }
  if (envelope === null) receiver.drop()

  try {
    if (envelope !== null) {
      const startedUs = deps.clock.monotonicUs()
      await receiver.spooled.commit(envelope)
      addTiming(transaction.timings, 'spoolUs', deps.clock.monotonicUs() - startedUs)
    }
    if (isRemoteGone()) {
      // Nothing was acknowledged and nobody is left to acknowledge it to: the client will try again.
      receiver.drop()
      return { ending: endingOf({ outcome: 'aborted', reason: 'client-gone' }), accepted: null, isLogged: false }
    }
    await deps.eventLog.append(transactionEnded(transaction, ending, deps.clock.nowMs()))
  } catch (error) {
    deps.onFault(error as Error, 'A message could not be made durable')
    return refused(receiver, storageFailure())
  }
  if (envelope !== null) receiver.spooled.release()
  return { ending, accepted, isLogged: true }
}

/** Header fields, subject and attachments as events carry them and rules see them. */
export function takeMessageFacts(transaction: Transaction, receiver: MessageReceiver): void {
  const { fields } = receiver
  const { headers, isCut } = selectedHeaders(fields, transaction.policy.rules.headerNames)
  const messageId = fieldValue(fields, 'message-id')
  const { message } = transaction
  message.headers = headers
  message.subject = subjectOf(fields)
  message.messageId = messageId === null ? null : cutText(printable(messageId), 998)
  message.attachments = receiver.attachments
  message.dataBytes = receiver.messageBytes
  message.truncated = isCut || receiver.isHeaderCut ? ['headers'] : []
}

/**
 * Rules of `header` unless they ran while the message came in, then plug-ins, then rules of `complete`: their verdict,
 * or how it ends where they refuse it.
 */
async function judge(
  deps: FinishDeps,
  transaction: Transaction,
  message: PluginMessage,
): Promise<Ending | { verdict: Verdict | null }> {
  if (transaction.timings.headerUs === null) {
    // Where header rules are decided at once, and the message came in one piece, this is their only chance.
    const { verdict } = await runStage(deps, transaction, 'header', null)
    if (verdict !== null && verdict.reply !== null) return endingOfVerdict(verdict, 'complete')
  }
  if (!isRefusalHeld(transaction) && deps.plugins.wantsScan(transaction)) {
    const unanswered = await deps.plugins.scan(message)
    if (unanswered !== null) return unanswered
  }
  const { verdict } = await runStage(deps, transaction, 'complete', null, message)
  return verdict !== null && verdict.reply !== null ? endingOfVerdict(verdict, 'complete') : { verdict }
}

/** A rule before `complete` has already refused it: nobody need look into it. */
function isRefusalHeld({ progress }: Transaction): boolean {
  return progress.held !== null && progress.held.reply !== null
}

const flawTexts: Record<DataFlaw, string> = {
  'bare-lf': 'The message has a bare LF: lines end with CR LF',
  'bare-cr': 'The message has a bare CR: lines end with CR LF',
  nul: 'The message has a NUL octet',
}

/** What its octets alone say against it, as far as they came. */
export function refusalOfContent(receiver: MessageReceiver, limits: Limits): Ending | null {
  if (receiver.spoolFailure !== null) return storageFailure()
  if (receiver.isTooLarge) return refusal('size-limit', tooLarge(limits))
  if (receiver.flaw !== null) return refusal('protocol-violation', reply(554, '5.6.0', flawTexts[receiver.flaw]))
  const hops = receiver.fields.filter(({ name }) => name.toLowerCase() === 'received').length
  return hops > limits.hops ? refusal('mail-loop', mailLoop()) : null
}

function refused(receiver: MessageReceiver, ending: Ending): FinishedMessage {
  receiver.drop()
  return { ending, accepted: null, isLogged: false }
}

function refusal(reason: Reason, answer: Reply): Ending {
  return endingOf({ outcome: 'refused', reason, reply: answer })
}

function storageFailure(): Ending {
  return endingOf({
    outcome: 'deferred',
    reason: 'storage',
    reply: reply(452, '4.3.1', 'No room for the message at the moment, try again later'),
  })
}

function endingOfAcceptance(
  transaction: Transaction,
  disposition: Disposition,
  verdict: Verdict | null,
  duplicateOf: string | null,
): Ending {
  const isRuled = verdict?.action === 'discard' || verdict?.action === 'quarantine'
  const outcome =
    disposition === 'discard'
      ? 'discarded'
      : disposition === 'quarantine'
        ? 'quarantined'
        : transaction.progress.marks.length > 0
          ? 'marked'
          : 'accepted'
  return endingOf({
    outcome,
    reason: duplicateOf !== null ? 'duplicate' : disposition === 'deliver' ? null : 'rule',
    decidingRuleId: isRuled ? verdict.ruleId : null,
    // The same words whatever becomes of it: a sender of spam must not learn what was discarded.
    reply: reply(250, '2.0.0', `Ok: queued as ${duplicateOf ?? transaction.id}`),
    duplicateOf,
  })
}

function identityOf(transaction: Transaction): MessageIdentity {
  return {
    sender: transaction.sender ?? '',
    recipients: acceptedRecipients(transaction).map(({ normalized }) => normalized),
    digest: transaction.message.digest,
    messageId: transaction.message.messageId,
  }
}
