/** The part of a message that belongs to some of its recipients: what a client may see of it. */
import type { DeliveryAttempted, LoggedRecipient, MessageFinished, TransactionEnded } from '../../contracts/event.ts'

/** Headers that name recipients whom the message itself hides from each other. */
const hidingHeaders = new Set([
  'bcc',
  'resent-bcc',
  'delivered-to',
  'x-original-to',
  'envelope-to',
  'apparently-to',
  'x-envelope-to',
])

/** `positions` in `event.recipients`, ascending. */
export function ownEvent(event: TransactionEnded, positions: number[]): TransactionEnded {
  const newPosition = new Map(positions.map((position, index) => [position, index]))
  const recipients = positions.flatMap((position) => event.recipients[position] ?? [])
  return {
    ...event,
    ...(event.stage === 'rcpt' && recipients.length < event.recipients.length ? ownEnd(recipients) : {}),
    recipients,
    checks: event.checks.filter((check) => check.stage !== 'rcpt'),
    headers: event.headers.filter((header) => !hidingHeaders.has(header.name.toLowerCase())),
    evaluations: event.evaluations.flatMap((evaluation) => {
      if (evaluation.recipient === null) return [evaluation]
      const recipient = newPosition.get(evaluation.recipient)
      return recipient === undefined ? [] : [{ ...evaluation, recipient }]
    }),
  }
}

/** What ended at RCPT ended with the reply to one recipient, which may name it: here it ends with the own one's. */
function ownEnd(recipients: LoggedRecipient[]): Pick<TransactionEnded, 'reply' | 'reason' | 'decidingRuleId'> {
  const last = recipients.at(-1)
  return { reply: last?.reply ?? null, reason: last?.reason ?? null, decidingRuleId: null }
}

/** Attempts for the event's own recipients, and of each attempt only theirs. */
export function ownDeliveries(deliveries: DeliveryAttempted[], event: TransactionEnded): DeliveryAttempted[] {
  const own = new Set(
    event.recipients.flatMap((recipient) => [recipient.address.toLowerCase(), recipient.normalized.toLowerCase()]),
  )
  return deliveries.flatMap((delivery) => {
    const recipients = delivery.recipients.filter((recipient) => own.has(recipient.address.toLowerCase()))
    return recipients.length === 0 ? [] : [{ ...delivery, recipients }]
  })
}

/** Counts of the own deliveries; what was neither delivered nor refused in the end has expired. */
export function ownFinished(
  finished: MessageFinished | null,
  deliveries: DeliveryAttempted[],
): MessageFinished | null {
  if (finished === null) return null
  const last = new Map(
    deliveries.flatMap((delivery) =>
      delivery.recipients.map((recipient) => [recipient.address, recipient.outcome] as const),
    ),
  )
  const count = (outcome: string) => [...last.values()].filter((one) => one === outcome).length
  return {
    ...finished,
    deliveredCount: count('delivered'),
    failedCount: count('failed'),
    expiredCount: count('deferred'),
  }
}
