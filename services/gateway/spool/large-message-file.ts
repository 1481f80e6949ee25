/**
 * A message too large for the shared segment: streamed into a file of its own while it arrives.
 *
 * Limits  at most `queuedBytes` in memory that are not yet written; beyond them `write` returns a promise.
 * Fails   a failed write is remembered and thrown by `finish`; until then octets are taken and dropped, so that the
 *         session reads to the end of data and answers once.
 */
import { dirname, join } from 'node:path'
import type { Disk, OpenFile } from './disk.ts'

const queuedBytes = 1024 * 1024
const readBytes = 64 * 1024

export class LargeMessageFile {
  readonly path: string
  readonly #disk: Disk
  #file: OpenFile | null = null
  #byteLength = 0
  #queued: Uint8Array[] = []
  #queuedBytes = 0
  #writing: Promise<void> | null = null
  #failure: Error | null = null
  #isDiscarded = false

  constructor(path: string, disk: Disk) {
    this.path = path
    this.#disk = disk
  }

  get byteLength(): number {
    return this.#byteLength + this.#queuedBytes
  }

  write(chunk: Uint8Array): void | Promise<void> {
    if (this.#failure !== null || this.#isDiscarded) return
    this.#queued.push(chunk)
    this.#queuedBytes += chunk.length
    this.#writing ??= this.#writeQueued()
    if (this.#queuedBytes > queuedBytes) return this.#writing
  }

  /** What was written, read back once it has left memory. */
  async *octets(): AsyncGenerator<Uint8Array> {
    if (this.#writing !== null) await this.#writing
    if (this.#failure !== null) throw new Error(`cannot write ${this.path}`, { cause: this.#failure })
    const file = await this.#disk.openForReading(this.path)
    try {
      for (let offset = 0; offset < this.#byteLength; offset += readBytes) {
        yield await this.#disk.readAt(file, Math.min(readBytes, this.#byteLength - offset), offset)
      }
    } finally {
      await this.#disk.close(file)
    }
  }

  /** All octets and the name of the file are on the medium when it resolves. */
  async finish(): Promise<void> {
    if (this.#writing !== null) await this.#writing
    if (this.#failure === null) await this.#sync()
    await this.#close()
    if (this.#failure !== null) throw new Error(`cannot write ${this.path}`, { cause: this.#failure })
  }

  /** Closes and removes the file; never throws. */
  async discard(): Promise<void> {
    this.#isDiscarded = true
    if (this.#writing !== null) await this.#writing
    const isCreated = this.#file !== null || this.#byteLength > 0
    await this.#close()
    if (isCreated) await this.#disk.remove(this.path).catch(() => {})
  }

  async #writeQueued(): Promise<void> {
    try {
      this.#file ??= await this.#disk.create(this.path)
      while (this.#queued.length > 0 && !this.#isDiscarded) {
        const chunks = this.#queued
        const byteLength = this.#queuedBytes
        this.#queued = []
        await this.#disk.writeAt(this.#file, chunks, this.#byteLength)
        this.#byteLength += byteLength
        this.#queuedBytes -= byteLength
      }
    } catch (error) {
      this.#failure = error as Error
      this.#queued = []
    }
    this.#writing = null
  }

  async #sync(): Promise<void> {
    try {
      await this.#disk.sync(this.#file!)
      await this.#disk.syncFolder(dirname(this.path))
    } catch (error) {
      this.#failure = error as Error
    }
  }

  async #close(): Promise<void> {
    const file = this.#file
    this.#file = null
    if (file !== null) await this.#disk.close(file).catch(() => {})
  }
}

export function largeMessagePath(folder: string, queueId: string): string {
  return join(folder, `large-${queueId}.eml`)
}

export function queueIdOfLargeFile(name: string): string | null {
  return /^large-([0-9a-f-]{36})\.eml$/.exec(name)?.[1] ?? null
}
