/** Under which keys senders and networks are remembered: by their hash, so that a file holds no addresses. */
import { createHash } from 'node:crypto'
import { neighbourhoodOf } from '../policy/network-table.ts'
import type { Transaction } from '../session/transaction.ts'

/** 96 bits: enough that no two of a million are ever alike. */
export function hashedKey(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest().subarray(0, 12).toString('base64url')
}

/** The /24 or /64 of the remote, `null` without an address. */
export function networkOf({ facts }: Transaction): string | null {
  return facts.remote.ip === null ? null : neighbourhoodOf(facts.remote.ip)
}

/** A stranger: of no network that is configured as ours, and not logged in. */
export function isStranger({ facts }: Transaction): boolean {
  return facts.remote.networkClass === 'public' && facts.authUser === null && !facts.mayRelay
}
