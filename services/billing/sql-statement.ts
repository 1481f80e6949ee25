/** The plain SQL files of this folder, read once at start and found from source and from dist alike. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { packageRoot } from '../kit/package-root.ts'

export function sqlStatement(fileName: string): string {
  return readFileSync(path.join(packageRoot, 'services', 'billing', fileName), 'utf8')
}
