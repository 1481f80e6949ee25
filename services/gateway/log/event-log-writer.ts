/**
 * The writer of the event log: segments of JSON Lines with gap-free numbers, fsynced in groups (DESIGN §3).
 *
 * Owns    seq and `at` of every line, segments and their rotation, what is durable when `append` resolves.
 * Leaves  what an event says to whoever appends it; reading the log back to recent-events.ts.
 * Limits  a segment is closed at `segmentBytes` or `segmentAgeMs`; a batch holds at most `batchBytes`.
 * Why     one write and one fdatasync for everything that arrived while the one before was under way.
 * Fails   a failed write or sync rejects the whole batch, cuts the segment back to its last durable line and goes
 *         on in a new one: after a failed fsync the same file is not trusted again, and no half line is followed by
 *         another. Until the cut itself succeeds every append is rejected.
 * Known weakness  a reader that is faster than the cut sees lines that are then taken back, their numbers reused.
 */
import { randomUUID } from 'node:crypto'
import path from 'node:path'
import type { EventBody, TransactionEnded } from '../../contracts/event.ts'
import { eventSchemaVersion } from '../../contracts/event.ts'
import type { Clock } from '../../kit/clock.ts'
import { nodeDisk, type Disk, type OpenFile } from '../spool/disk.ts'
import type { EventLog } from './event-log-contract.ts'
import { eventLine } from './event-line.ts'
import {
  findPreviousBoot,
  listSegments,
  segmentFileName,
  type PreviousBoot,
  type SegmentFile,
} from './segment-files.ts'

export type EventLogOptions = {
  folder: string
  tenantId: string
  node: string
  version: string
  /** Identity of this boot; default: a new one. Given by a history that must come out the same twice. */
  boot?: string
  clock: Clock
  /** `group`: every append is durable when it resolves. `at-close`: for a history that can be made again. */
  sync?: 'group' | 'at-close'
  segmentBytes?: number
  segmentAgeMs?: number
  batchBytes?: number
  disk?: Disk
  /** Told of every failed batch. */
  onFailure?: (error: Error) => void
}

type Entry = { body: EventBody; resolve: () => void; reject: (error: Error) => void }
type Segment = {
  number: number
  path: string
  file: OpenFile
  durableBytes: number
  openedAtMs: number
  isNamed: boolean
}

/** Opens the log of a new boot: its first segment and `gateway.started` are durable when this resolves. */
export async function openEventLog(options: EventLogOptions): Promise<EventLogWriter> {
  const disk = options.disk ?? nodeDisk
  await disk.createFolder(options.folder)
  const olderSegments = await listSegments(options.folder, options.node)
  const previous = await findPreviousBoot(olderSegments)
  const writer = new EventLogWriter(options, disk, previous, olderSegments)
  await writer.append({
    kind: 'gateway.started',
    version: options.version,
    bootNumber: writer.bootNumber,
    previousBoot: previous.boot,
    previousSeq: previous.lastSeq,
    previousEndedCleanly: previous.endedCleanly,
  })
  return writer
}

export class EventLogWriter implements EventLog {
  readonly boot: string
  readonly bootNumber: number
  readonly previous: PreviousBoot
  /** What boots before this one left, oldest first. */
  readonly olderSegments: readonly SegmentFile[]
  /** When the newest line was written, in milliseconds since the epoch. */
  lastLineAtMs = 0
  readonly #options: EventLogOptions
  readonly #disk: Disk
  readonly #sync: boolean
  #seq = 0
  #nextSegment = 1
  #segment: Segment | null = null
  /** A segment whose tail is still to be cut off. */
  #broken: Segment | null = null
  #queue: Entry[] = []
  #isFlushing = false
  #isClosed = false

  constructor(options: EventLogOptions, disk: Disk, previous: PreviousBoot, olderSegments: readonly SegmentFile[]) {
    this.#options = options
    this.boot = options.boot ?? randomUUID()
    this.#disk = disk
    this.#sync = options.sync !== 'at-close'
    this.bootNumber = previous.lastBootNumber + 1
    this.previous = previous
    this.olderSegments = olderSegments
  }

  /** Last durable number of this boot. */
  get lastSeq(): number {
    return this.#seq
  }

