/**
 * Runs the rules of one stage for a transaction and keeps what came out of them.
 *
 * Why  the attributes are built here exactly as rules/attributes.ts builds them from the logged event: a replay must
 *      see what was seen live.
 */
import type { Clock } from '../../kit/clock.ts'
import { checksSeen, type Attributes } from '../../rules/attributes.ts'
import { evaluateStage, type StageResult } from '../../rules/evaluate-stage.ts'
import type { CheckResult } from '../../contracts/event.ts'
import { stages, type Stage } from '../../contracts/vocabulary.ts'
import type { Checks } from '../checks/checks-contract.ts'
import type { PluginMessage } from '../plugins/plugin-contract.ts'
import { andThen, type MaybePromise } from './maybe-promise.ts'
import type { Timings, Transaction } from './transaction.ts'

const timingOf = {
  connect: 'connectUs',
  helo: 'heloUs',
  mail: 'mailUs',
  rcpt: 'rcptUs',
  header: 'headerUs',
  complete: 'completeUs',
} as const satisfies Record<Stage, keyof Timings>

/** What running a stage needs beside the transaction. */
export type StageDeps = { checks: Checks; clock: Clock }

/**
 * Looks up what the rules of this stage ask for, then runs them. `recipient` is the normalised address that is asked
 * for at `rcpt`, before it joins the transaction; else `null`.
 */
export function runStage(
  deps: StageDeps,
  transaction: Transaction,
  stage: Stage,
  recipient: string | null,
  message: PluginMessage | null = null,
): MaybePromise<StageResult> {
  const startedUs = deps.clock.monotonicUs()
  const looked = deps.checks.before(transaction, stage, recipient, message)
  return andThen(looked, () => runRules(transaction, stage, recipient, deps.clock, startedUs))
}

function runRules(
  transaction: Transaction,
  stage: Stage,
  recipient: string | null,
  clock: Clock,
  stageStartedUs: number,
): StageResult {
  const startedUs = clock.monotonicUs()
  const index = recipient === null ? null : transaction.recipients.length
  const attributes = attributesAt(transaction, stage, recipient, index)
  const result = evaluateStage(transaction.policy.rules, stage, attributes, transaction.progress, index)
  const durationUs = clock.monotonicUs() - startedUs
  transaction.progress = result.progress
  if (stage === 'header') transaction.isHeaderJudged = true
  if (result.evaluation.hits.length > 0) transaction.evaluations.push({ ...result.evaluation, durationUs })
  addTiming(transaction.timings, timingOf[stage], clock.monotonicUs() - stageStartedUs)
  return result
}

export function addTiming(timings: Timings, name: keyof Timings, durationUs: number): void {
  timings[name] = (timings[name] ?? 0) + durationUs
}

function attributesAt(
  transaction: Transaction,
  stage: Stage,
  recipient: string | null,
  index: number | null,
): Attributes {
  const { facts, message } = transaction
  const at = stages.indexOf(stage)
  const isMailKnown = at >= stages.indexOf('mail')
  const isHeaderKnown = at >= stages.indexOf('header')
  const isComplete = stage === 'complete'
  const isAfterRcpt = at > stages.indexOf('rcpt')
  const taken: string[] = []
  let refusedCount = 0
  for (const { outcome, normalized } of transaction.recipients) {
    if (outcome === 'refused' || outcome === 'deferred') refusedCount += 1
    else if (isAfterRcpt) taken.push(normalized)
  }
  return {
    remote: facts.remote,
    helo: stage === 'connect' ? null : facts.helo,
    tls: isMailKnown ? facts.tls : null,
    authUser: isMailKnown ? facts.authUser : null,
    sender: isMailKnown ? transaction.sender : null,
    declaredSizeBytes: isMailKnown ? transaction.declaredSizeBytes : null,
    recipients: recipient === null ? taken : [recipient],
    recipientCount:
      recipient === null ? (isAfterRcpt ? transaction.recipients.length : 0) : transaction.recipients.length + 1,
    refusedRecipientCount: recipient === null && !isAfterRcpt ? 0 : refusedCount,
    headers: isHeaderKnown ? message.headers : [],
    subject: isHeaderKnown ? message.subject : null,
    attachments: isComplete ? message.attachments : [],
    messageBytes: isComplete ? message.messageBytes : null,
    checks: checksSeen(resultsOf(transaction), stage, index, transaction.recipients),
  }
}

function resultsOf({ checks, plugins }: Transaction): readonly CheckResult[] {
  return plugins.length === 0 ? checks : [...checks, ...plugins]
}
