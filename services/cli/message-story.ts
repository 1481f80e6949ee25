/** What happened to a message and why: the first lines of `tollgate trace ID`, in words for the one who asks. */
import type { MessageDetail } from '../contracts/api.ts'
import type { Reply, TransactionEnded } from '../contracts/event.ts'
import type { Outcome } from '../contracts/vocabulary.ts'

export const unknownValue = 'not logged by this source'

const verbs: Record<Outcome, string> = {
  accepted: 'was accepted',
  marked: 'was accepted and marked as suspicious',
  deferred: 'was put off',
  refused: 'was refused',
  discarded: 'was taken and then dropped without delivery',
  quarantined: 'was taken and is held in quarantine',
  aborted: 'did not come through: the transfer ended before it was complete',
  reset: 'did not come through: the sending server gave it up',
}

export function replyText(reply: Reply | null): string {
  if (reply === null) return unknownValue
  return [reply.code, reply.enhanced, reply.text].filter((part) => part !== null && part !== '').join(' ')
}

export function messageStory(detail: MessageDetail, timeText: (iso: string) => string): string[] {
  const { event } = detail
  const reply = event.reply ?? event.recipients.find((one) => one.outcome === event.outcome)?.reply ?? null
  const what = event.sender === null ? `The connection from ${event.remote.ip ?? 'an unknown server'}` : `The message from ${senderText(event)} to ${recipientsText(event)}`
  const because = reasonText(detail)
  const sentences = [
    `${what} ${verbs[event.outcome]} on ${timeText(event.endedAt)}${reply === null ? '' : ` with "${replyText(reply)}"`}${because === null ? '' : `, because ${because}`}.`,
  ]
  if (['refused', 'deferred'].includes(event.outcome) && event.dataBytes === 0) sentences.push('Its content was never transmitted.')
  if (event.outcome === 'accepted' || event.outcome === 'marked' || detail.deliveries.length > 0) sentences.push(deliveryText(detail, timeText))
  if (event.duplicateOf !== null) sentences.push(`It is a retry of ${event.duplicateOf}, which had arrived, and was not delivered again.`)
  const head = `${event.outcome[0]!.toUpperCase()}${event.outcome.slice(1)} at ${event.stage}${reply === null ? '' : ` · ${replyText(reply)}`}`
  return [head, sentences.join(' ')]
}

function senderText(event: TransactionEnded): string {
  return event.sender === '' ? 'the empty sender' : event.sender!
}

function recipientsText(event: TransactionEnded): string {
  const [first, ...rest] = event.recipients
  if (first === undefined) return 'nobody yet'
  return rest.length === 0 ? first.address : `${first.address} and ${rest.length} more`
}

function reasonText({ event, ruleNames, thresholds }: MessageDetail): string | null {
  const reason = event.reason ?? event.recipients.find((one) => one.outcome === event.outcome)?.reason ?? null
  if (reason === 'rule' && event.decidingRuleId !== null) return `the rule "${ruleNames[event.decidingRuleId] ?? event.decidingRuleId}" applies to it`
  const limit = event.outcome === 'marked' ? thresholds?.markAt : thresholds?.rejectAt
  if (reason === 'weight' || (event.outcome === 'marked' && limit != null && event.weight >= limit)) {
    return `its weight of ${event.weight} reached the limit${limit == null ? '' : ` of ${limit}`}`
  }
  return reason === null ? null : `of ${reason.replaceAll('-', ' ')}`
}

function deliveryText({ event, deliveries, finished }: MessageDetail, timeText: (iso: string) => string): string {
  const last = deliveries.at(-1)
  if (last === undefined) {
    if (event.duplicateOf !== null) return ''
    return finished === null ? 'It was not handed on yet.' : 'Nothing is left to do for it.'
  }
  const result = last.recipients.at(-1)
  const host = `${last.nextHop.host}:${last.nextHop.port}`
  const said = result === undefined ? '' : ` (${result.reply === null ? (result.error ?? 'no answer') : replyText(result.reply)})`
  if (finished !== null && finished.failedCount + finished.expiredCount > 0) {
    const lost = finished.failedCount + finished.expiredCount
    return `It could not be delivered to ${lost} of its recipients: ${host} at last${said}.`
  }
  if (finished !== null) return `It was handed to ${host} on ${timeText(last.endedAt)}${said}.`
  return `It was last tried at ${host} on ${timeText(last.endedAt)}${said}, and is not finished.`
}
