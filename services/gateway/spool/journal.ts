/**
 * The append-only spool segments: one write and one fsync for everything that waits (group commit).
 *
 * Owns    order of records, rotation, and what is on the medium when a promise resolves.
 * Leaves  what records mean to message-store.ts; which segments may go to its caller.
 * Limits  `segmentBytes` per segment (a batch may pass it), `batchBytes` per write.
 * Fails   a failed write or fsync rejects the messages of that batch, cuts the segment back to its last durable
 *         record and continues in a new one: after a failed fsync the kernel may have dropped pages silently, so
 *         the same file is never trusted again. Records about older messages are kept and written again.
 */
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Disk, OpenFile } from './disk.ts'
import { encodedRecord, segmentHeader, segmentHeaderBytes, type SpoolRecord } from './record.ts'

export type RecordLocation = { segment: number; offset: number; byteLength: number }

export const journalLimits = { segmentBytes: 64 * 1024 * 1024, batchBytes: 16 * 1024 * 1024, lazyMs: 200, retryMs: 1_000 }

type Entry = {
  buffers: Buffer[]
  byteLength: number
  /** Tells of an older message: must not be lost when the disk fails for a while. */
  isLasting: boolean
  /** Called in the turn in which the record became durable, before its segment can be sealed. */
  onDurable: ((location: RecordLocation) => void) | null
  resolve(): void
  reject(error: Error): void
}

type OpenSegment = { number: number; file: OpenFile; durableBytes: number }

export type JournalOptions = {
  folder: string
  disk: Disk
  log: Logger
  firstSegment: number
  limits?: Partial<typeof journalLimits>
  /** A segment takes no more records; with its size. */
  onSealed(segment: number, byteLength: number): void
}

export class Journal {
  readonly #options: JournalOptions
  readonly #limits: typeof journalLimits
  #nextSegment: number
  #segment: OpenSegment | null = null
  #pending: Entry[] = []
  #isFlushing = false
  #isClosed = false
  #isFailing = false
  #timer: NodeJS.Timeout | null = null

  constructor(options: JournalOptions) {
    this.#options = options
    this.#limits = { ...journalLimits, ...options.limits }
    this.#nextSegment = options.firstSegment
  }

  /** A message: rejects when the disk fails. */
  appendMessage(record: SpoolRecord, onDurable: (location: RecordLocation) => void): Promise<void> {
    return this.#append(record, { isLasting: false, isUrgent: true, onDurable })
  }

  /**
   * A record about an older message; resolves when durable, however long the disk fails before. A lazy one waits
   * for the next batch, a moment at most, so that it costs no fsync of its own.
   */
  appendLasting(
    record: SpoolRecord,
    urgency: 'now' | 'lazy',
    onDurable: ((location: RecordLocation) => void) | null = null,
  ): Promise<void> {
    return this.#append(record, { isLasting: true, isUrgent: urgency === 'now', onDurable })
  }

