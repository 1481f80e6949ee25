/** A file that somebody named on the command line, or why it cannot be read, as their mistake. */
import { readFileSync } from 'node:fs'
import { UsageError } from './outcome.ts'

export function readInput(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null
    if (code === 'ENOENT') throw new UsageError(`${path}: there is no such file.`)
    if (code === 'EISDIR') throw new UsageError(`${path}: this is a folder, and a file is needed.`)
    if (code === 'EACCES') throw new UsageError(`${path}: this user has no right to read the file.`)
    throw error
  }
}
