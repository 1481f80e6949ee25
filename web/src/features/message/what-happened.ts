/**
 * What happened to a message and why, as sentences that can be pasted to the partner who asks.
 *
 * Owns    which facts are told and in which order.
 * Leaves  the words to the language (`translate`), clock and zone to `time`.
 * Why     every sentence is whole in the language's own file; only quotes of the log are put into it.
 */
import type { MessageDetail } from '../../../../services/contracts/api.ts'
import type { Reply, TransactionEnded } from '../../../../services/contracts/event.ts'
import { shownOutcome } from '../../outcome/outcome-look.ts'

export type Translate = (key: string, parameters?: Record<string, string>, count?: number) => string
export type Story = { headline: string; sentences: string[] }

export function whatHappened(detail: MessageDetail, translate: Translate, time: (iso: string) => string): Story {
  const { event } = detail
  const outcome = shownOutcome(event.outcome)
  const reply = decidingReply(event)
  const facts = {
    sender: senderText(event, translate),
    recipients: recipientsText(event, translate),
    time: time(event.endedAt),
    withReply: reply === null ? '' : translate('story.withReply', { reply: replyText(reply) }),
    because: becauseText(detail, translate),
  }
  const isBeforeMail = event.sender === null && event.recipients.length === 0
  const sentences = [translate(isBeforeMail ? `story.connection.${outcome}` : `story.${outcome}`, facts)]
  const was250 = ['accepted', 'marked'].includes(outcome)
  if (outcome === 'refused' || outcome === 'deferred') {
    if (event.dataBytes === 0) sentences.push(translate('story.nothingTransmitted'))
  }
  if (was250) sentences.push(deliveryText(detail, translate, time))
  if (event.outcome !== 'refused' && event.outcome !== 'deferred') sentences.push(...refusedRecipientsText(event, translate))
  if (event.duplicateOf !== null) sentences.push(translate('story.duplicate'))
  const headline = [translate(`headline.${outcome}`, { stage: translate(`stage.${event.stage}`) }), reply === null ? null : replyText(reply)]
  return { headline: headline.filter((part) => part !== null).join(' · '), sentences: sentences.filter((part) => part !== '') }
}

export function replyText(reply: Reply): string {
  return [String(reply.code), reply.enhanced, reply.text].filter((part) => part !== null && part !== '').join(' ')
}

/** The final reply; where the transaction had none, the one that turned away its recipients. */
function decidingReply(event: TransactionEnded): Reply | null {
  if (event.reply !== null) return event.reply
  return event.recipients.find((one) => one.outcome === event.outcome)?.reply ?? null
}

function senderText(event: TransactionEnded, translate: Translate): string {
  if (event.sender === '') return translate('story.emptySender')
  if (event.sender !== null) return event.sender
  return event.remote.ip === null ? translate('story.unknownServer') : translate('story.serverAt', { ip: event.remote.ip })
}

function recipientsText(event: TransactionEnded, translate: Translate): string {
  const [first, ...rest] = event.recipients
  if (first === undefined) return translate('story.noRecipient')
  if (rest.length === 0) return first.address
  return translate('story.andMore', { address: first.address, count: String(rest.length) }, rest.length)
}

function becauseText(detail: MessageDetail, translate: Translate): string {
  const { event, ruleNames, thresholds } = detail
  const outcome = shownOutcome(event.outcome)
  const reason = event.reason ?? event.recipients.find((one) => one.outcome === event.outcome)?.reason ?? null
  const rule = event.decidingRuleId === null ? '' : (ruleNames[event.decidingRuleId] ?? event.decidingRuleId)
  if (reason === 'rule' && rule !== '') return translate('because.rule', { rule })
  const limit = outcome === 'marked' ? thresholds?.markAt : thresholds?.rejectAt
  if (reason === 'weight' || (outcome === 'marked' && reason === null && limit != null && event.weight >= limit)) {
    const weight = String(event.weight)
    return limit == null ? translate('because.weightAlone', { weight }) : translate('because.weight', { weight, limit: String(limit) })
  }
  if (outcome === 'marked' && reason === null) return markedByRule(detail, translate)
  if (reason === null) return translate(outcome === 'aborted' ? 'because.gaveUp' : 'because.unknown')
  return translate(`because.${reason}`)
}

function markedByRule({ event, ruleNames }: MessageDetail, translate: Translate): string {
  const hit = event.evaluations.flatMap((one) => one.hits).find((one) => !one.shadow && one.marks.length > 0)
  return hit === undefined ? translate('because.unknown') : translate('because.rule', { rule: ruleNames[hit.ruleId] ?? hit.ruleId })
}

function deliveryText(detail: MessageDetail, translate: Translate, time: (iso: string) => string): string {
  const { deliveries, finished } = detail
  const last = deliveries.at(-1)
  if (last === undefined) return translate(finished === null ? 'story.waiting' : 'story.finishedUnseen')
  const host = `${last.nextHop.host}:${last.nextHop.port}`
  const reply = last.recipients.map((one) => one.reply).find((one) => one !== null)
  const said = reply === undefined || reply === null ? (last.recipients[0]?.error ?? translate('story.noAnswer')) : replyText(reply)
  const facts = { host, said, time: time(last.endedAt) }
  const delivered = new Set(deliveries.flatMap((one) => one.recipients.filter((two) => two.outcome === 'delivered').map((two) => two.address)))
  const accepted = detail.event.recipients.filter((one) => one.outcome === 'accepted').length
  if (finished !== null && finished.failedCount + finished.expiredCount > 0) {
    const lost = finished.failedCount + finished.expiredCount
    return translate('story.deliveryFailed', { ...facts, count: String(lost) }, lost)
  }
  if (finished !== null || delivered.size >= accepted) return translate('story.delivered', facts)
  return translate('story.retrying', facts)
}

/** Recipients that were turned away while others got the message. */
function refusedRecipientsText(event: TransactionEnded, translate: Translate): string[] {
  return event.recipients
    .filter((one) => one.outcome === 'refused' || one.outcome === 'deferred')
    .slice(0, 3)
    .map((one) => {
      const because = one.reason === null ? translate('because.unknown') : translate(`because.${one.reason}`, { rule: '' })
      return translate(`story.recipient.${one.outcome}`, { address: one.address, reply: replyText(one.reply), because })
    })
}
