/**
 * `<data>/instance.json`: who runs on this data folder, so that a command finds the database and a second start
 * is refused.
 *
 * Owns    the file; its mode is 0600, as the database URL holds a password.
 * Limits  whether its writer still lives is told by process id and, where /proc tells it, by the time the process
 *         started: after a restart of the machine another process may have the id.
 * Known weakness  two starts at the same instant over the file of a dead process may both take the folder.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ensureWritableFolder } from './writable-folder.ts'

export type Instance = {
  pid: number
  /** Clock ticks since boot at which the process started; `null` where the system does not tell. */
  processStartTicks: string | null
  startedAt: string
  isDemo: boolean
  tenant: string
  databaseUrl: string
  /** `null` until the part listens. */
  httpUrl: string | null
  smtpAddresses: string[]
  /** Process ids of the parts by role. */
  roles: Record<string, number>
}

const fileName = 'instance.json'

/**
 * Takes the folder for this instance, making it where needed. Returns the instance that has it already, else `null`.
 */
export function claimDataFolder(dataFolder: string, instance: Instance): Instance | null {
  ensureWritableFolder(dataFolder)
  const path = join(dataFolder, fileName)
  const temporary = writeTemporary(path, instance)
  try {
    for (;;) {
      const other = runningInstance(dataFolder)
      if (other !== null) return other
      if (linkUnlessThere(temporary, path)) return null
      // Left by a dead process, or taken at this moment by another start, which the next look then sees alive.
      if (runningInstance(dataFolder) === null) rmSync(path, { force: true })
    }
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** Replaces the file as a whole: a reader never sees half of it. */
export function writeInstance(dataFolder: string, instance: Instance): void {
  const path = join(dataFolder, fileName)
  renameSync(writeTemporary(path, instance), path)
}

function writeTemporary(path: string, instance: Instance): string {
  const temporary = `${path}.${process.pid}.new`
  writeFileSync(temporary, `${JSON.stringify(instance, null, 2)}\n`, { mode: 0o600 })
  return temporary
}

/** Unlike a rename, a link never replaces what another start wrote in the meantime. */
function linkUnlessThere(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false
    throw error
  }
}

/** The instance that runs on this folder, or `null` where none does: a file left by a dead process counts as none. */
export function runningInstance(dataFolder: string): Instance | null {
  const instance = readInstance(dataFolder)
  return instance !== null && isAlive(instance) ? instance : null
}

export function removeInstance(dataFolder: string): void {
  rmSync(join(dataFolder, fileName), { force: true })
}

/** `null` too for a file that is torn or from another version: it cannot be believed. */
function readInstance(dataFolder: string): Instance | null {
  let text: string
  try {
    text = readFileSync(join(dataFolder, fileName), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return null
    throw error
  }
  try {
    const value = JSON.parse(text) as Partial<Instance> | null
    return value !== null && typeof value.pid === 'number' && typeof value.databaseUrl === 'string' ? (value as Instance) : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

function isAlive(instance: Instance): boolean {
  try {
    process.kill(instance.pid, 0)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false
    // EPERM: somebody else's process, so it lives.
  }
  const startTicks = startTicksOf(instance.pid)
  return instance.processStartTicks === null || startTicks === null || startTicks === instance.processStartTicks
}

/** Field 22 of /proc/<pid>/stat; the name in parentheses before it may hold spaces. */
export function startTicksOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}
