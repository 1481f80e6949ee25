/**
 * The folder of the event log as it is now: which files hold which segments, and which of a node is the newest.
 *
 * Why    looked at anew each `scanIntervalMs`, and at once when the system reports a change: reports may be missing
 *        (network file systems), looks are not. Files that are read to their end are looked at more rarely.
 * Fails  a file that cannot be opened is logged and looked at again; it hides no other.
 */
import { watch } from 'node:fs'
import { mkdir, readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import type { SegmentOpened } from '../contracts/event.ts'
import type { Logger } from '../kit/operator-log.ts'
import { compressionOf, readHead, type Compression } from './segment-file.ts'

export type LogFile = {
  name: string
  path: string
  inode: number
  sizeBytes: number
  compression: Compression
  /** `null`: a file without one; its lines name their place themselves. */
  header: SegmentOpened | null
  /** Loaded up to here; `null`: not known yet. */
  doneBytes: number | null
  /** Size of the file when it was last read to its end. */
  readSizeBytes: number
}

export type LogFolder = {
  /** Looks, and calls `onChange` where anything is new. */
  scan(): Promise<void>
  nodes(): Set<string>
  /** Oldest segment first; files without a header are those of the node ''. */
  filesOf(node: string): LogFile[]
  onChange(listener: () => void): () => void
  /** Resolves at the next report of the system or after `scanIntervalMs`, sooner where a new file is still empty. */
  idle(scanIntervalMs: number, signal: AbortSignal): Promise<void>
  close(): void
}

const logFileName = /\.jsonl(\.gz|\.zst)?$/
const fullScanEvery = 30
/** A file is reported when it is made, and nothing reports that its first line is written: it is looked for. */
const newFileScanMs = 50
const newFileMs = 5_000

export async function openLogFolder(folder: string, tenantId: string, log: Logger): Promise<LogFolder> {
  await mkdir(folder, { recursive: true })
  const files = new Map<string, LogFile>()
  const listeners = new Set<() => void>()
  const complaints = new Map<string, string>()
  const complain = (name: string, text: string): void => {
    if (complaints.get(name) !== text) log.warn({ file: name }, text)
    complaints.set(name, text)
  }
  let scanCount = 0
  let awaitsHeader = false
  let wake = (): void => {}
  const watcher = watchedFolder(folder, () => wake())

  const look = async (name: string): Promise<boolean> => {
    const filePath = path.join(folder, name)
    const known = files.get(name)
    const found = await stat(filePath)
    if (known !== undefined && known.inode === found.ino && found.size >= known.sizeBytes) {
      const hasGrown = found.size !== known.sizeBytes
      known.sizeBytes = found.size
      return hasGrown
    }
    files.delete(name)
    const compression = await compressionOf(filePath)
    const head = await readHead(filePath, compression, tenantId)
    if (head.state === 'pending') {
      awaitsHeader ||= Date.now() - found.mtimeMs < newFileMs
      return false
    }
    if (head.state === 'newer') {
      complain(name, `waits until Tollgate is updated: ${head.detail}`)
      return false
    }
    const header = head.state === 'segment' ? head.header : null
    files.set(name, { name, path: filePath, inode: found.ino, sizeBytes: found.size, compression, header, doneBytes: null, readSizeBytes: -1 })
    return true
  }

  return {
    scan: async () => {
      const isFull = scanCount++ % fullScanEvery === 0
      awaitsHeader = false
      const names = (await readdir(folder)).filter((name) => logFileName.test(name))
      let hasChanged = false
      for (const name of [...files.keys()]) if (!names.includes(name)) hasChanged = files.delete(name)
      const settled = isFull ? new Set<string>() : settledNames(files)
      for (const name of names) {
        if (settled.has(name)) continue
        try {
          hasChanged = (await look(name)) || hasChanged
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') complain(name, `cannot be read: ${(error as Error).message}`)
        }
      }
      if (hasChanged) for (const listener of listeners) listener()
    },
    nodes: () => new Set([...files.values()].map((file) => file.header?.node ?? '')),
    filesOf: (node) => [...files.values()].filter((file) => (file.header?.node ?? '') === node).sort(byAge),
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    idle: (scanIntervalMs, signal) =>
      new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          signal.removeEventListener('abort', done)
          wake = () => {}
          resolve()
        }
        const timer = setTimeout(done, awaitsHeader ? Math.min(newFileScanMs, scanIntervalMs) : scanIntervalMs)
        signal.addEventListener('abort', done)
        // Reports come in bursts, one for each write: a new file is worth a look, the growth of one is not.
        wake = done
        if (signal.aborted) done()
      }),
    close: () => watcher?.close(),
  }
}

/** Whether `file` cannot grow any more because a later segment of its node is there. */
export function isBefore(file: LogFile, later: LogFile): boolean {
  return file.header !== null && later.header !== null && compareHeaders(file.header, later.header) < 0
}

function byAge(left: LogFile, right: LogFile): number {
  if (left.header === null || right.header === null) return left.name < right.name ? -1 : 1
  // Of two files of one segment, the larger one is the one that grows.
  return compareHeaders(left.header, right.header) || left.sizeBytes - right.sizeBytes || (left.name < right.name ? -1 : 1)
}

function compareHeaders(left: SegmentOpened, right: SegmentOpened): number {
  return left.bootNumber - right.bootNumber || (left.boot === right.boot ? left.segment - right.segment : left.at < right.at ? -1 : 1)
}

function settledNames(files: ReadonlyMap<string, LogFile>): Set<string> {
  return new Set([...files.values()].filter((file) => file.readSizeBytes === file.sizeBytes).map((file) => file.name))
}

function watchedFolder(folder: string, onNewFile: () => void): { close(): void } | null {
  try {
    const watcher = watch(folder, { persistent: false }, (kind) => {
      if (kind === 'rename') onNewFile()
    })
    watcher.on('error', () => watcher.close())
    return watcher
  } catch {
    // No reports here (inotify used up, a file system without): the regular look finds everything.
    return null
  }
}
