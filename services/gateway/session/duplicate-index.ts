/**
 * Messages whose acceptance the remote may not have heard of: a retry of one is answered, and not delivered again
 * (DESIGN §3).
 *
 * Limits  `maxEntries`, the oldest go first; entries are forgotten after `windowMs`.
 * Why     holds only candidates: replies that could not be written, and what a boot that died had accepted in
 *         sessions that were still open. A message without a Message-ID is never one: two alike may both be meant.
 */
import { createHash } from 'node:crypto'

export type MessageIdentity = {
  sender: string
  /** Normalised addresses of the accepted recipients, in any order. */
  recipients: readonly string[]
  digest: string | null
  messageId: string | null
}

export const duplicateWindowMs = 5 * 24 * 3_600_000

export class DuplicateIndex {
  readonly #entries = new Map<string, { transactionId: string; atMs: number }>()
  readonly #maxEntries: number

  constructor(maxEntries = 100_000) {
    this.#maxEntries = maxEntries
  }

  get size(): number {
    return this.#entries.size
  }

  add(message: MessageIdentity, transactionId: string, atMs: number): void {
    const key = keyOf(message)
    if (key === null) return
    this.#entries.set(key, { transactionId, atMs })
    if (this.#entries.size <= this.#maxEntries) return
    const oldest = this.#entries.keys().next().value
    if (oldest !== undefined) this.#entries.delete(oldest)
  }

  /** Id of the transaction that a message repeats, or `null`. */
  find(message: MessageIdentity, nowMs: number): string | null {
    if (this.#entries.size === 0) return null
    const key = keyOf(message)
    const entry = key === null ? undefined : this.#entries.get(key)
    return entry === undefined || nowMs - entry.atMs > duplicateWindowMs ? null : entry.transactionId
  }
}

function keyOf({ sender, recipients, digest, messageId }: MessageIdentity): string | null {
  if (digest === null || messageId === null) return null
  const parts = [sender, [...new Set(recipients)].sort(), digest, messageId]
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64')
}
