/** For tests: the real disk, with its operations listed in order, and a hook before each that may delay or fail it. */
import { basename } from 'node:path'
import { nodeDisk, type Disk, type OpenFile } from '../services/gateway/spool/disk.ts'

export type DiskStep = { operation: 'create' | 'write' | 'sync' | 'sync-folder' | 'truncate' | 'close' | 'remove' | 'rename'; name: string }

export type WatchedDisk = Disk & {
  /** Steps that are over, in the order in which they ended. */
  readonly steps: DiskStep[]
  /** Awaited before each step; what it throws is what the disk says. */
  before: (step: DiskStep) => void | Promise<void>
}

export function watchedDisk(): WatchedDisk {
  const names = new Map<OpenFile, string>()
  const steps: DiskStep[] = []
  async function step<Result>(operation: DiskStep['operation'], name: string, run: () => Promise<Result>): Promise<Result> {
    await disk.before({ operation, name })
    const result = await run()
    steps.push({ operation, name })
    return result
  }
  const nameOf = (file: OpenFile) => names.get(file) ?? 'unknown'
  const disk: WatchedDisk = {
    ...nodeDisk,
    steps,
    before: () => {},
    create: (path) =>
      step('create', basename(path), async () => {
        const file = await nodeDisk.create(path)
        names.set(file, basename(path))
        return file
      }),
    writeAt: (file, buffers, position) => step('write', nameOf(file), () => nodeDisk.writeAt(file, buffers, position)),
    sync: (file) => step('sync', nameOf(file), () => nodeDisk.sync(file)),
    syncFolder: (path) => step('sync-folder', basename(path), () => nodeDisk.syncFolder(path)),
    truncate: (file, length) => step('truncate', nameOf(file), () => nodeDisk.truncate(file, length)),
    close: (file) => step('close', nameOf(file), () => nodeDisk.close(file)),
    remove: (path) => step('remove', basename(path), () => nodeDisk.remove(path)),
    rename: (from, to) => step('rename', basename(from), () => nodeDisk.rename(from, to)),
  }
  return disk
}

export function diskFull(): NodeJS.ErrnoException {
  return Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
}
