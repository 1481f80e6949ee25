/**
 * One message in Postfix's queue, from the client that sent it to `removed`.
 *
 * Owns    when its transaction is told: once every recipient that qmgr counted was tried, so that the line is whole and
 *         stays as it is, however the lines are cut into files.
 * Why     Postfix does not log an accepted RCPT. Recipients are known from the lines of their deliveries; where an alias
 *         was put in their place, `orig_to` is who was written to, and who is billed.
 * Limits  a copy that Postfix adds (`always_bcc`) looks like a recipient, and counts as one.
 */
import type { Reply, Tls } from '../../contracts/event.ts'
import type { Reason } from '../../contracts/vocabulary.ts'
import type { Applied, Emit, MtaThread } from './assembler.ts'
import { reasonOf, replyOf, unloggedReply, type MtaEvents, type MtaMail, type MtaRecipient } from './mta-event.ts'
import type { ThreadLine } from './mta-line.ts'
import { instanceAndId, type PostfixClient, type PostfixDelivery, type PostfixRecord, type PostfixReject } from './postfix-line.ts'
import { recipientOf, refusedMail, sessionName, stageOf, takenRecipientOf, type RejectLine } from './postfix-session.ts'
import type { Reinjection } from './reinjection.ts'

type Tried = { address: string; counted: string; attempts: number; last: 'delivered' | 'deferred' | 'failed' | 'expired' }

const triedKey = ({ to, origTo }: PostfixDelivery): string => `${to}\n${origTo ?? ''}`
/** SOFTBOUNCE: of `soft_bounce = yes`, tried again. */
const isDeferred = ({ status }: PostfixDelivery): boolean => status === 'deferred' || status === 'SOFTBOUNCE'

const localClient: PostfixClient = { name: null, ip: null, port: null }
const isLoopback = (ip: string | null): boolean => ip !== null && (ip.startsWith('127.') || ip === '::1')

export class PostfixMessage implements MtaThread {
  #events: MtaEvents
  #reinjection: Reinjection
  #first: ThreadLine
  #client = localClient
  #user: string | null = null
  #tls: Tls | null = null
  #session: string
  #rejects: RejectLine[] = []
  #helo: string | null = null
  #messageId: string | null = null
  #subject: string | null = null
  #active: { from: string; sizeBytes: number; recipientCount: number; timeMs: number } | null = null
  #tried = new Map<string, Tried>()
  #waiting: { line: ThreadLine; delivery: PostfixDelivery }[] = []
  #deliveryOrdinals = new Map<string, number>()
  #dataBytes = 0
  #isBrokenOff = false
  #isTold = false
  #isProbe = false
  #duplicateOf: string | null = null
  #originalQueueId: string | null = null
  #setAside: Extract<PostfixRecord, { says: 'set-aside' }> | null = null
  #transactionId: string
  #hasOrigin: boolean

  constructor(first: ThreadLine, events: MtaEvents, reinjection: Reinjection) {
    this.#first = first
    this.#events = events
    this.#reinjection = reinjection
    this.#session = `${first.key} ${first.digest}`
    const { says } = first.record as PostfixRecord
    this.#hasOrigin = says === 'client' || says === 'pickup'
    this.#transactionId = events.idOf(first.host, first.timeMs, instanceAndId(first.key))
  }

