/**
 * Puts a file under its final name once, whole and durable, or not at all.
 *
 * Why    a link to a name that exists fails, where a rename would replace what stands there.
 * Fails  throws the system's error; what was half written is removed.
 */
import { randomUUID } from 'node:crypto'
import { link, mkdir, open, readdir, rm, unlink, type FileHandle } from 'node:fs/promises'
import path from 'node:path'

const unfinished = 'unfinished'

/** `write` returns the name that the file is to have in `folder`, which may depend on what was written. */
export async function writeOnce(
  root: string,
  folder: string,
  write: (file: FileHandle) => Promise<string>,
): Promise<void> {
  await mkdir(path.join(root, unfinished), { recursive: true })
  const target = path.join(root, folder)
  if ((await mkdir(target, { recursive: true })) !== undefined) await syncFolder(root)
  const draft = path.join(root, unfinished, randomUUID())
  const file = await open(draft, 'wx', 0o440)
  try {
    let name: string
    try {
      name = await write(file)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(draft, path.join(target, name))
    await syncFolder(target)
  } finally {
    await unlink(draft)
  }
}

/** What a killed process left; nobody was told that it was kept. */
export async function removeUnfinished(root: string): Promise<void> {
  const folder = path.join(root, unfinished)
  await mkdir(folder, { recursive: true })
  for (const name of await readdir(folder)) await rm(path.join(folder, name), { force: true })
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
