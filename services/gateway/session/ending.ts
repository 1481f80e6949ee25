/** How a transaction ends, and the one event that tells of it. */
import type { EventBody, TransactionEnded } from '../../contracts/event.ts'
import type { Outcome, Reason, Stage } from '../../contracts/vocabulary.ts'
import type { Verdict } from '../../rules/evaluate-stage.ts'
import type { Reply } from './reply.ts'
import { acceptedRecipients, type Transaction } from './transaction.ts'

export type Ending = {
  outcome: Outcome
  stage: Stage
  reason: Reason | null
  decidingRuleId: string | null
  reply: Reply | null
  queueId: string | null
  duplicateOf: string | null
}

/** Of the stage `complete` unless it says so. */
export function endingOf(known: Partial<Ending> & Pick<Ending, 'outcome'>): Ending {
  return {
    stage: 'complete',
    reason: null,
    decidingRuleId: null,
    reply: null,
    queueId: null,
    duplicateOf: null,
    ...known,
  }
}

export function endingOfVerdict(verdict: Verdict, stage: Stage): Ending {
  const outcome = verdict.action === 'defer' ? 'deferred' : 'refused'
  return endingOf({ outcome, stage, reason: verdict.reason, decidingRuleId: verdict.ruleId, reply: verdict.reply })
}

/**
 * How a transaction ends that got no message: refused if a recipient got 5xx and none was accepted, else deferred
 * if one got 4xx (BILLING, metering 5), else what the caller says happened.
 */
export function endingWithoutMessage(transaction: Transaction, otherwise: Ending): Ending {
  if (acceptedRecipients(transaction).length > 0) return otherwise
  for (const outcome of ['refused', 'deferred'] as const) {
    const first = transaction.recipients.find((recipient) => recipient.outcome === outcome)
    if (first === undefined) continue
    const index = transaction.recipients.indexOf(first)
    const decidingRuleId = first.reason === 'rule' ? ruleThatEnded(transaction, index) : null
    return { ...otherwise, outcome, stage: 'rcpt', reason: first.reason, decidingRuleId, reply: first.reply }
  }
  return otherwise
}

function ruleThatEnded(transaction: Transaction, index: number): string | null {
  const evaluation = transaction.evaluations.find(({ stage, recipient }) => stage === 'rcpt' && recipient === index)
  return (
    evaluation?.hits.findLast(({ action, shadow }) => !shadow && (action === 'reject' || action === 'defer'))
      ?.ruleId ?? null
  )
}

/** `nowMs` becomes `endedAt`; the event log puts the time of the line there. */
export function transactionEnded(
  transaction: Transaction,
  ending: Ending,
  nowMs: number,
): EventBody<TransactionEnded> {
  const { facts, message, progress } = transaction
  return {
    kind: 'transaction.ended',
    transactionId: transaction.id,
    sessionId: facts.sessionId,
    source: 'tollgate',
    listener: facts.listener,
    startedAt: new Date(transaction.startedAtMs).toISOString(),
    endedAt: new Date(nowMs).toISOString(),
    remote: facts.remote,
    helo: facts.helo,
    tls: facts.tls,
    authUser: facts.authUser,
    sender: transaction.sender,
    declaredSizeBytes: transaction.declaredSizeBytes,
    recipients: transaction.recipients,
    headers: message.headers,
    subject: message.subject,
    messageId: message.messageId,
    attachments: [...message.attachments],
    messageBytes: message.messageBytes,
    sizeSource: 'data',
    dataBytes: message.dataBytes,
    commandBytes: transaction.commandBytes,
    evaluations: transaction.evaluations,
    checks: transaction.checks,
    plugins: transaction.plugins,
    weight: progress.weightThousandths / 1000,
    marks: [...progress.marks],
    outcome: ending.outcome,
    stage: ending.stage,
    reason: ending.reason,
    decidingRuleId: ending.decidingRuleId,
    reply: ending.reply,
    queueId: ending.queueId,
    digest: message.digest,
    duplicateOf: ending.duplicateOf,
    ...(transaction.dsn === null ? {} : { dsn: transaction.dsn }),
    timings: transaction.timings,
    rulesetHash: transaction.policy.rules.hash,
    directoryVersion: transaction.policy.directory.version,
    truncated: message.truncated,
  }
}
