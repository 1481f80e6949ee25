/** The events of the relay, from what happened to what the event log takes: pure, the demo's history uses them too. */
import type { DeliveryAttempted, DeliveryResult, EventBody, MessageFinished, Tls } from '../../contracts/event.ts'

export type DeliveryAttempt = {
  queueId: string
  /** From 1, per next hop. */
  attempt: number
  startedAtMs: number
  durationUs: number
  nextHop: { route: string; host: string; port: number }
  tls: Tls | null
  recipients: DeliveryResult[]
  sentBytes: number
  requestedBy?: string
}

export function deliveryAttempted(attempt: DeliveryAttempt): EventBody<DeliveryAttempted> {
  return {
    kind: 'delivery.attempted',
    transactionId: attempt.queueId,
    queueId: attempt.queueId,
    attempt: attempt.attempt,
    startedAt: new Date(attempt.startedAtMs).toISOString(),
    endedAt: new Date(attempt.startedAtMs + Math.round(attempt.durationUs / 1_000)).toISOString(),
    nextHop: attempt.nextHop,
    tls: attempt.tls,
    recipients: attempt.recipients,
    sentBytes: attempt.sentBytes,
    durationUs: attempt.durationUs,
    ...(attempt.requestedBy === undefined ? {} : { requestedBy: attempt.requestedBy }),
  }
}

export type FinishedMessage = {
  queueId: string
  acceptedAtMs: number
  finishedAtMs: number
  deliveredCount: number
  failedCount: number
  expiredCount: number
  /** Of the report to its sender, where one was due. */
  reportId?: string | undefined
}

export function messageFinished(message: FinishedMessage): EventBody<MessageFinished> {
  return {
    kind: 'message.finished',
    transactionId: message.queueId,
    queueId: message.queueId,
    deliveredCount: message.deliveredCount,
    failedCount: message.failedCount,
    expiredCount: message.expiredCount,
    // The clock may have been set back meanwhile.
    ageMs: Math.max(0, message.finishedAtMs - message.acceptedAtMs),
    ...(message.reportId === undefined ? {} : { reportId: message.reportId }),
  }
}
