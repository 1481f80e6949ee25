/**
 * Takes in files of another MTA's log: `tollgate ingest FILE… --format postfix`.
 *
 * Owns    their order: by the first time in them, so that rotated files may be named in any.
 * Fails   an unreadable or damaged file throws; what was read before is ingested.
 */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { LineSplitter } from '../line-splitter.ts'
import { compressionOf, openLog } from '../segment-file.ts'
import { createLogClock } from './log-clock.ts'
import { maxMtaLineBytes } from './mta-line.ts'
import { MtaLoader, type MtaLoaderOptions, type MtaSummary } from './mta-loader.ts'
import { adapterOf } from './adapter-of.ts'
import { createMtaEvents } from './mta-event.ts'

export type IngestMtaFilesOptions = MtaLoaderOptions & {
  files: readonly string[]
  /** No other file tells more: what is unfinished is told as far as it is known. */
  isFinal: boolean
  signal?: AbortSignal
  onProgress?: (file: string, doneBytes: number, totalBytes: number) => void
}

export async function ingestMtaFiles(options: IngestMtaFilesOptions): Promise<MtaSummary> {
  const files = await inOrder(options)
  return await MtaLoader.with(options, async (loader) => {
    for (const [index, file] of files.entries()) {
      options.signal?.throwIfAborted()
      await readFileInto(loader, file, options)
      loader.endFile(options.isFinal && index === files.length - 1)
      await loader.flush(path.basename(file), { unfinished: true })
    }
    return loader.summary
  })
}

async function readFileInto(loader: MtaLoader, file: string, { onProgress, signal }: IngestMtaFilesOptions): Promise<void> {
  const { size, mtimeMs } = await stat(file)
  loader.clock.beginFile(mtimeMs)
  const splitter = new LineSplitter()
  let doneBytes = 0
  for await (const chunk of openLog(file, await compressionOf(file), 0, (sizeBytes) => onProgress?.(file, (doneBytes += sizeBytes), size))) {
    signal?.throwIfAborted()
    for (const line of splitter.push(chunk)) {
      loader.add(line)
      if (loader.isFull) await loader.flush(path.basename(file), { unfinished: false })
    }
  }
  const rest = splitter.rest()
  if (rest !== null) loader.add(rest)
}

/** By the first time stamp that can be read; files without one come last, in their order. */
async function inOrder(options: IngestMtaFilesOptions): Promise<string[]> {
  const adapter = adapterOf(options.settings.source, createMtaEvents(options.settings), options.host)
  const firstTimes = new Map<string, number>()
  for (const file of options.files) {
    const clock = createLogClock(options.clock)
    clock.beginFile((await stat(file)).mtimeMs)
    firstTimes.set(file, (await firstTimeOf(file, (raw) => {
      const frame = adapter.frame(raw)
      return frame === null ? null : clock.timeMsOf(frame.stamp)
    })) ?? Infinity)
  }
  return [...options.files].sort((a, b) => (firstTimes.get(a)! === firstTimes.get(b)! ? 0 : firstTimes.get(a)! - firstTimes.get(b)!))
}

async function firstTimeOf(file: string, timeOf: (raw: string) => number | null): Promise<number | null> {
  const splitter = new LineSplitter()
  let readBytes = 0
  for await (const chunk of openLog(file, await compressionOf(file))) {
    for (const line of splitter.push(chunk)) {
      const timeMs = line.lengthBytes > maxMtaLineBytes ? null : timeOf(line.octets.toString('utf8'))
      if (timeMs !== null) return timeMs
    }
    readBytes += chunk.length
    if (readBytes > 1_048_576) return null
  }
  return null
}