  apply(line: ThreadLine, emit: Emit): Applied {
    const record = line.record as PostfixRecord
    switch (record.says) {
      case 'connect':
        if (line.timeMs > this.#first.timeMs || this.#client !== localClient) return this.#sessionEnded(line, emit)
        this.#session = sessionName(line)
        return 'open'
      case 'tls':
        this.#tls = record.tls
        return 'open'
      case 'client':
        if (line.digest !== this.#first.digest) return this.#sessionEnded(line, emit)
        this.#client = record.client
        this.#user = record.user
        this.#originalQueueId = record.originalQueueId
        return 'open'
      case 'set-aside':
        this.#setAside = record
        return 'open'
      case 'reject':
        return this.#rejected(line, record, emit)
      case 'broken-off':
        this.#isBrokenOff = true
        this.#dataBytes = record.dataBytes
        return 'open'
      case 'disconnect':
        return this.#sessionEnded(line, emit)
      case 'message-id':
        this.#messageId = record.messageId
        this.#reinjection.began(line.host, this.#queueId(), this.#messageId, this.#transactionId, !this.#hasOrigin || isLoopback(this.#client.ip))
        return 'open'
      case 'subject':
        this.#subject = record.subject
        return 'open'
      case 'content-refused':
        return this.#contentRefused(line, record, emit)
      case 'active':
        return this.#becameActive(line, record)
      case 'delivery':
        return this.#delivered(line, record, emit)
      case 'expired':
        for (const tried of this.#tried.values()) if (tried.last === 'deferred') tried.last = 'expired'
        return 'open'
      case 'removed':
        return this.#removed(line, emit)
      case 'deleted':
        // By hand, out of the queue in which messages are held.
        if (this.#active === null && !this.#isTold) this.#tellSetAside(line.timeMs, emit, 'quarantined')
        return this.#removed(line, emit)
      case 'pickup':
        return 'open'
    }
  }

  giveUp(emit: Emit): void {
    if (this.#isTold || this.#isProbe) return
    if (this.#active !== null) this.#tell(emit)
    else if (this.#setAside !== null) this.#tellSetAside(this.#first.timeMs, emit)
    else if (this.#hasOrigin) this.#tellEnd(this.#first.timeMs, emit, { outcome: 'aborted', stage: this.#messageId === null ? 'rcpt' : 'complete' })
  }

  #rejected(line: ThreadLine, reject: PostfixReject, emit: Emit): Applied {
    this.#helo = reject.helo
    this.#rejects.push({ line, reject, ordinal: 0 })
    if (stageOf(reject.verb) !== 'complete') return 'open'
    return this.#contentRefused(line, { outcome: reject.reply.code < 500 ? 'deferred' : 'refused', reject }, emit)
  }

  #contentRefused(line: ThreadLine, record: { outcome: MtaMail['outcome']; reject: PostfixReject | null; reason?: Reason | null }, emit: Emit): 'finished' {
    const { outcome, reject } = record
    this.#rejects = this.#rejects.filter((held) => held.reject !== reject)
    const taken = reject === null ? null : takenRecipientOf(reject)
    const named: MtaRecipient[] = taken === null ? [] : [{ ...taken, outcome: outcome === 'discarded' ? 'discarded' : 'accepted' }]
    this.#helo = reject?.helo ?? this.#helo
    const reply = outcome === 'discarded' ? null : (reject?.reply ?? null)
    const reason = record.reason ?? (reply === null ? null : reasonOf(reply))
    this.#tellEnd(line.timeMs, emit, { outcome, stage: 'complete', reply, reason, sender: reject?.from ?? null, recipients: named })
    return 'finished'
  }

  #becameActive(line: ThreadLine, record: { from: string; sizeBytes: number; recipientCount: number }): Applied {
    // Only what Postfix makes itself has neither a client nor a user: for others the beginning is in an earlier file.
    // A forward that local(8) makes by an alias has the Message-ID of one that is open.
    const isOwn = record.from === '' || record.from.startsWith('double-bounce@')
    if (!this.#hasOrigin && !isOwn && this.#originalOf() === null) return 'orphan'
    this.#active ??= { from: record.from, sizeBytes: record.sizeBytes, recipientCount: record.recipientCount, timeMs: line.timeMs }
    return 'open'
  }

  /** Before qmgr has it, a message whose session went on or ended is one that never came to its end. */
  #sessionEnded(line: ThreadLine, emit: Emit): Applied {
    if (this.#active !== null || this.#isTold) return 'open'
    if (this.#setAside !== null && !this.#isBrokenOff) {
      // What is held may be released; what is discarded is over.
      if (this.#setAside.outcome === 'quarantined') return 'open'
      this.#tellSetAside(line.timeMs, emit)
      return 'finished'
    }
    if (this.#messageId !== null && !this.#isBrokenOff) return 'open'
    const isReset = (line.record as PostfixRecord).says === 'client'
    this.#tellEnd(line.timeMs, emit, { outcome: isReset ? 'reset' : 'aborted', stage: this.#messageId === null ? 'rcpt' : 'complete', reason: this.#isBrokenOff ? 'client-gone' : null })
    return 'finished'
  }

  #delivered(line: ThreadLine, delivery: PostfixDelivery, emit: Emit): Applied {
    if (delivery.status === 'deliverable' || delivery.status === 'undeliverable') {
      // A probe of Postfix itself, whether an address can be delivered to: no mail.
      this.#isProbe = true
      return 'open'
    }
    const key = triedKey(delivery)
    const tried = this.#tried.get(key) ?? { address: delivery.origTo ?? delivery.to, counted: delivery.relay === 'local' ? (delivery.origTo ?? delivery.to) : key, attempts: 0, last: 'deferred' as const }
    tried.attempts += 1
    tried.last = delivery.status === 'sent' ? 'delivered' : isDeferred(delivery) ? 'deferred' : delivery.status === 'expired' ? 'expired' : 'failed'
    this.#tried.set(key, tried)
    const handedTo = /(?:queued|forwarded) as ([0-9A-Za-z]{6,24})/.exec(delivery.text)?.[1]
    if (delivery.status === 'sent') this.#reinjection.handedOn(line.host, this.#transactionId, delivery.relay === 'local' || isLoopbackRelay(delivery.relay) ? (handedTo ?? null) : null)
    this.#waiting.push({ line, delivery })
    if (!this.#isTold && this.#active !== null && this.#knownCount() >= this.#active.recipientCount) this.#tell(emit)
    if (this.#isTold) this.#tellDeliveries(emit)
    return 'open'
  }

  #removed(line: ThreadLine, emit: Emit): 'finished' {
    this.#reinjection.ended(line.host, this.#queueId(), this.#messageId, this.#transactionId)
    if (this.#isProbe) return 'finished'
    if (!this.#isTold) this.giveUp(emit)
    if (this.#active === null) return 'finished'
    this.#tellDeliveries(emit)
    const tried = [...this.#tried.values()]
    const countOf = (last: Tried['last']): number => tried.filter((one) => one.last === last).length
    emit(this.#events.finished(line.host, this.#transactionId, line.timeMs, {
      deliveredCount: countOf('delivered'),
      failedCount: countOf('failed'),
      expiredCount: countOf('expired'),
      ageMs: Math.max(0, line.timeMs - this.#first.timeMs),
    }))
    return 'finished'
  }

  #tell(emit: Emit): void {
    const { from, sizeBytes, timeMs } = this.#active!
    const mine = this.#rejects.filter(({ reject }) => reject.from === from)
    const others = this.#rejects.filter(({ reject }) => reject.from !== from)
    // Refused before in this session, to another sender: a transaction of its own.
    if (others.length > 0) emit(this.#events.mail(refusedMail(others, this.#session, this.#tls)))
    const accepted = [...new Set([...this.#tried.values()].map(({ address }) => address))]
    this.#duplicateOf = this.#originalOf()
    emit(this.#events.mail({
      ...this.#mail(timeMs),
      sender: from,
      recipients: [
        ...mine.flatMap(({ reject }) => recipientOf(reject) ?? []),
        ...accepted.map((address): MtaRecipient => ({ address, outcome: 'accepted', reason: null, reply: unloggedReply })),
      ],
      sizeBytes,
      dataBytes: sizeBytes,
      outcome: 'accepted',
      stage: 'complete',
      reason: this.#duplicateOf === null ? null : 'duplicate',
      reply: { code: 250, enhanced: '2.0.0', text: `Ok: queued as ${this.#queueId()}` },
      duplicateOf: this.#duplicateOf,
    }))
    this.#isTold = true
  }

  #queueId(): string {
    return instanceAndId(this.#first.key).at(-1)!
  }

  #originalOf(): string | null {
    if (this.#hasOrigin && !isLoopback(this.#client.ip)) return null
    if (!this.#hasOrigin && this.#active?.from === '') return null
    return this.#reinjection.originalOf(this.#first.host, this.#queueId(), this.#originalQueueId, this.#messageId, this.#transactionId)
  }

  /**
   * How many of the recipients that qmgr counted were tried. local(8) makes several deliveries of one: by an alias of
   * its own all of them are one recipient, and where that may be so they count as one.
   */
  #knownCount(): number {
    return new Set([...this.#tried.values()].map(({ counted }) => counted)).size
  }

  /** Held or discarded: it was answered 250, its size is not logged, and of its recipients one at most. */
  #tellSetAside(endedMs: number, emit: Emit, known?: 'quarantined'): void {
    const outcome = known ?? this.#setAside!.outcome
    const taken = this.#setAside === null ? null : takenRecipientOf(this.#setAside)
    this.#helo = this.#setAside?.helo ?? this.#helo
    this.#tellEnd(endedMs, emit, {
      outcome, stage: 'complete', sender: this.#setAside?.sender ?? null,
      recipients: taken === null ? [] : [{ ...taken, outcome }],
    })
  }

  /** It ended before it was in the queue. Without an accepted recipient that is known, what was refused decides. */
  #tellEnd(endedMs: number, emit: Emit, known: Partial<MtaMail> & Pick<MtaMail, 'outcome' | 'stage'>): void {
    this.#isTold = true
    this.#reinjection.ended(this.#first.host, this.#queueId(), this.#messageId, this.#transactionId)
    const refused = this.#rejects.flatMap(({ reject }) => recipientOf(reject) ?? [])
    const sender = known.sender ?? this.#rejects[0]?.reject.from ?? null
    emit(this.#events.mail({ ...this.#mail(endedMs), ...known, sender, recipients: [...refused, ...(known.recipients ?? [])] }))
  }

  #mail(endedMs: number): MtaMail {
    return {
      host: this.#first.host,
      identity: instanceAndId(this.#first.key),
      session: this.#session,
      startedMs: this.#first.timeMs,
      endedMs,
      remote: this.#client,
      helo: this.#helo,
      tls: this.#tls,
      authUser: this.#user,
      sender: null,
      declaredSizeBytes: null,
      recipients: [],
      subject: this.#subject,
      messageId: this.#messageId === '<>' ? null : this.#messageId,
      sizeBytes: null,
      dataBytes: this.#dataBytes,
      outcome: 'aborted',
      stage: 'rcpt',
      reason: null,
      reply: null,
      duplicateOf: null,
    }
  }

  #tellDeliveries(emit: Emit): void {
    for (const { line, delivery } of this.#waiting) {
      const ordinal = this.#deliveryOrdinals.get(line.digest) ?? 0
      this.#deliveryOrdinals.set(line.digest, ordinal + 1)
      const tried = this.#tried.get(triedKey(delivery))!
      const { host, port } = relayOf(delivery.relay)
      const reply = replyIn(delivery.text)
      const isSent = delivery.status === 'sent'
      emit(this.#events.delivery(line.host, this.#transactionId, {
        identity: `${line.digest}\n${ordinal}`,
        attempt: tried.attempts,
        startedMs: line.timeMs - Math.round(delivery.trySeconds * 1_000),
        endedMs: line.timeMs,
        host,
        port,
        recipients: [{
          address: delivery.to,
          outcome: isSent ? 'delivered' : isDeferred(delivery) ? 'deferred' : 'failed',
          reply,
          error: reply === null && !isSent ? delivery.text : null,
        }],
        sentBytes: isSent ? this.#active!.sizeBytes : 0,
      }))
    }
    this.#waiting = []
  }
}

/** `host[ip]:port`, or the word for an agent that has none: `local`, `virtual`, `none`. */
function relayOf(relay: string): { host: string; port: number } {
  const match = /^(.*?)(?:\[[^\]]*\])?(?::(\d{1,5}))?$/.exec(relay)
  return { host: match?.[1] === undefined || match[1] === '' ? relay : match[1], port: Number(match?.[2] ?? 0) }
}

const isLoopbackRelay = (relay: string): boolean => /\[(?:127\.[\d.]+|::1)\]/.test(relay)

/** The reply of the next hop: alone, or in `host x[ip] said: 550 … (in reply to RCPT TO command)`. */
function replyIn(text: string): Reply | null {
  const said = text.indexOf(' said: ')
  return replyOf(said < 0 ? text : text.slice(said + 7).replace(/ \(in reply to [^()]{1,60}\)$/, ''))
}
