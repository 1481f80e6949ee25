/** Reads an archive: what stands in it, and whether it is still what was put there. Changes nothing. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { parsedArchiveName, type ArchiveEnvelope, type ArchiveName } from './archive-entry.ts'

export type ArchivedFile = ArchiveName & { file: string }

/** Files with a name of ours, by day and id. */
export async function* archivedFiles(root: string): AsyncGenerator<ArchivedFile> {
  const days = (await readdir(root)).filter((name) => /^\d{4}-\d\d-\d\d$/.test(name)).sort()
  for (const day of days) {
    for (const name of (await readdir(path.join(root, day))).sort()) {
      const parsed = parsedArchiveName(name)
      if (parsed !== null) yield { ...parsed, file: path.join(root, day, name) }
    }
  }
}

export async function* archivedEnvelopes(root: string): AsyncGenerator<ArchiveEnvelope> {
  for await (const { file, extension } of archivedFiles(root)) {
    if (extension === 'json') yield JSON.parse(await readFile(file, 'utf8')) as ArchiveEnvelope
  }
}

export type ArchiveFault = { file: string; message: string }
export type ArchiveCheck = { messageCount: number; faults: ArchiveFault[] }

/** Every octet of every message is read. */
export async function checkArchive(root: string): Promise<ArchiveCheck> {
  const messages = new Map<string, ArchivedFile>()
  const envelopes: ArchivedFile[] = []
  const faults: ArchiveFault[] = []
  for await (const found of archivedFiles(root)) {
    if (found.extension === 'eml') messages.set(found.id, found)
    else envelopes.push(found)
    if ((await digestOf(found.file)) !== found.sha256) faults.push({ file: found.file, message: 'its content was changed' })
  }
  for (const { id, keepUntil, file } of envelopes) {
    const message = messages.get(id)
    messages.delete(id)
    if (message === undefined) {
      faults.push({ file, message: 'its message is missing' })
      continue
    }
    const envelope = await readEnvelope(file)
    if (envelope === null) faults.push({ file, message: 'is no envelope' })
    else if (envelope.id !== id || envelope.keepUntil !== keepUntil || message.keepUntil !== keepUntil || envelope.sha256 !== message.sha256) {
      faults.push({ file, message: 'names and envelope do not agree' })
    }
  }
  // The gateway was stopped between the two: that message was never acknowledged, or its envelope was taken away.
  for (const { file } of messages.values()) faults.push({ file, message: 'its envelope is missing; see whether the event log has the message' })
  return { messageCount: envelopes.length, faults }
}

export async function readEnvelope(file: string): Promise<ArchiveEnvelope | null> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ArchiveEnvelope
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

export async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
