/** What `session.closed` tells: verbs by outcome, octets, violations. */
import type { EventBody, SessionClosed } from '../../contracts/event.ts'
import type { SessionFacts } from './transaction.ts'

export type ClosedBy = SessionClosed['closedBy']

const violationLimit = 20

export class SessionRecord {
  receivedBytes = 0
  sentBytes = 0
  errorCount = 0
  badRecipientCount = 0
  transactionCount = 0
  readonly openedAtMs: number
  readonly unflushedTransactionIds: string[] = []
  readonly #verbs = new Map<string, { acceptedCount: number; refusedCount: number }>()
  readonly #violations: string[] = []

  constructor(openedAtMs: number) {
    this.openedAtMs = openedAtMs
  }

  countVerb(verb: string, isRefused: boolean): void {
    let counts = this.#verbs.get(verb)
    if (counts === undefined) this.#verbs.set(verb, (counts = { acceptedCount: 0, refusedCount: 0 }))
    if (isRefused) counts.refusedCount += 1
    else counts.acceptedCount += 1
  }

  violate(what: string): void {
    if (this.#violations.length < violationLimit && !this.#violations.includes(what)) this.#violations.push(what)
  }

  closed(facts: SessionFacts, closedBy: ClosedBy, nowMs: number): EventBody<SessionClosed> {
    return {
      kind: 'session.closed',
      sessionId: facts.sessionId,
      listener: facts.listener,
      remote: facts.remote,
      helo: facts.helo,
      tls: facts.tls,
      openedAt: new Date(this.openedAtMs).toISOString(),
      closedAt: new Date(nowMs).toISOString(),
      verbs: [...this.#verbs].map(([verb, counts]) => ({ verb, ...counts })),
      receivedBytes: this.receivedBytes,
      sentBytes: this.sentBytes,
      violations: [...this.#violations],
      closedBy,
      transactionCount: this.transactionCount,
      unflushedTransactionIds: [...this.unflushedTransactionIds],
    }
  }
}
