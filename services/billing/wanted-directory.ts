/** A directory as the tables hold it: addresses normalised, every fault of it found before anything is written. */
import { normalizedAddress, type AddressNormalization } from '../contracts/address.ts'
import type { DirectoryFile } from '../contracts/directory.ts'

export type WantedDirectory = {
  clients: { clientId: string; name: string; parentId: string | null; state: string }[]
  addresses: { address: string; clientId: string }[]
}

/** The directory cannot be imported; every reason stands in `faults`. */
export class DirectoryFault extends Error {
  override name = 'DirectoryFault'
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(`The directory was not imported: ${faults.join('; ')}`)
    this.faults = faults
  }
}

export function wantedDirectory(directory: DirectoryFile, normalization: AddressNormalization): WantedDirectory {
  const faults: string[] = []
  const clients = new Map<string, DirectoryFile['clients'][number]>()
  for (const client of directory.clients) {
    if (client.id === 'house')
      faults.push('client "house": the name stands for addresses that nobody holds, take another')
    if (clients.has(client.id)) faults.push(`client "${client.id}" is listed twice: keep one`)
    clients.set(client.id, client)
  }
  const ownerOf = new Map<string, string>()
  for (const client of directory.clients) {
    for (const written of client.addresses) {
      const address = normalizedAddress(written, normalization)
      const owner = ownerOf.get(address)
      if (owner !== undefined && owner !== client.id) {
        faults.push(`address ${address} is listed for two clients, "${owner}" and "${client.id}": take it from one`)
      }
      if (owner === undefined) ownerOf.set(address, client.id)
    }
    const { parent } = client
    if (parent !== undefined && !clients.has(parent))
      faults.push(`client "${client.id}": its parent "${parent}" is not in the directory`)
    else if (isOwnAncestor(client.id, clients))
      faults.push(`client "${client.id}" is its own ancestor: break the circle of parents`)
  }
  if (faults.length > 0) throw new DirectoryFault(faults)
  return {
    clients: directory.clients.map(({ id, name, parent, state }) => ({
      clientId: id,
      name,
      parentId: parent ?? null,
      state: state ?? 'active',
    })),
    addresses: [...ownerOf].map(([address, clientId]) => ({ address, clientId })),
  }
}

function isOwnAncestor(id: string, clients: ReadonlyMap<string, { parent?: string }>): boolean {
  let ancestor = clients.get(id)?.parent
  // Longer than there are clients: a circle further up, which is told of the clients in it.
  for (let steps = 0; ancestor !== undefined && steps <= clients.size; steps += 1) {
    if (ancestor === id) return true
    ancestor = clients.get(ancestor)?.parent
  }
  return false
}
