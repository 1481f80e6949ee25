/** Legal hold: while a hold stands, a message, or the whole archive, is not removed. Who set it and why is kept. */
import { appendFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { syncFolder } from './write-once.ts'

const all = 'all'

export type Holds = { isHeld(id: string): boolean; ids: readonly string[] }

export async function readHolds(root: string): Promise<Holds> {
  const names = await readdir(folderOf(root)).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    // Unreadable holds are no reason to remove anything.
    throw error
  })
  const held = new Set(names.map((name) => name.replace(/\.json$/, '')))
  return { isHeld: (id) => held.has(all) || held.has(id), ids: [...held] }
}

/** `id` null: everything. False where it stands already. */
export async function setHold(root: string, id: string | null, reason: string): Promise<boolean> {
  await mkdir(folderOf(root), { recursive: true })
  try {
    await writeFile(fileOf(root, id), `${JSON.stringify({ at: new Date().toISOString(), reason })}\n`, { flag: 'wx', flush: true })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  await syncFolder(folderOf(root))
  await noteAction(root, { action: 'hold', id: id ?? all, reason })
  return true
}

/** False where none stands. */
export async function endHold(root: string, id: string | null): Promise<boolean> {
  try {
    await rm(fileOf(root, id))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
  await noteAction(root, { action: 'unhold', id: id ?? all })
  return true
}

/** What was done to the archive, a line each, for whoever asks later where a message went. */
export async function noteAction(root: string, fields: Record<string, string>): Promise<void> {
  await appendFile(path.join(root, 'actions.jsonl'), `${JSON.stringify({ at: new Date().toISOString(), ...fields })}\n`, { flush: true })
}

function folderOf(root: string): string {
  return path.join(root, 'holds')
}

function fileOf(root: string, id: string | null): string {
  return path.join(folderOf(root), `${id ?? all}.json`)
}
