/**
 * The directory in memory: which client holds an address, and whether that client may receive.
 *
 * Owns    look-up by address and by `*@domain`.
 * Leaves  reading and guarding the file to directory-source.ts.
 */
import { createHash } from 'node:crypto'
import { domainOf, normalizedAddress, type AddressNormalization } from '../../contracts/address.ts'
import type { ClientState, DirectoryClient } from '../../contracts/directory.ts'

/** `isByDomain`: found by `*@domain`, not by its own name. */
export type DirectoryEntry = { clientId: string; state: ClientState; isByDomain: boolean }

/**
 * none         no directory is configured
 * current      as the file is now
 * stale        the file cannot be used at present; an older content serves
 * unavailable  the file cannot be used, and there is no older content
 */
export type DirectoryStatus = 'none' | 'current' | 'stale' | 'unavailable'

export type Directory = {
  status: DirectoryStatus
  /** sha256 of the content in canonical order; `null` where there is none. */
  hash: string | null
  /** Short form of the hash, as events carry it. */
  version: string | null
  addressCount: number
  clientCount: number
  find(normalized: string): DirectoryEntry | null
}

export function emptyDirectory(status: 'none' | 'unavailable'): Directory {
  return { status, hash: null, version: null, addressCount: 0, clientCount: 0, find: () => null }
}

export function withStatus(directory: Directory, status: DirectoryStatus): Directory {
  return { ...directory, status }
}

export function directoryOf(clients: readonly DirectoryClient[], normalization: AddressNormalization): Directory {
  const addresses = new Map<string, DirectoryEntry>()
  const wildcards = new Map<string, DirectoryEntry>()
  for (const client of clients) {
    const entry = { clientId: client.id, state: client.state ?? 'active', isByDomain: false }
    const domainEntry = { ...entry, isByDomain: true }
    for (const address of client.addresses) {
      const normalized = normalizedAddress(address, normalization)
      if (normalized.startsWith('*@')) wildcards.set(normalized.slice(2), domainEntry)
      else addresses.set(normalized, entry)
    }
  }
  const hash = hashOf(clients)
  return {
    status: 'current',
    hash,
    version: hash.slice(0, 16),
    addressCount: addresses.size + wildcards.size,
    clientCount: clients.length,
    find: (normalized) => addresses.get(normalized) ?? wildcards.get(domainOf(normalized)) ?? null,
  }
}

/** Equal content has one hash, whatever the order of its clients and addresses. */
function hashOf(clients: readonly DirectoryClient[]): string {
  const hash = createHash('sha256')
  for (const client of [...clients].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const { id, name, parent = null, state = 'active' } = client
    hash.update(JSON.stringify([id, name, parent, state, [...client.addresses].sort()]))
  }
  return hash.digest('hex')
}
