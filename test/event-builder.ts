/**
 * Valid events and whole logs for tests and the bench, always the same for the same seed.
 *
 * Owns    realistic proportions: 2.3 recipients and 3 rule hits a transaction, a third refused, lines of 1-3 KB.
 */
import { createHash } from 'node:crypto'
import type {
  DeliveryAttempted,
  EventBody,
  LoggedRecipient,
  RuleHit,
  SegmentOpened,
  TollgateEvent,
  TransactionEnded,
} from '../services/contracts/event.ts'
import { transactionIdOf } from '../services/contracts/transaction-id.ts'

/** Small and fast (mulberry32); the same sequence for the same seed on every machine. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

export function uuidOf(text: string): string {
  const hex = hashOf(text)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

const firstNames = ['anna', 'bert', 'carla', 'dmitri', 'elena', 'farid', 'greta', 'hugo', 'ines', 'jan', 'karin', 'lars', 'mia', 'nils', 'olga', 'paul']
const words = ['invoice', 'meeting', 'offer', 'délai', 'Übersicht', 'report', 'delivery', 'contract', 'question', 'reminder', 'photos', 'schedule', 'отчёт', 'draft', 'agenda', 'order']
const ownDomains = ['example.org', 'example.net', 'branch.example.org']
const ruleIds = ['subject-lottery', 'helo-is-ip', 'no-reverse-name', 'sender-domain-without-mx', 'many-links', 'known-partner', 'large-archive', 'forged-own-domain']
const rulesetHash = hashOf('rule set')

export type LogOptions = {
  seed?: number
  tenantId?: string
  node?: string
  bootNumber?: number
  previousBoot?: { boot: string; seq: number; endedCleanly: boolean } | null
  startMs?: number
  /** Mean time between two transactions. */
  stepMs?: number
}

export const defaultStartMs = Date.UTC(2026, 9, 12, 6, 0, 0)

/** One boot of one gateway: numbers its events and writes them as lines. */
export class LogBuilder {
  readonly tenantId: string
  readonly node: string
  readonly boot: string
  readonly bootNumber: number
  seq = 0
  nowMs: number
  #segment = 0
  #random: () => number
  #stepMs: number
  #previousBoot: LogOptions['previousBoot']
  #count = 0

  constructor(options: LogOptions = {}) {
    const { seed = 1, tenantId = 'main', node = 'gateway-1', bootNumber = 1, previousBoot = null } = options
    this.tenantId = tenantId
    this.node = node
    this.bootNumber = bootNumber
    this.boot = uuidOf(`boot ${node} ${bootNumber} ${seed}`)
    this.nowMs = options.startMs ?? defaultStartMs
    this.#stepMs = options.stepMs ?? 800
    this.#previousBoot = previousBoot
    this.#random = createRandom(seed * 7919 + bootNumber)
  }

  /** Gives the event its place. */
  event<Body extends EventBody>(body: Body): Body & Pick<TollgateEvent, 'tenantId' | 'node' | 'boot' | 'seq' | 'at'> {
    this.seq += 1
    const { kind, ...rest } = body
    const at = new Date(this.nowMs).toISOString()
    return { kind, tenantId: this.tenantId, node: this.node, boot: this.boot, seq: this.seq, at, ...rest } as never
  }

  line(body: EventBody): string {
    return `${JSON.stringify(this.event(body))}\n`
  }

