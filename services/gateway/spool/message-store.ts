/**
 * The spooled messages: what waits, where its octets lie, and what of it is durable.
 *
 * Owns    small messages in the shared segments, large ones in files, their state, and the removal of both.
 * Leaves  order and fsync to journal.ts; who delivers, and when, to the relay.
 * Limits  `smallMessageBytes` for the shared segment; `uncommittedBytes` and `octetsInMemoryBytes` in all.
 * Why     segments go in their order only, because later ones hold what became of the messages of earlier ones. So
 *         that one old message does not pin everything after it, the oldest segment is rewritten to the end once
 *         more is dead than alive: each octet is copied at most once per octet that this frees.
 */
import type { Logger } from 'pino'
import { nodeDisk, type Disk } from './disk.ts'
import { Journal, segmentPath, type journalLimits, type RecordLocation } from './journal.ts'
import { LargeMessageFile, largeMessagePath } from './large-message-file.ts'
import { MessageWriter } from './message-writer.ts'
import {
  applyAttempt,
  applyFreed,
  applyLogged,
  newDeliveryState,
  readRecord,
  type DeliveryState,
  type RecordedAttempt,
  type RecordedFreeing,
} from './record.ts'
import type { RecoveredSpool } from './recover-spool.ts'
import type { Envelope, Spool, SpooledMessage } from './spool-contract.ts'

export const storeLimits = {
  smallMessageBytes: 1024 * 1024,
  /** Octets of messages still being received; beyond it they go to files from `spillBytes` on. */
  uncommittedBytes: 64 * 1024 * 1024,
  spillBytes: 64 * 1024,
  /** Octets of committed messages kept for their first delivery; beyond it they are read back from the disk. */
  octetsInMemoryBytes: 64 * 1024 * 1024,
  /** Dead octets in segments before the oldest is rewritten. */
  deadBytes: 256 * 1024 * 1024,
  /** An idle spool seals a segment of this size, so that delivered mail does not linger. */
  idleSegmentBytes: 1024 * 1024,
}
export type StoreLimits = typeof storeLimits

export type StoredMessage = {
  readonly queueId: string
  readonly envelope: Envelope
  readonly sizeBytes: number
  readonly isLarge: boolean
  readonly state: DeliveryState
  /** Small messages only, and only while the budget allows. */
  octets: Buffer | null
  location: RecordLocation
  isDone: boolean
}

export type MessageOctets = { octets: Buffer } | { path: string; sizeBytes: number }

type Segment = { live: Set<StoredMessage>; byteLength: number; isSealed: boolean; isDamaged: boolean }

export type StoreOptions = {
  folder: string
  log: Logger
  firstSegment: number
  disk?: Disk
  limits?: Partial<StoreLimits>
  journalLimits?: Partial<typeof journalLimits>
}

export class MessageStore implements Spool {
  readonly #folder: string
  readonly #log: Logger
  readonly #disk: Disk
  readonly #journal: Journal
  readonly limits: StoreLimits
  readonly #messages = new Map<string, StoredMessage>()
  readonly #segments = new Map<number, Segment>()
  #octetsInMemoryBytes = 0
  #sweeping: Promise<void> | null = null
  #mustSweep = false
  uncommittedBytes = 0
  /** Whoever delivers; set once before the first message. */
  onReleased: (message: StoredMessage) => void = () => {}

