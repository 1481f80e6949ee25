/**
 * All live views of one process: who listens, where each stands, and what each is told.
 *
 * Owns    the loop that reads new batches once for everybody and asks once for each distinct query; limits; the end
 *         of a stream whose login has ended.
 * Leaves  HTTP to live-routes.ts, the query to live-rows.ts.
 * Limits  streams of one user and in all; rows a second for each query, the rest is counted as skipped; what a slow
 *         reader leaves unread, then its stream is cut, and it can resume; how far back a resumed stream reaches.
 * Why     a stream's place moves only with what it was told, so after any failure the loop simply goes on from there.
 */
import type { PassThrough } from 'node:stream'
import { isDatabaseUnavailable } from '../../database/open-database.ts'
import type { LoginSession } from '../access/login-session.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext } from '../api-server.ts'
import { endOfRanges, rangesWith, rangesWithout, sizeOfRanges } from './batch-ranges.ts'
import { BatchReader } from './batch-reader.ts'
import { eventText, heartbeatText } from './event-text.ts'
import { findLiveRows, type LiveSearch } from './live-rows.ts'
import { longestPositionText, positionText, type LivePosition } from './live-position.ts'
import { endedLogins } from './live-logins.ts'

export type LiveLimits = {
  tickMs: number
  heartbeatMs: number
  streams: number
  streamsPerUser: number
  rowsPerSecond: number
  /** Rows that may come at once after a quiet time. */
  burstRows: number
  bufferedBytes: number
  resumeBatches: number
  resumeTransactions: number
}

export const liveLimits: LiveLimits = {
  tickMs: 500,
  heartbeatMs: 15_000,
  streams: 200,
  streamsPerUser: 6,
  rowsPerSecond: 50,
  burstRows: 200,
  bufferedBytes: 512 * 1024,
  resumeBatches: 5_000,
  resumeTransactions: 100_000,
}
/** After a failure of the world. */
const retryMs = 2_000

type Stream = {
  login: LoginSession
  search: LiveSearch
  /** Equal for streams that ask for the same. */
  queryKey: string
  output: PassThrough
  /** `null` until the loop has given it its first. */
  position: LivePosition | null
  isResuming: boolean
}

type Allowance = { rows: number; atMs: number }

export class LiveHub {
  readonly #context: ApiContext
  readonly #warn: (error: unknown, text: string) => void
  readonly #limits: LiveLimits
  #streams = new Set<Stream>()
  #allowances = new Map<string, Allowance>()
  #loop: Promise<void> | null = null
  #wake: (() => void) | null = null
  #isStopped = false

  constructor(context: ApiContext, warn: (error: unknown, text: string) => void, limits: LiveLimits = liveLimits) {
    this.#context = context
    this.#warn = warn
    this.#limits = limits
  }

  /** `resumeFrom`: `null` begins now. Throws ApiFault where there are too many. */
  add(stream: Omit<Stream, 'position' | 'isResuming'> & { resumeFrom: LivePosition | null }): void {
    const { resumeFrom, ...rest } = stream
    const own = [...this.#streams].filter((one) => one.login.name === rest.login.name).length
    if (own >= this.#limits.streamsPerUser || this.#streams.size >= this.#limits.streams || this.#isStopped) {
      throw new ApiFault('too-many-streams', 'Too many live views are open: close one, or try again in a moment', {
        retryAfterSeconds: 5,
      })
    }
    const added: Stream = { ...rest, position: resumeFrom, isResuming: resumeFrom !== null }
    this.#streams.add(added)
    rest.output.once('close', () => {
      this.#streams.delete(added)
      this.#wake?.()
    })
    rest.output.on('error', () => {})
    rest.output.write('retry: 2000\n\n')
    this.#loop ??= this.#run().finally(() => (this.#loop = null))
    this.#wake?.()
  }

  get streamCount(): number {
    return this.#streams.size
  }

  /** Ends every stream; whoever reads comes back by itself, to the process that follows. */
  async stop(): Promise<void> {
    this.#isStopped = true
    for (const stream of this.#streams) stream.output.end()
    this.#wake?.()
    await this.#loop
  }

  async #run(): Promise<void> {
    const reader = new BatchReader(this.#context.database, this.#context.tenantId)
    let heartbeatAtMs = performance.now() + this.#limits.heartbeatMs
    while (this.#streams.size > 0 && !this.#isStopped) {
      let waitMs = this.#limits.tickMs
      try {
        if (performance.now() >= heartbeatAtMs) {
          heartbeatAtMs = performance.now() + this.#limits.heartbeatMs
          this.#beat()
          await this.#endLoggedOut()
        }
        if (await this.#tick(reader)) waitMs = 0
      } catch (error) {
        this.#warn(error, isDatabaseUnavailable(error) ? 'Live views wait for the database' : 'Live views could not be served')
        waitMs = retryMs
      }
      await this.#sleep(waitMs)
    }
    this.#allowances.clear()
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#isStopped) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => (clearTimeout(timer), resolve())
    })
    this.#wake = null
  }

  /** True: there is more to read at once. */
  async #tick(reader: BatchReader): Promise<boolean> {
    const hasMore = await reader.advance()
    const groups = new Map<string, Stream[]>()
    for (const stream of this.#streams) {
      this.#place(stream, reader, hasMore)
      if (stream.position === null) continue
      const key = `${stream.queryKey}\n${positionText(stream.position)}`
      groups.set(key, [...(groups.get(key) ?? []), stream])
    }
    for (const group of groups.values()) await this.#tell(group, reader)
    return hasMore
  }

