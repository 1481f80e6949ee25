/** A file of clients and addresses, or every fault in it. */
import { readFileSync } from 'node:fs'
import { DirectoryFile } from '../contracts/directory.ts'
import { faultText } from '../kit/fault.ts'
import { readYaml } from '../kit/read-yaml.ts'

export function readDirectory(text: string, path: string): { directory: DirectoryFile } | { faults: string[] } {
  const { value, faults } = readYaml(DirectoryFile, text, path)
  return faults.length === 0 ? { directory: value } : { faults: faults.map(faultText) }
}

/** For a file that the product itself brings along. */
export function readOwnDirectory(path: string): DirectoryFile {
  const reading = readDirectory(readFileSync(path, 'utf8'), path)
  if ('faults' in reading) throw new Error(reading.faults.join('\n'))
  return reading.directory
}
