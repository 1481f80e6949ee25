/**
 * One connection to Postfix's smtpd or postscreen, by the process that served it.
 *
 * Owns    refusals that never got a queue id, and what the session tells about the messages that began in it.
 * Why     a refused recipient waits for what follows it: if a message of the same sender begins in the same session,
 *         it was one transaction in which others were accepted, and saved nothing on the link (BILLING, Savings).
 *         Postfix logs neither MAIL nor RSET, so refusals of one sender in a row count as one transaction.
 */
import type { Tls } from '../../contracts/event.ts'
import type { Stage } from '../../contracts/vocabulary.ts'
import type { Applied, Emit, MtaThread, ThreadLinks } from './assembler.ts'
import { reasonOf, unloggedReply, type MtaEvents, type MtaMail, type MtaRecipient } from './mta-event.ts'
import type { ThreadLine } from './mta-line.ts'
import type { PostfixRecord, PostfixReject } from './postfix-line.ts'

export type RejectLine = { line: ThreadLine; reject: PostfixReject; ordinal: number }

export class PostfixSession implements MtaThread {
  #events: MtaEvents
  #links: ThreadLinks
  #first: ThreadLine
  #tls: { line: ThreadLine; tls: Tls } | null = null
  #waiting: RejectLine[] = []
  /** A rule decided on the message that is about to begin. */
  #setAside: ThreadLine | null = null
  /** Messages of this session that it may still have to tell of its end. */
  #messages: string[] = []

  constructor(first: ThreadLine, events: MtaEvents, links: ThreadLinks) {
    this.#first = first
    this.#events = events
    this.#links = links
  }

  apply(line: ThreadLine, emit: Emit): Applied {
    const record = line.record as PostfixRecord
    switch (record.says) {
      case 'connect':
        this.#first = line
        return 'open'
      case 'tls':
        this.#tls = { line, tls: record.tls }
        return 'open'
      case 'reject':
        if (this.#waiting.length > 0 && !isSameTransaction(this.#waiting.at(-1)!.reject, record)) this.giveUp(emit)
        this.#waiting.push({ line, reject: this.#withClient(record), ordinal: this.#links.ordinalOf(line) })
        return 'open'
      case 'set-aside':
        this.#setAside = line
        return 'open'
      case 'client':
        this.#tellMessages(line)
        if (this.#hasContext()) this.#waiting = []
        else this.giveUp(emit)
        this.#setAside = null
        this.#messages.push(messageKey(line))
        return 'open'
      case 'broken-off':
        this.#tellMessages(line)
        return 'open'
      case 'disconnect':
        this.giveUp(emit)
        this.#tellMessages(line)
        return 'finished'
      default:
        return 'open'
    }
  }

  giveUp(emit: Emit, by?: ThreadLine): void {
    // The process serves somebody else: the end of this session is not in the log.
    if (by !== undefined) this.#tellMessages(by)
    const waiting = this.#waiting
    this.#waiting = []
    if (waiting.length > 0) emit(this.#events.mail(refusedMail(waiting, sessionName(this.#first), this.#tls?.tls ?? null)))
  }

  takeContext(): readonly ThreadLine[] {
    const hasConnect = (this.#first.record as PostfixRecord).says === 'connect'
    return [
      ...(hasConnect ? [this.#first] : []),
      ...(this.#tls === null ? [] : [this.#tls.line]),
      ...(this.#hasContext() ? this.#waiting.map(({ line }) => line) : []),
      ...(this.#setAside === null ? [] : [this.#setAside]),
    ]
  }

  /** What a filter before the queue refused names no client. */
  #withClient(reject: PostfixReject): PostfixReject {
    const first = this.#first.record as PostfixRecord
    return reject.client.ip === null && first.says === 'connect' ? { ...reject, client: first.client } : reject
  }

  /** Refused recipients: others of their transaction may be accepted. */
  #hasContext(): boolean {
    return this.#waiting[0]?.reject.verb === 'RCPT' && this.#waiting[0].reject.from !== null
  }

  #tellMessages(line: ThreadLine): void {
    for (const key of this.#messages) this.#links.send(key, line)
    if ((line.record as PostfixRecord).says !== 'broken-off') this.#messages = []
  }
}

export const sessionName = (first: ThreadLine): string => `${first.session} ${first.digest}`

/** The line of a message, seen from its session, has the session's key; the queue id stands in its text. */
function messageKey(line: ThreadLine): string {
  const [, instance, id] = /\s([\w.-]+)(?:\/[\w.-]+)*\/smtpd(?:\[\d+\])?:? .*?([0-9A-Za-z]{6,24}): client=/.exec(line.raw) ?? []
  return `${line.host} ${instance} ${id}`
}

function isSameTransaction(one: PostfixReject, other: PostfixReject): boolean {
  if (one.client.ip !== other.client.ip || one.client.port !== other.client.port) return false
  return one.from === other.from && one.verb === 'RCPT' && other.verb === 'RCPT' && one.from !== null
}

/** Refused, or only deferred where no answer was final. `lines` has at least one. */
export function refusedMail(lines: readonly RejectLine[], session: string, tls: Tls | null): MtaMail {
  const [first] = lines
  const last = lines.at(-1)!
  const decisive = lines.find(({ reject }) => reject.reply.code >= 500) ?? first!
  const { reject } = first!
  return {
    host: first!.line.host,
    identity: ['refused', first!.line.session ?? '', first!.line.digest, String(first!.ordinal)],
    session,
    startedMs: first!.line.timeMs,
    endedMs: last.line.timeMs,
    remote: reject.client,
    helo: reject.helo,
    tls,
    authUser: null,
    sender: reject.from,
    declaredSizeBytes: null,
    recipients: lines.flatMap((line) => (isAfterData(line.reject) ? takenRecipientOf(line.reject) : recipientOf(line.reject)) ?? []),
    subject: null,
    messageId: null,
    sizeBytes: null,
    dataBytes: 0,
    outcome: decisive.reject.reply.code >= 500 ? 'refused' : 'deferred',
    stage: stageOf(reject.verb),
    reason: reasonOf(decisive.reject.reply),
    reply: decisive.reject.reply,
    duplicateOf: null,
  }
}

const isAfterData = ({ verb }: PostfixReject): boolean => stageOf(verb) === 'complete'

/** The only one whose name is logged of a message that was refused as a whole: RCPT had accepted it. */
export function takenRecipientOf({ to }: Pick<PostfixReject, 'to'>): MtaRecipient | null {
  return to === null ? null : { address: to, outcome: 'accepted', reason: null, reply: unloggedReply }
}

export function recipientOf(reject: PostfixReject): MtaRecipient | null {
  if (reject.to === null) return null
  const { reply } = reject
  return { address: reject.to, outcome: reply.code >= 500 ? 'refused' : 'deferred', reason: reasonOf(reply), reply }
}

export function stageOf(verb: string): Stage {
  if (verb === 'CONNECT') return 'connect'
  if (verb === 'HELO' || verb === 'EHLO') return 'helo'
  if (verb === 'MAIL') return 'mail'
  return verb === 'DATA' || verb === 'BDAT' || verb === 'END-OF-MESSAGE' ? 'complete' : 'rcpt'
}
