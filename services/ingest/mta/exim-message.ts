/**
 * One message of Exim, from `<=` to `Completed`, and a refusal, which is one line.
 *
 * Why  Exim counts no recipients. With `log_selector = +received_recipients` they stand in the first line, and the
 *      transaction is told as soon as each was tried; without, only `Completed` says that no more will come.
 */
import type { Reply, Tls } from '../../contracts/event.ts'
import type { Stage } from '../../contracts/vocabulary.ts'
import type { Applied, Emit, MtaThread, ThreadLinks } from './assembler.ts'
import { reasonOf, replyOf, unloggedReply, type MtaEvents, type MtaMail } from './mta-event.ts'
import type { ThreadLine } from './mta-line.ts'

type EximRemote = { ip: string | null; port: number | null; name: string | null }

export type EximArrival = {
  says: 'arrived'
  sender: string
  remote: EximRemote
  helo: string | null
  tls: Tls | null
  user: string | null
  sizeBytes: number
  messageId: string | null
  subject: string | null
  recipients: string[] | null
}
export type EximDelivery = {
  says: 'delivery'
  address: string
  /** Whom the remote wrote to. */
  original: string
  outcome: 'delivered' | 'failed' | 'deferred'
  host: string
  port: number
  confirmation: string | null
  text: string
}
export type EximRejection = { says: 'rejected'; verb: string; remote: EximRemote; helo: string | null; sender: string | null; to: string | null; reply: Reply }
export type EximRecord = EximArrival | EximDelivery | EximRejection | { says: 'completed' }

const emptyMail = {
  authUser: null, declaredSizeBytes: null, subject: null, messageId: null, sizeBytes: null, dataBytes: 0, duplicateOf: null,
} as const

export class EximMessage implements MtaThread {
  #events: MtaEvents
  #first: ThreadLine
  #arrival: EximArrival | null = null
  #transactionId: string
  #tried = new Map<string, { original: string; attempts: number; last: EximDelivery['outcome'] }>()
  #waiting: { line: ThreadLine; delivery: EximDelivery }[] = []
  #ordinals = new Map<string, number>()
  #isTold = false

  constructor(first: ThreadLine, events: MtaEvents) {
    this.#first = first
    this.#events = events
    this.#transactionId = events.idOf(first.host, first.timeMs, identityOf(first))
  }

  apply(line: ThreadLine, emit: Emit): Applied {
    const record = line.record as EximRecord
    if (record.says === 'arrived') this.#arrival = record
    if (record.says === 'delivery') this.#delivered(line, record, emit)
    if (record.says !== 'completed') return 'open'
    this.giveUp(emit)
    const outcomes = [...this.#tried.values()].map(({ last }) => last)
    emit(this.#events.finished(line.host, this.#transactionId, line.timeMs, {
      deliveredCount: outcomes.filter((last) => last === 'delivered').length,
      failedCount: outcomes.filter((last) => last !== 'delivered').length,
      expiredCount: 0,
      ageMs: Math.max(0, line.timeMs - this.#first.timeMs),
    }))
    return 'finished'
  }

