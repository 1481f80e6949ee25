/** What the rest of the gateway asks of the relay: figures, the queue, and an operator's commands. */

export type QueueCounts = {
  /** Messages with a recipient left to deliver, held ones not counted. */
  queuedCount: number
  /** Deliveries that wait for their next try or for a next hop that is down. */
  deferredCount: number
  /** Messages kept for an operator: by a rule, or undeliverable. */
  heldCount: number
  connectionCount: number
}

export type QueueEntry = {
  queueId: string
  sender: string
  sizeBytes: number
  acceptedAtMs: number
  status: 'active' | 'deferred' | 'held'
  /** Those with nothing final yet. */
  recipients: { address: string; lastError: string | null }[]
  attemptCount: number
  nextTryAtMs: number | null
}

export type RouteState = {
  name: string
  host: string
  port: number
  waitingCount: number
  connectionCount: number
  downBecause: string | null
}

export interface Relay {
  counts(): QueueCounts
  list(): Iterable<QueueEntry>
  routes(): RouteState[]
  /** Tries all of the message that waits, at once, and tells with the try who asked; false when it is unknown, held, or under way already. */
  retryNow(queueId: string, by: string): boolean
  /** Takes a message out of the queue for good: its waiting recipients count as failed. False when unknown, held or under way. */
  remove(queueId: string, by: string): Promise<boolean>
}
