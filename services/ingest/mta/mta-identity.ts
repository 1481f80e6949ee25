/**
 * Ids of what other MTAs' logs tell: from the first time stamp and a hash, so that a rotated copy counts once (DESIGN §3).
 */
import { createHash } from 'node:crypto'
import { transactionIdOf } from '../../contracts/transaction-id.ts'

export function mtaTransactionId(firstMs: number, ...parts: readonly string[]): string {
  return transactionIdOf(firstMs, digestOf(parts).subarray(0, 10))
}

/** The shape of a UUID, for sessions and for what stands in the place of a boot. */
export function mtaUuid(...parts: readonly string[]): string {
  const hex = digestOf(parts).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

/** Stands in the place of a sequence number: 52 bits of a hash, from 1. It names an event and orders nothing. */
export function mtaSeq(...parts: readonly string[]): number {
  return Number(digestOf(parts).readBigUInt64BE() >> 12n) + 1
}

/** A node's name as events write it. Two hosts whose names become equal still differ by what stands for the boot. */
export function nodeNameOf(host: string): string {
  const name = host.toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^-+/, '').slice(0, 63)
  return name === '' ? 'host' : name
}

function digestOf(parts: readonly string[]): Buffer {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest()
}
