/**
 * One connection to Haraka: its transactions are told when it is over, since only the last line names the HELO.
 */
import type { Reply } from '../../contracts/event.ts'
import type { Applied, Emit, MtaThread } from './assembler.ts'
import { reasonOf, replyOf, unloggedReply, type MtaEvents, type MtaMail, type MtaRecipient } from './mta-event.ts'
import type { ThreadLine } from './mta-line.ts'

export type HarakaRecord =
  | { says: 'connect'; ip: string; port: number }
  | { says: 'sender' | 'recipient'; address: string; code: string; text: string }
  | { says: 'decided'; address: string; isAccepted: boolean }
  | { says: 'message'; messageId: string | null; sizeBytes: number; refusedCount: number; code: string; text: string }
  | { says: 'forwarding'; host: string; port: number }
  | { says: 'queued'; code: string; text: string }
  | { says: 'disconnect'; name: string | null; helo: string | null; refusedCount: number; lastReply: string }

type Transaction = {
  number: number
  startedMs: number
  endedMs: number
  sender: { address: string; code: string; text: string }
  recipients: { address: string; code: string; text: string }[]
  accepted: Set<string>
  message: Extract<HarakaRecord, { says: 'message' }> | null
  queued: Extract<HarakaRecord, { says: 'queued' }> | null
  hop: { host: string; port: number } | null
}

const isRefusal = (code: string): boolean => code.startsWith('DENY')
const isTemporary = (code: string): boolean => code.startsWith('DENYSOFT')

export class HarakaSession implements MtaThread {
  #first: ThreadLine
  #events: MtaEvents
  #remote: { ip: string | null; port: number | null; name: string | null } = { ip: null, port: null, name: null }
  #transactions = new Map<number, Transaction>()

  constructor(first: ThreadLine, events: MtaEvents) {
    this.#first = first
    this.#events = events
  }

  apply(line: ThreadLine, emit: Emit): Applied {
    const record = line.record as HarakaRecord & { transaction: number }
    if (record.says === 'connect') this.#remote = { ip: record.ip, port: record.port, name: null }
    else if (record.says === 'disconnect') {
      this.#remote.name = record.name
      this.#tellAll(emit, record)
      return 'finished'
    } else if (record.says === 'sender') {
      this.#transactions.set(record.transaction, {
        number: record.transaction, startedMs: line.timeMs, endedMs: line.timeMs, sender: record,
        recipients: [], accepted: new Set(), message: null, queued: null, hop: null,
      })
    } else this.#goesOn(line, record)
    return 'open'
  }

  giveUp(emit: Emit): void {
    this.#tellAll(emit, null)
  }

  #goesOn(line: ThreadLine, record: HarakaRecord & { transaction: number }): void {
    const transaction = this.#transactions.get(record.transaction)
    if (transaction === undefined) return
    transaction.endedMs = line.timeMs
    if (record.says === 'recipient') transaction.recipients.push(record)
    else if (record.says === 'decided' && record.isAccepted) transaction.accepted.add(record.address)
    else if (record.says === 'message') transaction.message = record
    else if (record.says === 'queued') transaction.queued = record
    else if (record.says === 'forwarding') transaction.hop = record
  }

  #tellAll(emit: Emit, end: Extract<HarakaRecord, { says: 'disconnect' }> | null): void {
    for (const transaction of this.#transactions.values()) this.#tell(transaction, end, emit)
    this.#transactions.clear()
  }

  #tell(transaction: Transaction, end: Extract<HarakaRecord, { says: 'disconnect' }> | null, emit: Emit): void {
    const { message, queued, sender } = transaction
    const isOnly = this.#transactions.size === 1
    const refusedCount = message?.refusedCount ?? (isOnly ? (end?.refusedCount ?? 0) : 0)
    const lastReply = replyOf(end?.lastReply ?? '')
    const recipients = transaction.recipients.map((recipient): MtaRecipient => recipientOf(recipient, transaction, refusedCount, lastReply))
    const identity = [String(this.#first.key.split(' ').at(-1)), String(transaction.number)]
    const decided = queued !== null && isRefusal(queued.code) ? queued : message !== null && isRefusal(message.code) ? message : isRefusal(sender.code) ? sender : null
    const isQueued = decided === null && queued !== null && queued.code === 'OK'
    const reply = decided === null ? (isQueued ? ({ code: 250, enhanced: null, text: queued.text } satisfies Reply) : null) : denialOf(decided)
    const mail: MtaMail = {
      host: this.#first.host, identity, session: identity[0]!,
      startedMs: transaction.startedMs, endedMs: transaction.endedMs,
      remote: this.#remote, helo: end?.helo ?? null, tls: null, authUser: null,
      sender: sender.address, declaredSizeBytes: null, recipients, subject: null,
      messageId: message?.messageId ?? null,
      sizeBytes: message?.sizeBytes ?? null, dataBytes: message?.sizeBytes ?? 0,
      ...outcomeOf(recipients, decided, isQueued, message !== null, decided === sender),
      reply: reply ?? recipients.find(({ outcome }) => outcome !== 'accepted')?.reply ?? null,
      duplicateOf: null,
    }
    emit(this.#events.mail(mail))
    const accepted = recipients.filter(({ outcome }) => outcome === 'accepted')
    if (!isQueued || transaction.hop === null || accepted.length === 0) return
    const transactionId = this.#events.idOf(mail.host, mail.startedMs, identity)
    emit(this.#events.delivery(mail.host, transactionId, {
      identity: 'forward', attempt: 1, startedMs: mail.endedMs, endedMs: mail.endedMs, ...transaction.hop,
      recipients: accepted.map(({ address }) => ({ address, outcome: 'delivered', reply, error: null })),
      sentBytes: message?.sizeBytes ?? 0,
    }))
    emit(this.#events.finished(mail.host, transactionId, mail.endedMs, { deliveredCount: accepted.length, failedCount: 0, expiredCount: 0, ageMs: 0 }))
  }
}

