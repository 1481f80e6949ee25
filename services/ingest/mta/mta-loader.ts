/**
 * Lines of another MTA's log on their way into the database.
 *
 * Owns    what a run counts, and when what it found is stored. Between two files, or two looks at a file that is
 *         followed, unfinished threads and the position are stored together with the rows; what a process that was
 *         ended had not stored is read again, and known events are left out.
 * Limits  `eventsPerBatch` events are in memory, and the threads that are not finished.
 */
import { hash } from 'node:crypto'
import { createLineDecoder, isRejected, type DecodedLine, type LineDecoder, type RejectedLine } from '../decode-line.ts'
import { maxLineBytes, type TollgateEvent } from '../../contracts/event.ts'
import { erasedAddresses, textWithoutErased, type ErasedAddresses } from '../erased-addresses.ts'
import { createPartitions, type Partitions } from '../partitions.ts'
import { createRecipientIds } from '../recipient-id.ts'
import { ensureTenant } from '../../database/ensure-tenant.ts'
import type { Database } from '../../database/open-database.ts'
import type { Line } from '../line-splitter.ts'
import { adapterOf } from './adapter-of.ts'
import { Assembler, type AssemblerOptions } from './assembler.ts'
import { createLogClock, type LogClock, type LogClockOptions } from './log-clock.ts'
import type { MtaSettings } from './mta-event.ts'
import { createMtaEvents } from './mta-event.ts'
import { maxMtaLineBytes, type UnknownReason } from './mta-line.ts'
import { mostKeptLines, readThreads, storeMtaBatch, type FilePosition, type MtaCounts, type MtaStore } from './store-mta.ts'

export type MtaSummary = MtaCounts & {
  lineCount: number
  noiseCount: number
  /** Lines that were not understood, with the first of each reason. */
  unknown: Map<UnknownReason, { count: number; example: string }>
  unfinished: { threadCount: number; lineCount: number }
}

export type MtaLoaderOptions = {
  database: Database
  settings: MtaSettings
  clock: LogClockOptions
  /** Name of the host in logs that do not tell it. */
  host: string
  onStep?: MtaStore['onStep']
  /** Another process is at the same source's logs; this one waits for it. */
  onWait?: () => void
}

const eventsPerBatch = 5_000

export class MtaLoader {
  readonly summary: MtaSummary = {
    lineCount: 0, noiseCount: 0, unknown: new Map(), unfinished: { threadCount: 0, lineCount: 0 },
    newEventCount: 0, newTransactionCount: 0, knownEventCount: 0, rejectedLineCount: 0,
  }
  readonly store: MtaStore
  readonly clock: LogClock
  #partitions: Partitions
  #decode: LineDecoder
  #assembler: Assembler
  #erased: ErasedAddresses
  #lines: DecodedLine[] = []
  #rejected: RejectedLine[] = []

