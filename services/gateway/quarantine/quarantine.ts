/**
 * The quarantine: what rules hold and what cannot be delivered, for an operator to see, let go or delete.
 *
 * Owns    which of it is shown, and its end after `quarantine.keepDays`.
 * Leaves  states and their order on the disk to relay and spool; what a message looks like to message-preview.ts.
 * Why     a released message goes out as it was received, with the lines put before it once and no tag in its
 *         subject: a person looked at it.
 */
import type { Logger } from 'pino'
import type { HeldMessage, HeldMessageView, QuarantineList, QuarantineQuery } from '../../contracts/control.ts'
import { maxListedRecipients } from '../../contracts/control.ts'
import type { Clock } from '../../kit/clock.ts'
import { visibleText } from '../../kit/visible-text.ts'
import type { DeliveryRelay } from '../relay/relay.ts'
import { systemTimers, type Timers } from '../relay/timers.ts'
import type { MessageOctets, MessageStore, StoredMessage } from '../spool/message-store.ts'
import { heldAtMs, heldRecipients, type HeldPosition } from './held-recipients.ts'
import { previewOf, titleOf } from './message-preview.ts'
import { newestPage } from './newest-page.ts'

export type QuarantineOptions = {
  relay: DeliveryRelay
  store: MessageStore
  clock: Clock
  log: Logger
  /** 0: nothing expires. */
  keepDays: number
  timers?: Timers
}

export type ReleaseOutcome =
  | { outcome: 'released'; recipients: string[] }
  | { outcome: 'not-found' }
  | { outcome: 'not-held'; addresses: string[] }

const dayMs = 86_400_000
const sweepMs = 60_000
/** Of one sweep: each costs an event. */
const expiriesPerSweep = 500

export class Quarantine {
  readonly #options: QuarantineOptions
  #alarm: { cancel(): void } | null = null
  #isStopping = false

  constructor(options: QuarantineOptions) {
    this.#options = options
    if (options.keepDays > 0) this.#watchExpiry()
  }

