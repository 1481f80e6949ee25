/**
 * Transaction ids: UUIDs of version 7 (RFC 9562 §5.7), also the queue ids.
 *
 * Why  the id carries the partitioning time, so that equal ids always meet in one partition (DESIGN §3).
 */

const uuidV7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

export function isTransactionId(text: string): boolean {
  return uuidV7.test(text)
}

/**
 * The id for a time in milliseconds since the epoch and 10 bytes of randomness (or of a hash, for events made
 * from other MTAs' logs). The first 12 bits of `entropy` may hold a counter: ids of one millisecond then sort.
 */
export function transactionIdOf(timeMs: number, entropy: Uint8Array): string {
  if (!Number.isInteger(timeMs) || timeMs < 0 || timeMs >= 2 ** 48) {
    throw new RangeError(`No transaction id can hold the time ${timeMs} ms`)
  }
  const bytes = new Uint8Array(16)
  let rest = timeMs
  for (let index = 5; index >= 0; index -= 1) {
    bytes[index] = rest % 256
    rest = Math.floor(rest / 256)
  }
  bytes.set(entropy.subarray(0, 10), 6)
  bytes[6] = (bytes[6]! & 0x0f) | 0x70
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  let hex = ''
  for (const byte of bytes) hex += hexOf[byte]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

const hexOf = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** The time inside an id, in milliseconds since the epoch. The id must be one of ours (`isTransactionId`). */
export function timeMsOfTransactionId(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
