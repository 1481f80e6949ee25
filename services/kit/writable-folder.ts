/**
 * Makes a folder and proves that octets can be written to it, now and in one error rather than by the first mail.
 *
 * Why    level by level: Node's recursive mkdir answers ENOENT where a level is read-only, which says nothing.
 * Fails  throws the system's error with its path: EROFS, EACCES, ENOSPC, ENOTDIR or EEXIST.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** More than fits into an inode or a last free block. */
const probeBytes = 64 * 1024

export function ensureWritableFolder(path: string): void {
  makeFolder(path)
  const probe = join(path, `write-check-${randomUUID()}`)
  try {
    writeFileSync(probe, Buffer.alloc(probeBytes))
  } finally {
    rmSync(probe, { force: true })
  }
}

export function makeFolder(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory() === true) return
  if (found === undefined && dirname(path) !== path) makeFolder(dirname(path))
  try {
    mkdirSync(path)
  } catch (error) {
    // Another start made it at the same moment.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error
  }
}
