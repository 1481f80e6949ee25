/**
 * Follows another MTA's log as it grows: `tollgate ingest FILE --format postfix --follow`.
 *
 * Owns    rotation: a file that was renamed is read to its end before the new one is begun; one that was emptied in its
 *         place (copytruncate) is begun anew; one that was renamed while nobody followed is looked for beside it.
 * Why     rows, unfinished threads and the position are stored in one transaction at every look. So a process that was
 *         ended goes on where it was, with the messages that were in flight: nothing is lost, and nothing counts twice.
 */
import { createHash } from 'node:crypto'
import { open, readdir, stat, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LineSplitter } from '../line-splitter.ts'
import type { MtaLoader } from './mta-loader.ts'
import { readFilePosition, type FilePosition } from './store-mta.ts'

export const lookEveryMs = 500
const headBytes = 1_024
const chunkBytes = 262_144

/** Reads until `signal` ends it. `onLook` is called when all there is at the moment is stored. */
export async function followMtaFile(loader: MtaLoader, file: string, signal: AbortSignal, onLook: () => void = () => {}): Promise<void> {
  const stored = await readFilePosition(loader.store, file)
  const left = stored === null ? null : await sameFile(file, stored)
  if (stored !== null && left !== null && left !== file) await readRest(loader, file, left, stored.positionBytes)
  let startBytes = stored !== null && left === file ? stored.positionBytes : 0
  while (!signal.aborted) {
    const handle = await open(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null
      throw error
    })
    if (handle === null) {
      // Between the rename and the new file.
      await sleep(lookEveryMs, undefined, { signal }).catch(() => {})
      continue
    }
    try {
      await followOpen(loader, file, handle, startBytes, signal, onLook)
    } finally {
      await handle.close()
    }
    startBytes = 0
  }
}

/** Until the path is another file, or this one was emptied. */
async function followOpen(loader: MtaLoader, file: string, handle: FileHandle, startBytes: number, signal: AbortSignal, onLook: () => void): Promise<void> {
  const { ino, mtimeMs } = await handle.stat()
  loader.clock.beginFile(Math.max(mtimeMs, Date.now()))
  let splitter = new LineSplitter(startBytes)
  let readBytes = startBytes
  let head = await headOf(handle)
  for (;;) {
    const isReplaced = (await stat(file).catch(() => null))?.ino !== ino
    const { size } = await handle.stat()
    const isEmptied = size < readBytes || (head.bytes > 0 && !(await startsWith(handle, head)))
    if (isEmptied) {
      loader.endFile(false)
      loader.clock.beginFile(Date.now())
      splitter = new LineSplitter()
      readBytes = 0
    }
    for (;;) {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, readBytes)
      if (bytesRead === 0) break
      readBytes += bytesRead
      for (const line of splitter.push(buffer.subarray(0, bytesRead))) {
        loader.add(line)
        if (loader.isFull) await loader.flush(path.basename(file), { unfinished: false })
      }
    }
    if (isReplaced) {
      const rest = splitter.rest()
      if (rest !== null) loader.add(rest)
      loader.endFile(false)
    }
    head = await headOf(handle)
    await loader.flush(path.basename(file), { unfinished: true, position: positionOf(file, head, isReplaced ? readBytes : splitter.completeBytes) })
    onLook()
    if (isReplaced) return
    await sleep(lookEveryMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return
  }
}

type Head = { digest: Buffer; bytes: number }

async function headOf(handle: FileHandle, bytes = headBytes): Promise<Head> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes), 0, bytes, 0)
  return { digest: createHash('sha256').update(buffer.subarray(0, bytesRead)).digest(), bytes: bytesRead }
}

async function startsWith(handle: FileHandle, head: Head): Promise<boolean> {
  const now = await headOf(handle, head.bytes)
  return now.bytes === head.bytes && now.digest.equals(head.digest)
}

const positionOf = (file: string, head: Head, positionBytes: number): FilePosition => ({ path: file, headDigest: head.digest, headBytes: head.bytes, positionBytes })

/** Where the file is now whose position was stored: at its path, or beside it under the name of a rotated one. */
async function sameFile(file: string, stored: FilePosition): Promise<string | null> {
  const folder = path.dirname(file)
  const names = (await readdir(folder)).filter((name) => name.startsWith(path.basename(file)) && !/\.(?:gz|zst|xz|bz2)$/.test(name))
  for (const name of [path.basename(file), ...names]) {
    const candidate = path.join(folder, name)
    const handle = await open(candidate).catch(() => null)
    if (handle === null) continue
    try {
      const { size } = await handle.stat()
      if (size >= stored.positionBytes && stored.headBytes > 0 && (await startsWith(handle, { digest: stored.headDigest, bytes: stored.headBytes }))) return candidate
    } finally {
      await handle.close()
    }
  }
  return null
}

async function readRest(loader: MtaLoader, file: string, rotated: string, startBytes: number): Promise<void> {
  const handle = await open(rotated)
  try {
    const { mtimeMs } = await handle.stat()
    loader.clock.beginFile(mtimeMs)
    const splitter = new LineSplitter(startBytes)
    for await (const chunk of handle.createReadStream({ start: startBytes, autoClose: false })) {
      for (const line of splitter.push(chunk as Buffer)) {
        loader.add(line)
        if (loader.isFull) await loader.flush(path.basename(file), { unfinished: false })
      }
    }
    const rest = splitter.rest()
    if (rest !== null) loader.add(rest)
    loader.endFile(false)
    await loader.flush(path.basename(rotated), { unfinished: true })
  } finally {
    await handle.close()
  }
}