  /** The header of the next segment, and of the first one also `gateway.started`. */
  segmentStart(): string[] {
    this.#segment += 1
    const header: EventBody<SegmentOpened> = { kind: 'segment.opened', schemaVersion: 1, bootNumber: this.bootNumber, segment: this.#segment, previousSeq: this.seq }
    if (this.#segment > 1) return [this.line(header)]
    return [
      this.line(header),
      this.line({
        kind: 'gateway.started',
        version: '0.1.0',
        bootNumber: this.bootNumber,
        previousBoot: this.#previousBoot?.boot ?? null,
        previousSeq: this.#previousBoot?.seq ?? null,
        previousEndedCleanly: this.#previousBoot?.endedCleanly ?? null,
      }),
    ]
  }

  stopped(): string {
    return this.line({ kind: 'gateway.stopped', reason: 'asked to stop' })
  }

  get segment(): number {
    return this.#segment
  }

  get fileName(): string {
    return `${this.node}-${this.boot}-${String(this.#segment).padStart(6, '0')}.jsonl`
  }

  /** All lines that one mail transaction and its session leave, in their order. */
  transaction(change: Partial<EventBody<TransactionEnded>> = {}): string[] {
    this.nowMs += Math.floor(this.#random() * 2 * this.#stepMs) + 1
    const body = { ...this.transactionBody(), ...change }
    const lines = [this.line(body)]
    if (body.queueId !== null) lines.push(this.line(deliveryOf(body, this.nowMs)), this.line(finishedOf(body)))
    lines.push(this.line(sessionOf(body, this.nowMs)))
    return lines
  }

  transactionBody(): EventBody<TransactionEnded> {
    const random = this.#random
    const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!
    const count = this.#count++
    const entropy = createHash('sha256').update(`${this.boot} ${count}`).digest()
    const transactionId = transactionIdOf(this.nowMs, entropy)
    const isRefused = random() < 1 / 3
    const recipientCount = recipientCountOf(random())
    const sender = `${pick(firstNames)}.${Math.floor(random() * 5000)}@partner${Math.floor(random() * 900)}.example`
    const recipients = Array.from({ length: recipientCount }, () => recipientOf(`${pick(firstNames)}.${Math.floor(random() * 3000)}@${pick(ownDomains)}`, isRefused))
    const messageBytes = isRefused ? null : 900 + Math.floor(random() ** 3 * 400_000)
    const hitCount = Math.floor(random() * 7)
    const hits = Array.from({ length: hitCount }, (): RuleHit => ruleHitOf(pick(ruleIds), random))
    const weight = Math.round(hits.reduce((sum, hit) => sum + (hit.shadow ? 0 : hit.weight), 0) * 1000) / 1000
    const isMarked = !isRefused && weight > 5
    const startedAt = new Date(this.nowMs - 40 - Math.floor(random() * 900)).toISOString()
    const endedAt = new Date(this.nowMs).toISOString()
    const ip = random() < 0.8 ? `198.51.${Math.floor(random() * 100)}.${Math.floor(random() * 256)}` : `2001:db8:${Math.floor(random() * 65535).toString(16)}::${Math.floor(random() * 65535).toString(16)}`
    const subject = isRefused ? null : `${pick(words)} ${pick(words)} ${Math.floor(random() * 100_000)}`
    const messageId = isRefused ? null : `<${entropy.toString('hex', 0, 12)}@partner.example>`
    const firstReply = recipients[0]!.reply
    return {
      kind: 'transaction.ended',
      transactionId,
      sessionId: uuidOf(`session ${transactionId}`),
      source: 'tollgate',
      listener: '127.0.0.1:2525',
      startedAt,
      endedAt,
      remote: { ip, port: 1024 + Math.floor(random() * 60_000), reverseName: random() < 0.7 ? `mail${Math.floor(random() * 900)}.partner.example` : null, forwardConfirmed: random() < 0.7 ? true : null, country: pick(['DE', 'FR', 'PL', 'US', null]), networkClass: 'public', networkName: null },
      helo: `mail.partner${Math.floor(random() * 900)}.example`,
      tls: random() < 0.8 ? { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' } : null,
      authUser: null,
      sender,
      declaredSizeBytes: random() < 0.7 ? (messageBytes ?? 20_000 + Math.floor(random() * 100_000)) : null,
      recipients,
      headers: isRefused ? [] : [{ name: 'From', value: `"${pick(firstNames)}" <${sender}>` }, { name: 'To', value: recipients.map((recipient) => recipient.address).join(', ').slice(0, 300) }, { name: 'Date', value: new Date(this.nowMs).toUTCString() }, { name: 'Content-Type', value: 'multipart/mixed; boundary="=_part_0815"' }],
      subject,
      messageId,
      attachments: !isRefused && random() < 0.25 ? [{ name: `${pick(words)}.pdf`, type: 'application/pdf', sizeBytes: Math.floor(random() * 300_000) }] : [],
      messageBytes,
      sizeSource: 'data',
      dataBytes: messageBytes ?? 0,
      commandBytes: 80 + recipientCount * 40,
      evaluations: [{ stage: isRefused ? 'rcpt' : 'complete', recipient: isRefused ? 0 : null, weightBefore: 0, weightAfter: weight, hits, durationUs: 40 + Math.floor(random() * 200) }],
      checks: [{ name: 'sender-domain-has-mx', stage: 'mail', result: 'pass', detail: null, durationUs: 1200 + Math.floor(random() * 9000) }],
      plugins: [],
      weight,
      marks: isMarked ? ['subject:[SPAM]'] : [],
      outcome: isRefused ? 'refused' : isMarked ? 'marked' : 'accepted',
      stage: isRefused ? 'rcpt' : 'complete',
      reason: isRefused ? 'unknown-recipient' : null,
      decidingRuleId: null,
      reply: isRefused ? firstReply : { code: 250, enhanced: '2.0.0', text: `Ok: queued as ${transactionId}` },
      queueId: isRefused ? null : transactionId,
      digest: isRefused ? null : hashOf(`digest ${transactionId}`),
      duplicateOf: null,
      timings: { connectUs: 120, heloUs: 60, mailUs: 1400, rcptUs: 300 * recipientCount, headerUs: isRefused ? null : 200, completeUs: isRefused ? null : 900, spoolUs: isRefused ? null : 2100 },
      rulesetHash,
      directoryVersion: '42',
      truncated: [],
    }
  }
}

function recipientCountOf(chance: number): number {
  // Mean 2.31: most have one, a few have many.
  if (chance < 0.6) return 1
  if (chance < 0.78) return 2
  if (chance < 0.92) return 4
  return chance < 0.975 ? 8 : 14
}

function recipientOf(address: string, isRefused: boolean): LoggedRecipient {
  return isRefused
    ? { address, normalized: address, direction: 'inbound', outcome: 'refused', reason: 'unknown-recipient', reply: { code: 550, enhanced: '5.1.1', text: 'User unknown' }, clientId: null }
    : { address: address.replace(/^./, (letter) => letter.toUpperCase()), normalized: address, direction: 'inbound', outcome: 'accepted', reason: null, reply: { code: 250, enhanced: '2.1.5', text: 'Recipient ok' }, clientId: 'sales' }
}

function ruleHitOf(ruleId: string, random: () => number): RuleHit {
  const isElse = random() < 0.2
  return { ruleId, revision: 1 + Math.floor(random() * 4), branch: isElse ? 'else' : 'then', attribute: 'subject', matchedText: isElse ? null : 'you have won', weight: Math.round((random() * 6 - 2) * 1000) / 1000, marks: [], action: 'none', shadow: random() < 0.2 }
}

function deliveryOf(body: EventBody<TransactionEnded>, nowMs: number): EventBody<DeliveryAttempted> {
  return {
    kind: 'delivery.attempted',
    transactionId: body.transactionId,
    queueId: body.transactionId,
    attempt: 1,
    startedAt: body.endedAt,
    endedAt: new Date(nowMs + 30).toISOString(),
    nextHop: { route: '*', host: 'inner.example.org', port: 25 },
    tls: null,
    recipients: body.recipients.map((recipient) => ({ address: recipient.address, outcome: 'delivered' as const, reply: { code: 250, enhanced: '2.0.0', text: 'Ok' }, error: null })),
    sentBytes: (body.messageBytes ?? 0) + 240,
    durationUs: 18_000,
  }
}

function finishedOf(body: EventBody<TransactionEnded>): EventBody {
  return { kind: 'message.finished', transactionId: body.transactionId, queueId: body.transactionId, deliveredCount: body.recipients.length, failedCount: 0, expiredCount: 0, ageMs: 60 }
}

function sessionOf(body: EventBody<TransactionEnded>, nowMs: number): EventBody {
  return {
    kind: 'session.closed',
    sessionId: body.sessionId,
    listener: body.listener,
    remote: body.remote,
    helo: body.helo,
    tls: body.tls,
    openedAt: body.startedAt,
    closedAt: new Date(nowMs + 5).toISOString(),
    verbs: [{ verb: 'EHLO', acceptedCount: 1, refusedCount: 0 }, { verb: 'MAIL', acceptedCount: 1, refusedCount: 0 }, { verb: 'RCPT', acceptedCount: body.outcome === 'refused' ? 0 : body.recipients.length, refusedCount: body.outcome === 'refused' ? body.recipients.length : 0 }],
    receivedBytes: body.dataBytes + body.commandBytes,
    sentBytes: 420,
    violations: [],
    closedBy: 'remote',
    transactionCount: 1,
    unflushedTransactionIds: [],
  }
}
