/** Programs of the system that a bench measures itself against. A missing one is an error that names its package. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { MissingPeer } from './bench.ts'

export function findProgram(name: string, packageName: string): string {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin']
  const found = folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file))
  if (found === undefined) throw new MissingPeer(`${name} is missing: install the package ${packageName}`)
  return found
}