  /** A new stream begins behind what is there; a resumed one where it was, unless that cannot be told any more. */
  #place(stream: Stream, reader: BatchReader, hasMore: boolean): void {
    if (stream.position === null) {
      stream.position = { seen: reader.seen, partly: null }
      this.#write(stream, eventText('ready', this.#idOf(stream.position), { isResumed: false }))
    } else if (stream.isResuming && !hasMore && endOfRanges(stream.position.seen) > endOfRanges(reader.seen)) {
      this.#beginAnew(stream, reader)
    }
  }

  async #tell(group: Stream[], reader: BatchReader): Promise<void> {
    const { position, search, queryKey, isResuming } = group[0]!
    const missing = rangesWithout(reader.seen, position!.seen)
    if (missing.length === 0 && !isResuming) return
    const resumed = group.filter((stream) => stream.isResuming)
    if (isResuming && sizeOfRanges(missing) > this.#limits.resumeBatches) return resumed.forEach((one) => this.#beginAnew(one, reader))
    const batches = await reader.batchesIn(missing)
    if (isResuming && batches.reduce((sum, one) => sum + one.transactionCount, 0) > this.#limits.resumeTransactions)
      return resumed.forEach((one) => this.#beginAnew(one, reader))

    const limit = isResuming ? this.#limits.burstRows : this.#allowed(queryKey)
    const found = await findLiveRows({ ...search, nowMs: this.#context.clock.nowMs() }, batches, position!.partly, limit)
    if (!isResuming) this.#allowances.get(queryKey)!.rows -= found.rows.length
    for (const stream of resumed) {
      this.#write(stream, eventText('ready', null, { isResumed: true }))
      stream.isResuming = false
    }
    let texts = ''
    let seen = position!.seen
    let told = 0
    const idWithin = (batchId: number, transactionId: string) => {
      for (; told < batches.length && batches[told]!.batchId < batchId; told += 1)
        seen = rangesWith(seen, { from: batches[told]!.batchId, upto: batches[told]!.batchId + 1 })
      return this.#idOf({ seen, partly: { batchId, transactionId } })
    }
    if (found.skippedCount > 0 && found.lastSkipped !== null) {
      const { batchId, transactionId } = found.lastSkipped
      texts += eventText('skipped', idWithin(batchId, transactionId), { count: String(found.skippedCount) })
    }
    for (const { row, batchId } of found.rows) texts += eventText('row', idWithin(batchId, row.transactionId), row)
    const next: LivePosition = { seen: reader.seen, partly: null }
    for (const stream of group) {
      stream.position = next
      if (texts !== '') this.#write(stream, texts)
    }
  }

  #beginAnew(stream: Stream, reader: BatchReader): void {
    stream.position = { seen: reader.seen, partly: null }
    stream.isResuming = false
    this.#write(stream, eventText('too-old', this.#idOf(stream.position), {}))
  }

  #allowed(queryKey: string): number {
    const nowMs = performance.now()
    const { burstRows, rowsPerSecond } = this.#limits
    const before = this.#allowances.get(queryKey) ?? { rows: burstRows, atMs: nowMs }
    const rows = Math.min(burstRows, before.rows + ((nowMs - before.atMs) / 1_000) * rowsPerSecond)
    this.#allowances.set(queryKey, { rows, atMs: nowMs })
    return Math.floor(rows)
  }

  #idOf(position: LivePosition): string | null {
    const text = positionText(position)
    return text.length > longestPositionText ? null : text
  }

  #beat(): void {
    for (const stream of this.#streams)
      this.#write(stream, heartbeatText(stream.position === null || stream.isResuming ? null : this.#idOf(stream.position)))
  }

  async #endLoggedOut(): Promise<void> {
    const streams = [...this.#streams]
    const ended = await endedLogins(this.#context, streams.map((stream) => stream.login))
    for (const stream of streams) {
      if (!ended.has(stream.login)) continue
      this.#write(stream, eventText('ended', null, {}))
      stream.output.end()
      this.#streams.delete(stream)
    }
  }

  #write(stream: Stream, text: string): void {
    const { output } = stream
    if (output.destroyed || output.writableEnded) return
    output.write(text)
    // Cut and not ended: what was not read was never told, and the reader goes on from what it has.
    if (output.writableLength + output.readableLength > this.#limits.bufferedBytes) output.destroy()
  }
}
