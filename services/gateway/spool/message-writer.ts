/**
 * One message on its way from the session into the spool.
 *
 * Owns  the choice between the shared segment and a file of its own, and what abort means in each phase.
 * Why   a message that fits is kept in memory until commit, so that octets and envelope are one record, whole or
 *       not there at all.
 */
import assert from 'node:assert/strict'
import type { LargeMessageFile } from './large-message-file.ts'
import type { MessageStore, StoredMessage } from './message-store.ts'
import type { Envelope, SpooledMessage } from './spool-contract.ts'

export class MessageWriter implements SpooledMessage {
  readonly #queueId: string
  readonly #store: MessageStore
  #chunks: Uint8Array[] = []
  #byteLength = 0
  #file: LargeMessageFile | null = null
  #message: StoredMessage | null = null
  #isCommitting = false
  #isAborted = false

  constructor(queueId: string, store: MessageStore) {
    this.#queueId = queueId
    this.#store = store
  }

  write(chunk: Uint8Array): void | Promise<void> {
    if (this.#isAborted) return
    assert(!this.#isCommitting, 'written after commit')
    if (this.#file !== null) return this.#file.write(chunk)
    this.#chunks.push(chunk)
    this.#byteLength += chunk.length
    this.#store.uncommittedBytes += chunk.length
    const { smallMessageBytes, uncommittedBytes, spillBytes } = this.#store.limits
    const isCrowded = this.#store.uncommittedBytes > uncommittedBytes && this.#byteLength > spillBytes
    if (this.#byteLength > smallMessageBytes || isCrowded) return this.#moveToFile()
  }

  async *octets(): AsyncGenerator<Uint8Array> {
    assert(!this.#isCommitting && !this.#isAborted, 'read after commit or abort')
    if (this.#file !== null) yield* this.#file.octets()
    else yield* this.#chunks
  }

  async commit(envelope: Envelope): Promise<void> {
    assert(!this.#isCommitting && !this.#isAborted, 'committed twice, or after abort')
    assert(envelope.queueId === this.#queueId, 'the envelope is of another message')
    this.#isCommitting = true
    try {
      if (this.#file !== null) await this.#file.finish()
      const content = this.#file ?? this.#takeOctets()
      const message = await this.#store.add(envelope, content, false)
      if (this.#isAborted) this.#store.abandon(message)
      else this.#message = message
    } catch (error) {
      await this.#file?.discard()
      throw new Error('The spool cannot be written', { cause: error })
    }
  }

  release(): void {
    if (this.#isAborted) return
    assert(this.#message !== null, 'released before commit')
    this.#store.release(this.#message)
    this.#message = null
  }

  abort(): void {
    if (this.#isAborted) return
    this.#isAborted = true
    if (this.#message !== null) this.#store.abandon(this.#message)
    if (this.#isCommitting) return
    this.#takeOctets()
    void this.#file?.discard()
  }

  #moveToFile(): void | Promise<void> {
    const octets = this.#takeOctets()
    this.#file = this.#store.largeFile(this.#queueId)
    return this.#file.write(octets)
  }

  #takeOctets(): Buffer {
    const [first] = this.#chunks
    const isOne = this.#chunks.length === 1 && first !== undefined
    const octets = isOne ? Buffer.from(first.buffer, first.byteOffset, first.length) : Buffer.concat(this.#chunks)
    this.#store.uncommittedBytes -= this.#byteLength
    this.#chunks = []
    this.#byteLength = 0
    return octets
  }
}