function recipientOf(recipient: { address: string; code: string; text: string }, { accepted }: Transaction, refusedCount: number, lastReply: Reply | null): MtaRecipient {
  const { address, code } = recipient
  // Nobody refused it and nobody accepted it: Haraka answers 550 itself, and logs `OK` all the same.
  const isUnclaimed = !isRefusal(code) && refusedCount > 0 && !accepted.has(address)
  if (!isRefusal(code) && !isUnclaimed) return { address, outcome: 'accepted', reason: null, reply: unloggedReply }
  const reply = isUnclaimed ? (lastReply?.text.includes(`<${address}>`) === true ? lastReply : { code: 550, enhanced: null, text: '' }) : denialOf(recipient)
  return { address, outcome: isTemporary(code) ? 'deferred' : 'refused', reason: isUnclaimed ? 'relay-denied' : reasonOf(reply), reply }
}

function denialOf({ code, text }: { code: string; text: string }): Reply {
  const enhanced = /^([45]\.\d{1,3}\.\d{1,3}) (.*)$/.exec(text)
  return { code: isTemporary(code) ? 450 : 550, enhanced: enhanced?.[1] ?? null, text: enhanced?.[2] ?? text }
}

function outcomeOf(recipients: readonly MtaRecipient[], decided: { code: string; text: string } | null, isQueued: boolean, hasData: boolean, isSender: boolean): Pick<MtaMail, 'outcome' | 'stage' | 'reason'> {
  if (decided !== null) {
    return { outcome: isTemporary(decided.code) ? 'deferred' : 'refused', stage: isSender ? 'mail' : 'complete', reason: reasonOf(denialOf(decided)) }
  }
  if (isQueued) return { outcome: 'accepted', stage: 'complete', reason: null }
  const refused = recipients.find(({ outcome }) => outcome === 'refused') ?? recipients.find(({ outcome }) => outcome === 'deferred')
  if (refused !== undefined && recipients.every(({ outcome }) => outcome !== 'accepted')) {
    return { outcome: refused.outcome === 'refused' ? 'refused' : 'deferred', stage: 'rcpt', reason: refused.reason }
  }
  return { outcome: 'aborted', stage: hasData ? 'complete' : 'rcpt', reason: null }
}
