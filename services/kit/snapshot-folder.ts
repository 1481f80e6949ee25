/**
 * A folder with hash-named texts and the file `current`, which names the one that holds.
 *
 * Owns    that a reader sees a whole text or none: each is written aside, synced and renamed before `current` names it.
 * Limits  the last twenty texts are kept for those who look; only the one that `current` names is read.
 * Fails   reading: `null` where there is no `current`; a text that is missing, cut off or changed is an error.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'

const keptTexts = 20

export type FolderSnapshot = { hash: string; text: string }

export function snapshotTextHash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Writes also what is there already, so that a damaged file is mended. Returns the hash. */
export async function writeSnapshotText(folder: string, text: string): Promise<string> {
  const hash = snapshotTextHash(text)
  await mkdir(folder, { recursive: true })
  await replaceFile(path.join(folder, `${hash}.json`), text)
  await replaceFile(path.join(folder, 'current'), `${hash}\n`)
  await removeOldTexts(folder, hash)
  return hash
}

/** The hash that `current` names, or `null` where there is none or it names nothing. */
export async function currentSnapshotHash(folder: string): Promise<string | null> {
  try {
    const text = (await readFile(path.join(folder, 'current'), 'utf8')).trim()
    return /^[0-9a-f]{64}$/.test(text) ? text : null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

export async function readSnapshotText(folder: string): Promise<FolderSnapshot | null> {
  const hash = await currentSnapshotHash(folder)
  if (hash === null) return null
  const text = await readFile(path.join(folder, `${hash}.json`), 'utf8')
  if (snapshotTextHash(text) !== hash) throw new Error(`${path.join(folder, `${hash}.json`)} is not what was published`)
  return { hash, text }
}

async function replaceFile(file: string, text: string): Promise<void> {
  const aside = `${file}.${randomUUID()}.part`
  const handle = await open(aside, 'wx', 0o644)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(aside, file)
  // The new name is durable only with its folder.
  const folder = await open(path.dirname(file), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

async function removeOldTexts(folder: string, current: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{64}\.json$/.test(name) && !name.startsWith(current))
  if (names.length < keptTexts) return
  const aged = await Promise.all(
    names.map(async (name) => ({ name, ms: (await stat(path.join(folder, name)).catch(() => null))?.mtimeMs ?? 0 })),
  )
  for (const { name } of aged.sort((left, right) => right.ms - left.ms).slice(keptTexts - 1)) {
    await rm(path.join(folder, name), { force: true })
  }
}
