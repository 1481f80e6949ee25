/** What happened to a message, from the connection to the last delivery, in its order. */
import type { MessageSession, TimelineEntry } from '../../contracts/api.ts'
import type { DeliveryAttempted, MessageFinished, TransactionEnded } from '../../contracts/event.ts'
import { stages } from '../../contracts/vocabulary.ts'

export type GatewayAct = { kind: 'quarantine.released' | 'quarantine.deleted'; at: string; by: string | null }

export type TimelineParts = {
  event: TransactionEnded
  deliveries: readonly DeliveryAttempted[]
  finished: MessageFinished | null
  session: MessageSession | null
  acts: readonly GatewayAct[]
}

export function messageTimeline({ event, deliveries, finished, session, acts }: TimelineParts): TimelineEntry[] {
  const entry = (kind: TimelineEntry['kind'], change: Partial<TimelineEntry> = {}): TimelineEntry => ({
    kind, at: null, stage: null, durationUs: null, delivery: null, by: null, ...change,
  })
  const reached = stages.slice(0, stages.indexOf(event.stage) + 1)
  const dialog = [
    entry('connected', { at: session?.openedAt ?? null }),
    ...reached.map((stage) => entry('stage', { stage, durationUs: event.timings[`${stage}Us`] })),
    entry('ended', { at: event.endedAt, stage: event.stage }),
    ...(event.queueId === null ? [] : [entry('queued', { at: event.endedAt, durationUs: event.timings.spoolUs })]),
  ]
  const later = [
    ...deliveries.map((one, index) => entry('attempted', { at: one.endedAt, durationUs: one.durationUs, delivery: index })),
    ...acts.map((act) => entry(act.kind === 'quarantine.released' ? 'released' : 'deleted', { at: act.at, by: act.by })),
    ...(session === null ? [] : [entry('closed', { at: session.closedAt, by: session.closedBy })]),
    ...(finished === null ? [] : [entry('finished', { at: finished.at })]),
  ]
  // Equal times keep the order above: nothing is finished before its last attempt.
  return [...dialog, ...later.toSorted((one, other) => Date.parse(one.at!) - Date.parse(other.at!))]
}
