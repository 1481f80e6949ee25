/** A change of the directory as a sentence without its full stop. */
import type { DirectoryChange } from '../import-directory.ts'

export function directoryChangeText(change: DirectoryChange): string {
  switch (change.kind) {
    case 'client-added':
      return `client ${change.clientId} is new: ${change.name}`
    case 'client-renamed':
      return `client ${change.clientId}: ${change.from} is now ${change.to}`
    case 'client-parent-changed':
      return `client ${change.clientId}: parent ${change.from ?? 'none'} is now ${change.to ?? 'none'}`
    case 'client-state-changed':
      return `client ${change.clientId}: ${change.from} is now ${change.to}`
    case 'address-gained':
      return `${change.address} goes to ${change.clientId}${change.at === null ? '' : ` from ${change.at.toISOString()}`}`
    case 'address-lost':
      return `${change.address} leaves ${change.clientId} from ${change.at.toISOString()}`
    case 'address-moved':
      return `${change.address} moves from ${change.fromClientId} to ${change.clientId} from ${change.at.toISOString()}`
  }
}
