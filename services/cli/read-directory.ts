/** A file of clients and addresses, or every fault in it. */
import { DirectoryFile } from '../contracts/directory.ts'
import { faultText } from '../kit/fault.ts'
import { readYaml } from '../kit/read-yaml.ts'

export function readDirectory(text: string, path: string): { directory: DirectoryFile } | { faults: string[] } {
  const { value, faults } = readYaml(DirectoryFile, text, path)
  return faults.length === 0 ? { directory: value } : { faults: faults.map(faultText) }
}
