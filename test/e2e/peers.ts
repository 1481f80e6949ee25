/**
 * Programs that Debian provides for the peer tests. In CI a missing one is a failure; elsewhere the test is skipped
 * and its name says which package to install.
 */
import { accessSync, constants } from 'node:fs'
import path from 'node:path'

export type Peer = { path: string; isMissing: boolean; label: string }

export function peer(command: string, debianPackage: string): Peer {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/bin', '/usr/local/bin']
  const found = folders.map((folder) => path.join(folder, command)).find(isExecutable)
  if (found !== undefined) return { path: found, isMissing: false, label: '' }
  if (process.env['CI'] !== undefined) throw new Error(`${command} is missing: apt-get install ${debianPackage}`)
  return { path: command, isMissing: true, label: ` (skipped without ${command}: apt-get install ${debianPackage})` }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
