/**
 * Takes in the segments of one node, one after the other: finished ones to their end, the newest as it grows.
 *
 * Fails  a damaged or unreadable file is logged and tried again when it changes; the others go on.
 */
import { bulkLimits, followLimits, ingestChunks } from './ingest-chunks.ts'
import { whenDatabaseIsThere, type Loader } from './load-batch.ts'
import { isBefore, type LogFile, type LogFolder } from './log-folder.ts'
import { openLog, resumePosition } from './segment-file.ts'
import { tailSegment } from './tail-segment.ts'

export type FollowedNode = { loader: Loader; folder: LogFolder; node: string; lingerMs: number; signal: AbortSignal }

/** Resolves when `signal` is aborted. */
export async function followNode(followed: FollowedNode): Promise<void> {
  const { folder, node, signal } = followed
  while (!signal.aborted) {
    const files = folder.filesOf(node)
    const newest = files.at(-1)
    const tailed = newest !== undefined && newest.header !== null && newest.compression === 'none' ? newest : null
    const due = files.find((file) => (file === tailed ? isFarBehind(file) : file.readSizeBytes !== file.sizeBytes))
    if (due !== undefined) await readToEnd(followed, due, due.compression !== 'none' || isBefore(due, newest!))
    else if (tailed !== null) await tail(followed, tailed)
    else await nextChange(folder, signal)
  }
}

/** What lies there already is read as a file: the tail is made for what is being added, and slow with a backlog. */
const backlogBytes = 4_194_304

function isFarBehind(file: LogFile): boolean {
  return file.sizeBytes - Math.max(file.doneBytes ?? 0, file.readSizeBytes) > backlogBytes
}

async function readToEnd(followed: FollowedNode, file: LogFile, isComplete: boolean): Promise<void> {
  const sizeBytes = file.sizeBytes
  await onFile(followed, file, async (startBytes) => {
    if (startBytes >= sizeBytes && file.compression === 'none') return startBytes
    const chunks = openLog(file.path, file.compression, startBytes)
    return await ingestChunks(
      followed.loader,
      { chunks, fileName: file.name, startBytes, header: startBytes === 0 ? null : file.header },
      { limits: bulkLimits, lingerMs: null, isComplete: () => isComplete },
    )
  })
  file.readSizeBytes = sizeBytes
}

async function tail(followed: FollowedNode, file: LogFile): Promise<void> {
  const { folder, node, signal, lingerMs } = followed
  const stop = new AbortController()
  const forget = folder.onChange(() => {
    if (folder.filesOf(node).at(-1) !== file) stop.abort()
  })
  const chunkSignal = AbortSignal.any([signal, stop.signal])
  await onFile(followed, file, async (startBytes) => {
    if (folder.filesOf(node).at(-1) !== file) return startBytes
    return await ingestChunks(
      followed.loader,
      { chunks: tailSegment(file.path, startBytes, chunkSignal), fileName: file.name, startBytes, header: startBytes === 0 ? null : file.header },
      { limits: followLimits, lingerMs, isComplete: () => false },
    )
  })
  forget()
  if (signal.aborted || stop.signal.aborted) return
  // It was cut, replaced or removed: what it is now is for the next look to find.
  file.doneBytes = null
  await nextChange(folder, signal)
}

/** Runs `work` from where the file is to be read on, and keeps where it came to. */
async function onFile({ loader, signal }: FollowedNode, file: LogFile, work: (startBytes: number) => Promise<number>): Promise<void> {
  try {
    const { header } = file
    file.doneBytes ??=
      header === null || file.compression !== 'none' ? 0 : await whenDatabaseIsThere(loader, () => resumePosition(loader.database, header, file.path))
    file.doneBytes = await work(file.doneBytes)
  } catch (error) {
    if (signal.aborted) return
    if (!isFaultOfFile(error)) throw error
    loader.log?.warn({ err: error, file: file.name }, 'this file of the event log cannot be read to its end')
    file.doneBytes = null
  }
}

/** Of the file system, or of the unpacker. */
function isFaultOfFile(error: unknown): boolean {
  const { code, syscall } = error as { code?: unknown; syscall?: unknown }
  return typeof code === 'string' && (code.startsWith('Z_') || (typeof syscall === 'string' && /^(open|read|stat|fstat|close)$/.test(syscall)))
}

function nextChange(folder: LogFolder, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      forget()
      signal.removeEventListener('abort', done)
      resolve()
    }
    const forget = folder.onChange(done)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })
}
