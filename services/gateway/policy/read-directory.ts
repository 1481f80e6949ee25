/**
 * The directory file: clients and their addresses, as YAML or JSON in the shape of contracts/directory.ts.
 *
 * Owns    every fault in it, with its line.
 * Fails   never throws for what the file says; for a file that cannot be read it throws.
 */
import { DirectoryFile, type DirectoryClient } from '../../contracts/directory.ts'
import { faultText, type Fault } from '../../kit/fault.ts'
import { readYaml } from '../../kit/read-yaml.ts'

export type DirectoryReading = { clients: DirectoryClient[] } | { faults: string[] }

/** Faults that are shown; a file of the wrong kind has as many as it has lines. */
const shownFaults = 20

export function readDirectoryText(text: string, file: string): DirectoryReading {
  const fast = file.endsWith('.json') ? fromJson(text) : null
  const reading =
    fast === null ? readYaml(DirectoryFile, text, file) : { value: fast, faults: [] as Fault[], placeOf: null }
  const faults = reading.faults.map(faultText)
  if (reading.value?.clients !== undefined && faults.length === 0) {
    faults.push(
      ...conflicts(reading.value.clients).map(
        ({ field, text: message }) => `${placeText(reading, field, file)}${message}`,
      ),
    )
  }
  if (faults.length === 0) return { clients: reading.value.clients }
  const more = faults.length - shownFaults
  return { faults: more > 0 ? [...faults.slice(0, shownFaults), `and ${more} more`] : faults }
}

type Placed = { placeOf: ((field: string) => { line: number | null }) | null }

function placeText({ placeOf }: Placed, field: string, file: string): string {
  const line = placeOf?.(field).line ?? null
  return line === null ? `${file}: ${field}: ` : `${file}:${line}: ${field}: `
}

/**
 * A large list is written as JSON by a program: read natively where it has the right shape. `null`: let the slower
 * reader say what is wrong, and where.
 */
function fromJson(text: string): DirectoryFile | null {
  try {
    const value: unknown = JSON.parse(text)
    return isDirectoryFile(value) ? value : null
  } catch {
    return null
  }
}

const idPattern = /^[a-z0-9][a-z0-9._-]{0,62}$/
const addressPattern = /^[^@\s]+@[^@\s]+$/
const clientKeys = new Set(['id', 'name', 'parent', 'state', 'addresses'])

function isDirectoryFile(value: unknown): value is DirectoryFile {
  if (typeof value !== 'object' || value === null || Object.keys(value).join() !== 'clients') return false
  const { clients } = value as { clients: unknown }
  return Array.isArray(clients) && clients.every(isClient)
}

function isClient(value: unknown): value is DirectoryClient {
  if (typeof value !== 'object' || value === null) return false
  const { id, name, parent, state, addresses } = value as Record<string, unknown>
  return (
    Object.keys(value).every((key) => clientKeys.has(key)) &&
    typeof id === 'string' &&
    idPattern.test(id) &&
    typeof name === 'string' &&
    name.length > 0 &&
    name.length <= 200 &&
    (parent === undefined || typeof parent === 'string') &&
    (state === undefined ||
      ['active', 'blocked', 'balance-exhausted', 'quota', 'expired', 'not-started'].includes(state as string)) &&
    Array.isArray(addresses) &&
    addresses.every((address) => typeof address === 'string' && addressPattern.test(address))
  )
}

/** What one client says against another. */
function conflicts(clients: readonly DirectoryClient[]): { field: string; text: string }[] {
  const found: { field: string; text: string }[] = []
  const ids = new Map<string, number>()
  const holders = new Map<string, string>()
  clients.forEach((client, index) => {
    const earlier = ids.get(client.id)
    if (earlier !== undefined)
      found.push({
        field: `clients[${index}].id`,
        text: `"${client.id}" is also the id of clients[${earlier}]. Give every client an id of its own.`,
      })
    ids.set(client.id, index)
    client.addresses.forEach((address, position) => {
      const key = address.toLowerCase()
      const holder = holders.get(key)
      if (holder !== undefined && holder !== client.id) {
        found.push({
          field: `clients[${index}].addresses[${position}]`,
          text: `"${address}" also belongs to client "${holder}". Leave it with one of the two.`,
        })
      }
      holders.set(key, client.id)
    })
  })
  return found
}
