/**
 * From octets of a file to loaded batches: the one path that every file and every tail takes.
 *
 * Owns    when a batch is closed: full, or its first line waited `lingerMs`, or the octets end.
 * Limits  one batch is loaded while the next is filled; then nothing more is read until the first is in. Memory is
 *         two batches and one line, whatever the size of the file.
 * Fails   with the first error of reading or loading; what was loaded before stays.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { SegmentOpened } from '../contracts/event.ts'
import { BatchBuilder, type BatchLimits } from './batch.ts'
import { createLineDecoder, digestOf, isRejected, type LineDecoder } from './decode-line.ts'
import { LineSplitter } from './line-splitter.ts'
import { loadBatch, type Loader } from './load-batch.ts'
import type { StoredCounts } from './store-batch.ts'

export type ChunkSource = {
  chunks: AsyncIterable<Buffer>
  fileName: string
  /** Where in the file the first octet stands. */
  startBytes: number
  /** The header of the file, where reading begins behind it. */
  header: SegmentOpened | null
}

export type IngestOptions = {
  limits: BatchLimits
  /** `null`: only full batches, for a file that lies there complete. */
  lingerMs: number | null
  /** Whether nothing will be added any more: then a line without LF is torn, unless it is a whole event. */
  isComplete: () => boolean
  onStored?: (counts: StoredCounts, completeBytes: number) => void
}

export const bulkLimits: BatchLimits = { events: 20_000, sizeBytes: 16_777_216, firstShare: 1 / 16 }
/** More than arrives while a batch lingers: where the database falls behind, batches grow and cost less a line. */
export const followLimits: BatchLimits = { events: 4_000, sizeBytes: 8_388_608 }

/**
 * So many lines are decoded before the connection is looked after: about a millisecond. The server asks some twenty
 * times a batch for what comes next, and stands still until it gets it.
 */
const linesPerTurn = 16

/** Resolves to the position up to which whole lines were loaded, when the octets end. */
export async function ingestChunks(loader: Loader, source: ChunkSource, options: IngestOptions): Promise<number> {
  const decode = createLineDecoder({ tenantId: loader.tenantId, nowMs: Date.now })
  const { recipientIds, tenantId } = loader
  const { fileName, header, startBytes } = source
  const builder = new BatchBuilder({ tenantId, recipientIds, decode, limits: options.limits, fileName, header })
  const splitter = new LineSplitter(startBytes)
  let loading: Promise<void> = Promise.resolve()
  let failure: { error: unknown } | null = null
  let isLoading = false

  const flush = async (completeBytes: number): Promise<void> => {
    await loading
    if (failure !== null) throw failure.error
    const batch = builder.take(completeBytes)
    isLoading = true
    loading = loadBatch(loader, batch)
      .then((counts) => options.onStored?.(counts, completeBytes))
      .catch((error: unknown) => {
        failure = { error }
      })
      .finally(() => {
        isLoading = false
      })
  }

  const iterator = source.chunks[Symbol.asyncIterator]()
  let fault: { error: unknown } | null = null
  try {
    let next = iterator.next()
    let dueAtMs = 0
    let linesInTurn = 0
    for (;;) {
      const arrived = builder.isEmpty || options.lingerMs === null ? await next : await raced(next, dueAtMs, isLoading ? loading : null)
      if (failure !== null) throw (failure as { error: unknown }).error
      if (arrived === 'due') {
        await flush(splitter.completeBytes)
        continue
      }
      if (arrived.done === true) break
      next = iterator.next()
      // A rejection is met at the next await; until then it must not count as unhandled.
      next.catch(() => {})
      for (const line of splitter.push(arrived.value)) {
        if (builder.isEmpty) dueAtMs = performance.now() + (options.lingerMs ?? 0)
        builder.add(line)
        linesInTurn += 1
        if (linesInTurn >= linesPerTurn && isLoading) await turn()
        if (linesInTurn >= linesPerTurn) linesInTurn = 0
        if (builder.isFull) await flush(line.positionBytes + line.lengthBytes + 1)
      }
    }
  } catch (error) {
    fault = { error }
  } finally {
    await iterator.return?.()
  }
  if (fault !== null) {
    // What was read before the fault is whole, unless loading it is what failed.
    if (failure === null && !builder.isEmpty) await flush(splitter.completeBytes)
    await loading
    throw (failure ?? fault as { error: unknown }).error
  }
  const end = addRest(builder, splitter, decode, options.isComplete(), source.header !== null)
  if (!builder.isEmpty) await flush(end)
  await loading
  if (failure !== null) throw (failure as { error: unknown }).error
  return end
}

/** The next octets, or that the batch is due: only once the batch before is in, else the batch may as well grow. */
async function raced<Result>(next: Promise<Result>, dueAtMs: number, loading: Promise<void> | null): Promise<Result | 'due'> {
  let timer: NodeJS.Timeout | undefined
  const due = new Promise<'due'>((resolve) => {
    timer = setTimeout(() => {
      if (loading === null) resolve('due')
      else void loading.then(() => resolve('due'))
    }, Math.max(0, dueAtMs - performance.now()))
  })
  try {
    return await Promise.race([next, due])
  } finally {
    clearTimeout(timer)
  }
}

/** What stands behind the last LF; a whole JSON object cannot be the beginning of another, so it is an event. */
function addRest(builder: BatchBuilder, splitter: LineSplitter, decode: LineDecoder, isComplete: boolean, hasHeader: boolean): number {
  const before = splitter.completeBytes
  const rest = isComplete ? splitter.rest() : null
  if (rest === null) return before
  const decoded = decode(rest, { hasHeader })
  if (!isRejected(decoded)) {
    builder.add(rest)
    return before + rest.lengthBytes
  }
  builder.reject({
    ...decoded,
    reason: decoded.reason === 'too-long' ? 'too-long' : 'torn',
    detail: `the file ends within this line, after ${rest.lengthBytes} octets`,
    digest: digestOf(rest.octets),
    place: null,
  })
  // Not past it: if the file grows after all, the line is read again, whole.
  return before
}