  giveUp(emit: Emit): void {
    if (!this.#isTold) this.#tell(emit)
  }

  #delivered(line: ThreadLine, delivery: EximDelivery, emit: Emit): void {
    const key = `${delivery.address}\n${delivery.original}`
    const tried = this.#tried.get(key) ?? { original: delivery.original, attempts: 0, last: delivery.outcome }
    tried.attempts += 1
    tried.last = delivery.outcome
    this.#tried.set(key, tried)
    this.#waiting.push({ line, delivery })
    const wanted = this.#arrival?.recipients ?? null
    if (!this.#isTold && wanted !== null) {
      const originals = new Set([...this.#tried.values()].map(({ original }) => original.toLowerCase()))
      if (wanted.every((address) => originals.has(address.toLowerCase()))) this.#tell(emit)
    }
    if (this.#isTold) this.#tellDeliveries(emit)
  }

  #tell(emit: Emit): void {
    const arrival = this.#arrival!
    const { timeMs } = this.#first
    const originals = [...new Set([...this.#tried.values()].map(({ original }) => original))]
    const id = identityOf(this.#first).at(-1)!
    this.#isTold = true
    emit(this.#events.mail({
      ...emptyMail,
      host: this.#first.host, identity: identityOf(this.#first), session: this.#first.digest,
      startedMs: timeMs, endedMs: timeMs,
      remote: arrival.remote, helo: arrival.helo, tls: arrival.tls, authUser: arrival.user,
      sender: arrival.sender,
      recipients: originals.map((address) => ({ address, outcome: 'accepted', reason: null, reply: unloggedReply })),
      subject: arrival.subject, messageId: arrival.messageId,
      sizeBytes: arrival.sizeBytes, dataBytes: arrival.sizeBytes,
      outcome: 'accepted', stage: 'complete', reason: null,
      reply: { code: 250, enhanced: null, text: `OK id=${id}` },
    }))
    this.#tellDeliveries(emit)
  }

  #tellDeliveries(emit: Emit): void {
    for (const { line, delivery } of this.#waiting) {
      const ordinal = this.#ordinals.get(line.digest) ?? 0
      this.#ordinals.set(line.digest, ordinal + 1)
      const reply = delivery.confirmation === null ? replyIn(delivery.text) : replyOf(delivery.confirmation)
      const isDelivered = delivery.outcome === 'delivered'
      emit(this.#events.delivery(line.host, this.#transactionId, {
        identity: `${line.digest}\n${ordinal}`,
        attempt: this.#tried.get(`${delivery.address}\n${delivery.original}`)!.attempts,
        startedMs: line.timeMs,
        endedMs: line.timeMs,
        host: delivery.host,
        port: delivery.port,
        recipients: [{ address: delivery.address, outcome: delivery.outcome, reply, error: reply === null && !isDelivered ? delivery.text : null }],
        sentBytes: isDelivered ? this.#arrival!.sizeBytes : 0,
      }))
    }
    this.#waiting = []
  }
}

export class EximRefusal implements MtaThread {
  #events: MtaEvents
  #links: ThreadLinks

  constructor(events: MtaEvents, links: ThreadLinks) {
    this.#events = events
    this.#links = links
  }

  apply(line: ThreadLine, emit: Emit): Applied {
    emit(this.#events.mail(refusedMail(line, line.record as EximRejection, this.#links.ordinalOf(line))))
    return 'finished'
  }

  giveUp(): void {}
}

function refusedMail(line: ThreadLine, rejection: EximRejection, ordinal: number): MtaMail {
  const { remote, helo, sender, to, reply } = rejection
  const reason = reasonOf(reply)
  const outcome = reply.code >= 500 ? 'refused' : 'deferred'
  return {
    ...emptyMail,
    host: line.host, identity: ['refused', line.digest, String(ordinal)], session: `${line.digest} ${ordinal}`,
    startedMs: line.timeMs, endedMs: line.timeMs,
    remote, helo, tls: null, sender,
    recipients: to === null ? [] : [{ address: to, outcome, reason, reply }],
    outcome, stage: stageOf(rejection.verb), reason, reply,
  }
}

function stageOf(verb: string): Stage {
  if (verb === 'connection') return 'connect'
  if (verb === 'EHLO or HELO') return 'helo'
  if (verb === 'RCPT') return 'rcpt'
  return verb.endsWith('DATA') || /^(?:during|by) /.test(verb) ? 'complete' : 'mail'
}

const identityOf = (first: ThreadLine): string[] => [first.key.slice(first.key.lastIndexOf(' ') + 1)]

/** `SMTP error from remote mail server after RCPT TO:<…>: 550 5.1.1 words`. */
function replyIn(text: string): Reply | null {
  const said = /: ([2-5]\d\d[ -].*)$/.exec(text)
  return said === null ? null : replyOf(said[1]!)
}
