/**
 * For tests: a disk that loses power. It remembers what is on the medium and nothing more: contents as of the last
 * fsync of a file, names as of the last fsync of the folder. After the cut every operation hangs, like a dead process.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { nodeDisk, type Disk, type OpenFile } from '../services/gateway/spool/disk.ts'

export type PowerCutDisk = Disk & {
  /** Operations that touched the medium so far. */
  readonly stepCount: number
  /** Writes what the medium holds into another folder. */
  restoreInto(folder: string): Promise<void>
}

/** `cutAtStep`: the operation that the power does not last for; it and all later ones never end. */
export function powerCutDisk(cutAtStep: number): PowerCutDisk {
  const contents = new Map<string, Buffer>()
  const names = new Set<string>()
  const pendingNames = new Map<string, 'created' | 'removed'>()
  const pathOf = new Map<OpenFile, string>()
  let stepCount = 0
  async function step<Result>(run: () => Promise<Result>): Promise<Result> {
    stepCount += 1
    if (stepCount >= cutAtStep) return new Promise(() => {})
    const result = await run()
    // What was under way at the cut may have reached the medium, but nobody was told.
    return stepCount >= cutAtStep ? new Promise(() => {}) : result
  }
  return {
    ...nodeDisk,
    get stepCount() {
      return stepCount
    },
    create: (path) =>
      step(async () => {
        const file = await nodeDisk.create(path)
        pathOf.set(file, path)
        pendingNames.set(basename(path), 'created')
        return file
      }),
    writeAt: (file, buffers, position) => step(() => nodeDisk.writeAt(file, buffers, position)),
    truncate: (file, length) => step(() => nodeDisk.truncate(file, length)),
    remove: (path) =>
      step(async () => {
        await nodeDisk.remove(path)
        pendingNames.set(basename(path), 'removed')
      }),
    sync: (file) =>
      step(async () => {
        await nodeDisk.sync(file)
        const path = pathOf.get(file)!
        contents.set(basename(path), await readFile(path))
      }),
    syncFolder: (path) =>
      step(async () => {
        await nodeDisk.syncFolder(path)
        for (const [name, change] of pendingNames) {
          if (change === 'created') names.add(name)
          else names.delete(name)
        }
        pendingNames.clear()
      }),
    async restoreInto(folder) {
      for (const name of names) await writeFile(join(folder, name), contents.get(name) ?? Buffer.alloc(0))
    },
  }
}