  /** No more records into the present segment, so that it can go once its messages are finished. */
  async seal(): Promise<void> {
    if (this.#isFlushing || this.#segment === null) return
    this.#isFlushing = true
    try {
      await this.#sealSegment()
    } finally {
      this.#isFlushing = false
      if (this.#pending.length > 0) void this.#flush()
    }
  }

  get durableBytes(): number {
    return this.#segment?.durableBytes ?? 0
  }

  get currentSegment(): number | null {
    return this.#segment?.number ?? null
  }

  /** Writes what waits, then closes. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    while (this.#isFlushing) await new Promise((resolve) => setTimeout(resolve, 1))
    await this.#flush()
    for (const entry of this.#pending.splice(0)) entry.reject(new Error('the spool is closed'))
    await this.seal()
  }

  #append(record: SpoolRecord, options: Pick<Entry, 'isLasting' | 'onDurable'> & { isUrgent: boolean }): Promise<void> {
    const { isUrgent, ...entry } = options
    const buffers = encodedRecord(record)
    let byteLength = 0
    for (const buffer of buffers) byteLength += buffer.length
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(new Error('the spool is closed'))
      this.#pending.push({ buffers, byteLength, ...entry, resolve, reject })
      if (isUrgent) {
        if (!this.#isFlushing) void this.#flush()
      } else this.#flushWithin(this.#limits.lazyMs)
    })
  }

  #flushWithin(delayMs: number): void {
    if (this.#timer !== null || this.#isFlushing) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      if (!this.#isFlushing) void this.#flush()
    }, delayMs)
  }

  async #flush(): Promise<void> {
    this.#isFlushing = true
    // Whoever appends in this turn of the event loop shares the batch.
    await null
    while (this.#pending.length > 0) {
      const batch = this.#takeBatch()
      try {
        const locations = await this.#write(batch)
        this.#isFailing = false
        batch.forEach((entry, index) => entry.onDurable?.(locations[index]!))
        for (const entry of batch) entry.resolve()
      } catch (error) {
        await this.#abandonSegment(error as Error)
        const lasting = batch.filter((entry) => entry.isLasting)
        for (const entry of batch) if (!entry.isLasting) entry.reject(error as Error)
        this.#pending.unshift(...lasting)
        if (this.#pending.every((entry) => entry.isLasting)) break
      }
    }
    this.#isFlushing = false
    if (this.#pending.length > 0 && !this.#isClosed) this.#flushWithin(this.#limits.retryMs)
  }

  #takeBatch(): Entry[] {
    let byteLength = 0
    let count = 0
    while (count < this.#pending.length && byteLength < this.#limits.batchBytes) {
      byteLength += this.#pending[count]!.byteLength
      count += 1
    }
    return this.#pending.splice(0, count)
  }

  async #write(batch: readonly Entry[]): Promise<RecordLocation[]> {
    const { disk } = this.#options
    if (this.#segment !== null && this.#segment.durableBytes >= this.#limits.segmentBytes) await this.#sealSegment()
    this.#segment ??= await this.#openSegment()
    const segment = this.#segment
    const buffers: Buffer[] = []
    const locations: RecordLocation[] = []
    let offset = segment.durableBytes
    for (const entry of batch) {
      locations.push({ segment: segment.number, offset, byteLength: entry.byteLength })
      for (const buffer of entry.buffers) buffers.push(buffer)
      offset += entry.byteLength
    }
    await disk.writeAt(segment.file, buffers, segment.durableBytes)
    await disk.sync(segment.file)
    segment.durableBytes = offset
    return locations
  }

  async #openSegment(): Promise<OpenSegment> {
    const { disk, folder } = this.#options
    const number = this.#nextSegment
    const path = segmentPath(folder, number)
    const file = await disk.create(path)
    // The number is used up even if what follows fails: the file may exist.
    this.#nextSegment += 1
    try {
      await disk.writeAt(file, [segmentHeader(number)], 0)
      await disk.syncFolder(folder)
    } catch (error) {
      await disk.close(file)
      await disk.remove(path).catch(() => {})
      throw error
    }
    return { number, file, durableBytes: segmentHeaderBytes }
  }

  async #sealSegment(): Promise<void> {
    const segment = this.#segment
    if (segment === null) return
    this.#segment = null
    await this.#options.disk.close(segment.file)
    this.#options.onSealed(segment.number, segment.durableBytes)
  }

  /** Half a batch may stand behind the last durable record: cut it off, so that no reader ever meets it. */
  async #abandonSegment(error: Error): Promise<void> {
    const { disk, log } = this.#options
    const segment = this.#segment
    if (!this.#isFailing) {
      log.error({ err: error, segment: segment?.number }, 'The spool cannot be written: messages are answered 452')
    }
    this.#isFailing = true
    if (segment === null) return
    try {
      await disk.truncate(segment.file, segment.durableBytes)
    } catch (truncateError) {
      log.warn({ err: truncateError, segment: segment.number }, 'The torn end of a spool segment stays')
    }
    await this.#sealSegment()
  }
}

export function segmentPath(folder: string, number: number): string {
  return join(folder, `segment-${String(number).padStart(10, '0')}.spool`)
}

export function segmentNumberOf(name: string): number | null {
  const match = /^segment-(\d{10})\.spool$/.exec(name)
  return match === null ? null : Number(match[1])
}
