/**
 * The few file operations on which durability rests, behind one type so that a test can watch their order or let
 * the disk fail at any of them.
 *
 * Limits  `writeAt` writes everything or rejects: a short write is tried again, which brings out the true error.
 */
import { constants, fdatasync, ftruncate, fsync, open, close, read, write, writev } from 'node:fs'
import { readdir, readFile, stat, unlink, mkdir, rename } from 'node:fs/promises'
import { promisify } from 'node:util'

export type OpenFile = number

export type Disk = {
  createFolder(path: string): Promise<void>
  list(folder: string): Promise<string[]>
  /** Creates a file that must not exist yet; readable and writable by the owner alone. */
  create(path: string): Promise<OpenFile>
  openForReading(path: string): Promise<OpenFile>
  writeAt(file: OpenFile, buffers: readonly Uint8Array[], position: number): Promise<void>
  /** Up to `length` octets; fewer only at the end of the file. */
  readAt(file: OpenFile, length: number, position: number): Promise<Buffer>
  readWhole(path: string): Promise<Buffer>
  sizeOf(path: string): Promise<number>
  /** Contents are on the medium when it resolves. */
  sync(file: OpenFile): Promise<void>
  /** Names created, renamed or removed in the folder are on the medium when it resolves. */
  syncFolder(path: string): Promise<void>
  truncate(file: OpenFile, length: number): Promise<void>
  close(file: OpenFile): Promise<void>
  remove(path: string): Promise<void>
  rename(from: string, to: string): Promise<void>
}

const openFile = promisify(open) as (path: string, flags: number, mode?: number) => Promise<number>
const closeFile = promisify(close)
const syncFile = promisify(fsync)
const syncContents = promisify(fdatasync)
const truncateFile = promisify(ftruncate)

export const nodeDisk: Disk = {
  createFolder: async (path) => void (await mkdir(path, { recursive: true, mode: 0o700 })),
  list: (path) => readdir(path),
  create: (path) => openFile(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600),
  openForReading: (path) => openFile(path, constants.O_RDONLY),
  writeAt: writeEverythingAt,
  readAt: readUpTo,
  readWhole: (path) => readFile(path),
  sizeOf: async (path) => (await stat(path)).size,
  sync: (file) => syncContents(file),
  async syncFolder(path) {
    const folder = await openFile(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await syncFile(folder)
    } finally {
      await closeFile(folder)
    }
  },
  truncate: (file, length) => truncateFile(file, length),
  close: (file) => closeFile(file),
  remove: (path) => unlink(path),
  rename: (from, to) => rename(from, to),
}

async function writeEverythingAt(file: OpenFile, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let byteLength = 0
  for (const buffer of buffers) byteLength += buffer.length
  const writtenBytes = await writeVector(file, buffers, position)
  if (writtenBytes === byteLength) return
  let rest = Buffer.concat(buffers).subarray(writtenBytes)
  let at = position + writtenBytes
  while (rest.length > 0) {
    const moreBytes = await writeOne(file, rest, at)
    if (moreBytes === 0) throw new Error('the disk took no more octets')
    rest = rest.subarray(moreBytes)
    at += moreBytes
  }
}

function writeVector(file: OpenFile, buffers: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(file, buffers as Uint8Array[], position, (error, byteCount) => (error ? reject(error) : resolve(byteCount)))
  })
}

function writeOne(file: OpenFile, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(file, buffer, 0, buffer.length, position, (error, byteCount) => (error ? reject(error) : resolve(byteCount)))
  })
}

async function readUpTo(file: OpenFile, length: number, position: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length)
  let filledBytes = 0
  while (filledBytes < length) {
    const byteCount = await readSome(file, buffer, filledBytes, position + filledBytes)
    if (byteCount === 0) break
    filledBytes += byteCount
  }
  return filledBytes === length ? buffer : buffer.subarray(0, filledBytes)
}

function readSome(file: OpenFile, buffer: Buffer, offset: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(file, buffer, offset, buffer.length - offset, position, (error, byteCount) =>
      error ? reject(error) : resolve(byteCount),
    )
  })
}