  /** Subjects are read from the spool for the messages of the page alone. */
  async list(query: QuarantineQuery): Promise<QuarantineList> {
    const { relay } = this.#options
    const isWanted = wantedBy(query)
    const { items, nextCursor } = newestPage(relay.heldMessages(), ({ queueId }) => queueId, {
      limit: query.limit ?? 50,
      cursor: query.cursor,
      isWanted: (message) => isWanted(message),
    })
    const messages: HeldMessage[] = []
    for (const message of items) {
      const held = heldRecipients(message)
      messages.push({ ...(await this.#summary(message, held)), recipients: held.slice(0, maxListedRecipients).map(shownRecipient) })
    }
    return { messages, nextCursor, heldCount: relay.counts().heldCount }
  }

  async view(queueId: string): Promise<HeldMessageView | null> {
    const message = this.#options.relay.heldMessage(queueId)
    if (message === undefined) return null
    const held = heldRecipients(message)
    const preview = await previewOf(await this.#options.store.octetsOf(message))
    return { ...(await this.#summary(message, held)), recipients: held.map(shownRecipient), ...preview }
  }

  /** The octets as received. */
  async raw(queueId: string): Promise<MessageOctets | null> {
    const message = this.#options.relay.heldMessage(queueId)
    return message === undefined ? null : await this.#options.store.octetsOf(message)
  }

  /** To `addresses`, or to everybody from whom it is held. Durable when it resolves. */
  async release(queueId: string, addresses: readonly string[] | null, by: string): Promise<ReleaseOutcome> {
    const message = this.#options.relay.heldMessage(queueId)
    if (message === undefined || this.#isStopping) return { outcome: 'not-found' }
    const held = heldRecipients(message)
    const byAddress = new Map(held.map((one) => [one.address.toLowerCase(), one]))
    const strangers = (addresses ?? []).filter((address) => !byAddress.has(address.toLowerCase()))
    if (strangers.length > 0) return { outcome: 'not-held', addresses: strangers }
    const asked = new Set(addresses?.map((address) => address.toLowerCase()))
    const chosen = addresses === null ? held : held.filter((one) => asked.has(one.address.toLowerCase()))
    await this.#options.relay.freeHeld(message, chosen.map(({ position }) => position), by)
    return { outcome: 'released', recipients: chosen.map(({ address }) => address) }
  }

  /** `delivering`: its other recipients are not done, and one end must not hide another. */
  async delete(queueId: string, by: string): Promise<'deleted' | 'not-found' | 'delivering'> {
    const message = this.#options.relay.heldMessage(queueId)
    if (message === undefined || this.#isStopping) return 'not-found'
    if (!message.state.isHeld) return 'delivering'
    await this.#options.relay.deleteHeld(message, by)
    return 'deleted'
  }

  /** What is under way may be cut off anywhere: recovery goes on from what is durable. */
  stop(): void {
    this.#isStopping = true
    this.#alarm?.cancel()
  }

  async #summary(message: StoredMessage, held: readonly HeldPosition[]): Promise<Omit<HeldMessage, 'recipients'>> {
    const { keepDays, store, log } = this.#options
    const sinceMs = heldAtMs(message)
    let title: { from: string | null; subject: string | null } = { from: null, subject: null }
    try {
      title = await titleOf(await store.octetsOf(message))
    } catch (error) {
      log.error({ err: error, queueId: message.queueId }, 'A held message cannot be read')
    }
    return {
      queueId: message.queueId,
      sender: visibleText(message.envelope.sender),
      ...title,
      sizeBytes: message.sizeBytes,
      acceptedAt: timeText(message.envelope.acceptedAtMs),
      heldAt: timeText(sinceMs),
      expiresAt: keepDays === 0 ? null : timeText(sinceMs + keepDays * dayMs),
      isDelivering: !message.state.isHeld,
      recipientCount: held.length,
    }
  }

  #watchExpiry(): void {
    this.#alarm = (this.#options.timers ?? systemTimers).after(sweepMs, () => {
      void this.#expire().finally(() => {
        if (!this.#isStopping) this.#watchExpiry()
      })
    })
  }

  async #expire(): Promise<void> {
    const { relay, clock, keepDays, log } = this.#options
    const dueMs = clock.nowMs() - keepDays * dayMs
    const due: string[] = []
    for (const message of relay.heldMessages()) {
      if (message.state.isHeld && heldAtMs(message) <= dueMs) due.push(message.queueId)
      if (due.length === expiriesPerSweep) break
    }
    for (const queueId of due) {
      // Whoever released it in the meantime was first.
      const message = relay.heldMessage(queueId)
      if (message === undefined || !message.state.isHeld || this.#isStopping) continue
      try {
        await relay.deleteHeld(message, 'expiry')
      } catch (error) {
        return log.error({ err: error, queueId }, 'A message stays in quarantine beyond its time: the event log cannot be written')
      }
    }
    if (due.length > 0) log.info({ count: due.length, keepDays }, 'Messages were deleted from quarantine, as their time was over')
  }
}

function wantedBy(query: QuarantineQuery): (message: StoredMessage) => boolean {
  const sender = query.sender?.toLowerCase()
  const recipient = query.recipient?.toLowerCase()
  const { rule, reason } = query
  const afterMs = query.after === undefined ? -Infinity : Date.parse(query.after)
  const beforeMs = query.before === undefined ? Infinity : Date.parse(query.before)
  const isAboutRecipients = recipient !== undefined || rule !== undefined || reason !== undefined
  return (message) => {
    const sinceMs = heldAtMs(message)
    if (sinceMs < afterMs || sinceMs >= beforeMs) return false
    if (sender !== undefined && !message.envelope.sender.toLowerCase().includes(sender)) return false
    if (!isAboutRecipients) return true
    return heldRecipients(message).some(
      (held) =>
        (recipient === undefined || held.address.toLowerCase().includes(recipient)) &&
        (rule === undefined || held.ruleId === rule) &&
        (reason === undefined || held.reason === reason),
    )
  }
}

function shownRecipient({ address, reason, ruleId }: HeldPosition): HeldMessage['recipients'][number] {
  return { address: visibleText(address), reason, ruleId }
}

function timeText(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