  constructor(options: StoreOptions) {
    this.#folder = options.folder
    this.#log = options.log
    this.#disk = options.disk ?? nodeDisk
    this.limits = { ...storeLimits, ...options.limits }
    this.#journal = new Journal({
      folder: options.folder,
      disk: this.#disk,
      log: options.log,
      firstSegment: options.firstSegment,
      limits: options.journalLimits ?? {},
      onSealed: (number, byteLength) => {
        const segment = this.#segmentOf(number)
        segment.isSealed = true
        segment.byteLength = byteLength
        void this.sweep()
      },
    })
  }

  get messageCount(): number {
    return this.#messages.size
  }

  begin(queueId: string): SpooledMessage {
    return new MessageWriter(queueId, this)
  }

  largeFile(queueId: string): LargeMessageFile {
    return new LargeMessageFile(largeMessagePath(this.#folder, queueId), this.#disk)
  }

  /** A message whose octets are `octets`, or already in a finished large file. Durable when it resolves. */
  async add(envelope: Envelope, content: Buffer | LargeMessageFile, isReleased: boolean): Promise<StoredMessage> {
    const state = newDeliveryState(envelope)
    state.isReleased = isReleased
    const isSmall = Buffer.isBuffer(content)
    const message: StoredMessage = {
      queueId: envelope.queueId,
      envelope,
      sizeBytes: isSmall ? content.length : content.byteLength,
      isLarge: !isSmall,
      state,
      octets: isSmall && this.#octetsInMemoryBytes + content.length <= this.limits.octetsInMemoryBytes ? content : null,
      location: { segment: 0, offset: 0, byteLength: 0 },
      isDone: false,
    }
    const { queueId, sizeBytes } = message
    this.#octetsInMemoryBytes += message.octets?.length ?? 0
    try {
      await this.#journal.appendMessage(
        isSmall
          ? { kind: 'message', queueId, envelope, state, octets: content }
          : { kind: 'large', queueId, envelope, state, sizeBytes },
        (location) => this.#place(message, location),
      )
    } catch (error) {
      this.forgetOctets(message)
      throw error
    }
    return message
  }

  /** The event of the message is durable: it may be delivered, also after a crash. */
  release(message: StoredMessage): void {
    message.state.isReleased = true
    void this.#journal.appendLasting({ kind: 'released', queueId: message.queueId }, 'lazy').catch(ignoreClosed)
    this.onReleased(message)
  }

  /** Whatever a reader needs to send the message; throws when the spool cannot be read. */
  async octetsOf(message: StoredMessage): Promise<MessageOctets> {
    if (message.octets !== null) return { octets: message.octets }
    if (message.isLarge) return { path: largeMessagePath(this.#folder, message.queueId), sizeBytes: message.sizeBytes }
    const { segment, offset, byteLength } = message.location
    const path = segmentPath(this.#folder, segment)
    const file = await this.#disk.openForReading(path)
    try {
      const found = readRecord(await this.#disk.readAt(file, byteLength, offset), 0)
      if (found?.record.kind !== 'message' || found.record.queueId !== message.queueId) {
        throw new Error(`${path} is damaged at octet ${offset}: message ${message.queueId} cannot be read`)
      }
      return { octets: found.record.octets }
    } finally {
      await this.#disk.close(file)
    }
  }

  /** Waiting messages keep envelope and location only. */
  forgetOctets(message: StoredMessage): void {
    if (message.octets === null) return
    this.#octetsInMemoryBytes -= message.octets.length
    message.octets = null
  }

  /** Written at once: until it is durable, a crash repeats the delivery. */
  recordAttempt(message: StoredMessage, attempt: RecordedAttempt): Promise<void> {
    applyAttempt(message.state, attempt)
    return this.#journal.appendLasting({ kind: 'attempt', queueId: message.queueId, attempt }, 'now')
  }

  /** The event of this attempt is in the event log: recovery need not write it again. */
  recordLogged(message: StoredMessage, serial: number): void {
    applyLogged(message.state, serial)
    void this.#journal.appendLasting({ kind: 'logged', queueId: message.queueId, serial }, 'lazy').catch(ignoreClosed)
  }

  /** Kept for an operator; durable when it resolves. */
  hold(message: StoredMessage, atMs: number): Promise<void> {
    message.state.isHeld = true
    message.state.heldAtMs = atMs
    this.forgetOctets(message)
    return this.#journal.appendLasting({ kind: 'held', queueId: message.queueId, atMs }, 'now')
  }

  /** An operator lets recipients go; durable when it resolves, and from then on sure to be delivered. */
  recordFreed(message: StoredMessage, freeing: RecordedFreeing): Promise<void> {
    applyFreed(message.state, freeing)
    return this.#journal.appendLasting({ kind: 'freed', queueId: message.queueId, freeing }, 'now')
  }

  /** Nothing is left to do and the event that says so is durable. */
  finish(message: StoredMessage): void {
    void this.#journal.appendLasting({ kind: 'finished', queueId: message.queueId }, 'lazy').catch(ignoreClosed)
    this.#forget(message)
  }

  /** As if it had never been committed. */
  abandon(message: StoredMessage): void {
    void this.#journal.appendLasting({ kind: 'aborted', queueId: message.queueId }, 'now').catch(ignoreClosed)
    this.#forget(message)
  }

  /** Takes over what recovery found; what the event log knows better is noted here too. */
  adopt(recovered: RecoveredSpool): void {
    for (const { number, ...segment } of recovered.segments) {
      this.#segments.set(number, { live: new Set(), isSealed: true, ...segment })
    }
    const note = (kind: 'released' | 'finished' | 'aborted', queueId: string) =>
      void this.#journal.appendLasting({ kind, queueId }, 'lazy').catch(ignoreClosed)
    for (const queueId of recovered.finished) note('finished', queueId)
    for (const queueId of recovered.dropped) note('aborted', queueId)
    for (const message of recovered.messages) {
      this.#place(message, message.location)
      if (!message.state.isReleased) note('released', message.queueId)
      message.state.isReleased = true
    }
    void this.sweep()
  }

  async close(): Promise<void> {
    await this.#journal.close()
    await this.sweep()
  }

  /** Removes segments whose messages are all finished, and rewrites the oldest when it pins too much. */
  sweep(): Promise<void> {
    this.#mustSweep = true
    this.#sweeping ??= this.#sweepSegments()
      .catch((error: unknown) => this.#log.error({ err: error }, 'Old spool segments cannot be removed'))
      .finally(() => (this.#sweeping = null))
    return this.#sweeping
  }

  async #sweepSegments(): Promise<void> {
    while (this.#mustSweep) {
      const [number, segment] = this.#segments.entries().next().value ?? [0, null]
      if (segment !== null && segment.live.size > 0 && this.#isMostlyDead()) await this.#rewrite(segment)
      if (segment === null || !segment.isSealed || segment.live.size > 0) {
        this.#mustSweep = false
        return
      }
      const path = segmentPath(this.#folder, number)
      // Damage is evidence, and may hide mail that was acknowledged: a person decides.
      if (segment.isDamaged) await this.#disk.rename(path, `${path}.damaged`)
      else await this.#disk.remove(path)
      await this.#disk.syncFolder(this.#folder)
      this.#segments.delete(number)
    }
  }

  #isMostlyDead(): boolean {
    let liveBytes = 0
    let sealedBytes = 0
    for (const segment of this.#segments.values()) {
      if (!segment.isSealed) continue
      sealedBytes += segment.byteLength
      for (const message of segment.live) liveBytes += message.location.byteLength
    }
    return sealedBytes - liveBytes > Math.max(this.limits.deadBytes, liveBytes)
  }

  async #rewrite(segment: Segment): Promise<void> {
    for (const message of [...segment.live]) {
      const content = await this.octetsOf(message)
      if (message.isDone) continue
      const { queueId, envelope, state, sizeBytes } = message
      await this.#journal.appendLasting(
        'octets' in content
          ? { kind: 'message', queueId, envelope, state, octets: content.octets }
          : { kind: 'large', queueId, envelope, state, sizeBytes },
        'lazy',
        (location) => {
          segment.live.delete(message)
          if (!message.isDone) this.#place(message, location)
        },
      )
    }
  }

  #place(message: StoredMessage, location: RecordLocation): void {
    message.location = location
    this.#messages.set(message.queueId, message)
    this.#segmentOf(location.segment).live.add(message)
  }

  #forget(message: StoredMessage): void {
    message.isDone = true
    this.forgetOctets(message)
    this.#messages.delete(message.queueId)
    const segment = this.#segments.get(message.location.segment)
    segment?.live.delete(message)
    if (message.isLarge) {
      // The event is durable, so a crash before the spool's own record is told by it; see recover-spool.ts.
      void this.#disk.remove(largeMessagePath(this.#folder, message.queueId)).catch((error: unknown) => {
        this.#log.warn({ err: error, queueId: message.queueId }, 'The file of a finished message cannot be removed')
      })
    }
    if (segment?.live.size !== 0) return
    if (segment.isSealed) void this.sweep()
    else if (this.#messages.size === 0 && this.#journal.durableBytes >= this.limits.idleSegmentBytes) {
      void this.#journal.seal()
    }
  }

  #segmentOf(number: number): Segment {
    let segment = this.#segments.get(number)
    if (segment === undefined) {
      segment = { live: new Set(), byteLength: 0, isSealed: false, isDamaged: false }
      this.#segments.set(number, segment)
    }
    return segment
  }
}

/** A record that came too late for a closed spool: recovery asks the event log instead. */
function ignoreClosed(): void {}
