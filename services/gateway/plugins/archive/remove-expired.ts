/**
 * Removes what is past its time, unless it is held.
 *
 * Limits  names tell what may go; the envelope, unchanged, must say the same, or the message stays.
 */
import { rmdir, unlink } from 'node:fs/promises'
import path from 'node:path'
import { dayNumber } from './archive-entry.ts'
import { noteAction, readHolds } from './archive-holds.ts'
import { archivedFiles, digestOf, readEnvelope, type ArchivedFile } from './read-archive.ts'

/** Resolves to the number of messages that were removed. */
export async function removeExpired(root: string, nowMs: number): Promise<number> {
  const today = dayNumber(nowMs)
  const messages = new Map<string, ArchivedFile>()
  const due: ArchivedFile[] = []
  for await (const found of archivedFiles(root)) {
    if (found.keepUntil === null || found.keepUntil >= today) continue
    if (found.extension === 'eml') messages.set(found.id, found)
    else due.push(found)
  }
  let count = 0
  for (const { id, keepUntil, sha256, file } of due) {
    const message = messages.get(id)
    const envelope = (await digestOf(file)) === sha256 ? await readEnvelope(file) : null
    if (envelope === null || envelope.id !== id || envelope.keepUntil !== keepUntil || message?.keepUntil !== keepUntil) continue
    // Asked for each: a hold set a moment ago counts.
    if ((await readHolds(root)).isHeld(id)) continue
    await noteAction(root, { action: 'expired', id, keepUntil: String(keepUntil), sha256: envelope.sha256 })
    await unlink(message.file)
    await unlink(file)
    count += 1
    await rmdir(path.dirname(file)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  }
  return count
}