  append(body: EventBody): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('the event log is closed'))
    const written = new Promise<void>((resolve, reject) => this.#queue.push({ body, resolve, reject }))
    if (!this.#isFlushing) void this.#flush()
    return written
  }

  /** Writes what waits and `gateway.stopped`, then takes nothing more. */
  async close(reason: string): Promise<void> {
    if (this.#isClosed) return
    const stopped = this.append({ kind: 'gateway.stopped', reason })
    this.#isClosed = true
    try {
      await stopped
    } finally {
      const segment = this.#segment
      this.#segment = null
      if (segment !== null) await this.#seal(segment)
    }
  }

  async #flush(): Promise<void> {
    this.#isFlushing = true
    // Whoever appends in this turn of the event loop shares the batch.
    await null
    while (this.#queue.length > 0) {
      const durableSeq = this.#seq
      let batch: Entry[] = []
      try {
        await this.#cutBroken()
        if (this.#isSegmentFull()) await this.#rotate()
        this.#segment ??= await this.#createSegment()
        const lines = this.#takeBatch()
        batch = lines.batch
        await this.#write(this.#segment, lines.octets)
        for (const entry of batch) entry.resolve()
      } catch (error) {
        this.#seq = durableSeq
        await this.#abandonSegment()
        if (batch.length === 0) batch = this.#queue.splice(0)
        const failure = new Error('the event log could not be written', { cause: error })
        this.#options.onFailure?.(failure)
        for (const entry of batch) entry.reject(failure)
      }
    }
    this.#isFlushing = false
  }

  #takeBatch(): { batch: Entry[]; octets: Buffer } {
    const limit = this.#options.batchBytes ?? 8 * 1024 * 1024
    const batch: Entry[] = []
    let text = this.#segment!.durableBytes === 0 ? this.#line(this.#segmentHeader(this.#segment!)) : ''
    let taken = 0
    for (const entry of this.#queue) {
      if (text.length >= limit) break
      taken += 1
      try {
        text += this.#line(entry.body)
        batch.push(entry)
      } catch (error) {
        // An event that cannot be a line is our own mistake; the others must not suffer from it.
        this.#seq -= 1
        entry.reject(error as Error)
      }
    }
    this.#queue.splice(0, taken)
    return { batch, octets: Buffer.from(text) }
  }

  #line(body: EventBody): string {
    const nowMs = this.#options.clock.nowMs()
    const at = new Date(nowMs).toISOString()
    this.#seq += 1
    this.lastLineAtMs = nowMs
    const { tenantId, node } = this.#options
    // The time of a message is the time of its line: then no later line is older than one before it.
    const timed =
      body.kind === 'transaction.ended' ? ({ ...body, endedAt: at } satisfies EventBody<TransactionEnded>) : body
    return eventLine(timed, { tenantId, node, boot: this.boot, seq: this.#seq, at })
  }

  #segmentHeader(segment: Segment): EventBody {
    return {
      kind: 'segment.opened',
      schemaVersion: eventSchemaVersion,
      bootNumber: this.bootNumber,
      segment: segment.number,
      previousSeq: this.#seq,
    }
  }

  async #write(segment: Segment, octets: Buffer): Promise<void> {
    await this.#disk.writeAt(segment.file, [octets], segment.durableBytes)
    if (this.#sync) {
      await this.#disk.sync(segment.file)
      if (!segment.isNamed) await this.#disk.syncFolder(this.#options.folder)
    }
    segment.isNamed = true
    segment.durableBytes += octets.length
  }

  #isSegmentFull(): boolean {
    const segment = this.#segment
    if (segment === null || segment.durableBytes === 0) return false
    const ageMs = this.#options.clock.nowMs() - segment.openedAtMs
    return (
      segment.durableBytes >= (this.#options.segmentBytes ?? 64 * 1024 * 1024) ||
      ageMs >= (this.#options.segmentAgeMs ?? 24 * 3_600_000)
    )
  }

  async #createSegment(): Promise<Segment> {
    const number = this.#nextSegment
    const name = segmentFileName(this.#options.node, this.bootNumber, number)
    const segmentPath = path.join(this.#options.folder, name)
    const file = await this.#disk.create(segmentPath)
    this.#nextSegment += 1
    return {
      number,
      path: segmentPath,
      file,
      durableBytes: 0,
      openedAtMs: this.#options.clock.nowMs(),
      isNamed: false,
    }
  }

  async #rotate(): Promise<void> {
    const segment = this.#segment!
    this.#segment = null
    await this.#seal(segment)
  }

  async #seal(segment: Segment): Promise<void> {
    if (!this.#sync) {
      await this.#disk.sync(segment.file)
      await this.#disk.syncFolder(this.#options.folder)
    }
    await this.#disk.close(segment.file)
  }

  async #abandonSegment(): Promise<void> {
    if (this.#segment === null) return
    this.#broken = this.#segment
    this.#segment = null
    try {
      await this.#cutBroken()
    } catch {
      // Tried again before the next line: until then every append is rejected.
    }
  }

  async #cutBroken(): Promise<void> {
    const segment = this.#broken
    if (segment === null) return
    if (segment.durableBytes === 0) {
      await this.#disk.remove(segment.path)
      if (segment.number === this.#nextSegment - 1) this.#nextSegment = segment.number
    } else {
      await this.#disk.truncate(segment.file, segment.durableBytes)
      await this.#disk.sync(segment.file)
    }
    this.#broken = null
    await this.#disk.close(segment.file)
  }
}
