/** Ids of sessions and transactions. Ids of one millisecond sort in the order in which they were given. */
import { randomBytes, randomUUID } from 'node:crypto'
import { transactionIdOf } from '../../contracts/transaction-id.ts'

export type Ids = { session(): string; transaction(nowMs: number): string }

const poolBytes = 8_192

/** `random` for a history that must come out the same twice. */
export function createIds(
  random: (byteLength: number) => Uint8Array = randomBytes,
  session: () => string = randomUUID,
): Ids {
  let pool = random(poolBytes)
  let at = 0
  let lastMs = -1
  let counter = 0
  return {
    session,
    transaction(nowMs) {
      if (at + 10 > pool.length) {
        pool = random(poolBytes)
        at = 0
      }
      const entropy = pool.slice(at, at + 10)
      at += 10
      counter = nowMs === lastMs ? counter + 1 : (entropy[0]! << 3) & 0x3ff
      lastMs = nowMs
      // Twelve bits: beyond 4,096 in one millisecond ids stay unique by the rest and only lose their order.
      entropy[0] = (counter >> 8) & 0x0f
      entropy[1] = counter & 0xff
      return transactionIdOf(nowMs, entropy)
    },
  }
}