  private constructor(
    store: MtaStore,
    clock: LogClock,
    partitions: Partitions,
    erased: ErasedAddresses,
    openAssembler: (emit: (event: TollgateEvent) => void, options: AssemblerOptions) => Assembler,
  ) {
    this.store = store
    this.clock = clock
    this.#partitions = partitions
    this.#decode = createLineDecoder({ tenantId: store.tenantId, nowMs: Date.now })
    this.#erased = erased
    this.#assembler = openAssembler((event) => this.#addEvent(event), {
      clean: (raw, timeMs) => (this.#erased === null ? raw : textWithoutErased(raw, timeMs, this.#erased, store.recipientIds)),
      onForsaken: (lines) => {
        for (const [, raw] of lines) {
          const octets = Buffer.from(raw)
          this.#addUnknown('no-beginning', { octets, lengthBytes: octets.length }, raw)
        }
      },
    })
  }

  /** Does `work` with a loader that has the source to itself. */
  static async with<Result>(options: MtaLoaderOptions, work: (loader: MtaLoader) => Promise<Result>): Promise<Result> {
    const { database, settings } = options
    const tenant = await ensureTenant(database, settings.tenantId)
    const client = await database.pool.connect()
    // Lost connections are met by the next query; without a listener they would end the process.
    const onError = (): void => {}
    client.on('error', onError)
    let failure: Error | undefined
    try {
      const lock = `tollgate log of ${settings.source} for ${settings.tenantId}`
      const { rows } = await client.query<{ locked: boolean }>('select pg_try_advisory_lock(hashtextextended($1, 0)) as locked', [lock])
      if (!rows[0]!.locked) {
        options.onWait?.()
        await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [lock])
      }
      const store: MtaStore = {
        client, tenantId: settings.tenantId, source: settings.source, recipientIds: createRecipientIds(tenant.recipientKey),
        ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
      }
      const carried = await readThreads(store)
      const erased = await erasedAddresses(client, store.tenantId)
      const clock = createLogClock(options.clock)
      const adapter = adapterOf(settings.source, createMtaEvents(settings), options.host)
      return await work(new MtaLoader(store, clock, createPartitions(database), erased, (emit, rest) => new Assembler(adapter, clock, emit, carried, rest)))
    } catch (error) {
      failure = error as Error
      throw error
    } finally {
      client.off('error', onError)
      // The lock goes with the connection, which is not used again.
      client.release(failure ?? true)
    }
  }

  get isFull(): boolean {
    return this.#lines.length >= eventsPerBatch
  }

  add(line: Line): void {
    if (line.lengthBytes === 0) return
    this.summary.lineCount += 1
    const raw = line.octets.toString('utf8').replaceAll('\0', '\ufffd').replace(/\r$/, '')
    const read = line.lengthBytes > maxMtaLineBytes ? ({ is: 'unknown', reason: 'too-long' } as const) : this.#assembler.push(raw)
    if (read.is === 'noise') this.summary.noiseCount += 1
    if (read.is === 'unknown') this.#addUnknown(read.reason, line, raw)
  }

  /** A file ends. `isFinal`: what is unfinished is told as far as it is known. */
  endFile(isFinal: boolean): void {
    this.#assembler.endFile(isFinal)
  }

  /** Stores the events so far; with `unfinished`, all that is known up to here, and the position. */
  async flush(fileName: string, options: { unfinished: boolean; position?: FilePosition }): Promise<void> {
    const lines = this.#lines
    const rejected = this.#rejected
    this.#lines = []
    this.#rejected = []
    await this.#partitions.ensure(lines)
    const counts = await storeMtaBatch(this.store, {
      lines, rejected, fileName,
      changes: options.unfinished ? this.#assembler.takeChanges() : null,
      newestMs: this.#assembler.newestMs,
      position: options.position ?? null,
    })
    this.summary.unfinished = this.#assembler.unfinished
    this.#erased = counts.erased
    for (const [name, count] of Object.entries(counts.counts) as [keyof MtaCounts, number][]) this.summary[name] += count
  }

  #addEvent(event: TollgateEvent): void {
    const octets = Buffer.from(JSON.stringify(event))
    // The limit is one of lines in our log: a message with more recipients than such a line holds is billed all the same.
    const decoded = this.#decode({ octets, positionBytes: 0, lengthBytes: Math.min(octets.length, maxLineBytes) }, { hasHeader: true })
    if (isRejected(decoded)) this.#rejected.push({ ...decoded, place: null })
    else this.#lines.push(decoded)
  }

  #addUnknown(reason: UnknownReason, line: Pick<Line, 'octets' | 'lengthBytes'>, raw: string): void {
    const found = this.summary.unknown.get(reason)
    if (found === undefined) this.summary.unknown.set(reason, { count: 1, example: raw })
    else found.count += 1
    if (this.#rejected.length >= mostKeptLines) return
    const octets = line.octets.subarray(0, maxMtaLineBytes)
    this.#rejected.push({
      reason: 'not-understood', detail: `${this.store.source}: ${unknownWords[reason]}`, line: octets, digest: hash('sha256', octets, 'buffer'), positionBytes: 0, place: null,
    })
  }
}

const unknownWords: Record<UnknownReason, string> = {
  'no-time': 'has no time stamp of a form that is known',
  'no-format': 'is no line of such a log',
  malformed: 'begins like a line about mail and goes on otherwise',
  ambiguous: 'can be read in two ways',
  'no-beginning': 'tells of a message whose beginning never came',
  'too-long': `is longer than ${maxMtaLineBytes} octets`,
}
