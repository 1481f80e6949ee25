/**
 * The directory as it is in force: read from its file, guarded, and swapped whole (SYSTEMS X4, X5).
 *
 * Owns    when the file is read again, and which content serves: the newest good one.
 * Leaves  what an address may do to decide-recipient.ts.
 * Why     an export that failed half-way must not turn away a whole company's mail: an empty or much smaller list
 *         never replaces a good one, neither while running nor at a start. The last good one is kept in the policy
 *         folder; to put a much smaller list into service, remove that copy and start again.
 * Fails   an unusable file keeps the old content as `stale`; without any, everybody unknown is answered 4xx.
 */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from 'pino'
import type { AddressNormalization } from '../../contracts/address.ts'
import type { DirectoryClient } from '../../contracts/directory.ts'
import { directoryOf, emptyDirectory, withStatus, type Directory } from './directory.ts'
import { readDirectoryText } from './read-directory.ts'

export type DirectorySourceOptions = {
  file: string
  /** Where the last good content is kept. */
  policyFolder: string
  normalization: AddressNormalization
  log: Logger
}

/** A list of at least this many addresses may not lose more than half of them at once. */
const guardedCount = 20

export class DirectorySource {
  current: Directory = emptyDirectory('unavailable')
  readonly #options: DirectorySourceOptions
  #stamp = ''
  #complaint = ''

  constructor(options: DirectorySourceOptions) {
    this.#options = options
  }

  /** The kept content first, then the file. */
  async open(): Promise<void> {
    const kept = await this.#readKept()
    if (kept !== null) this.current = withStatus(kept, 'stale')
    await this.refresh()
  }

  /** Reads the file if it changed since, or always when told so. Resolves to whether `current` changed. */
  async refresh(isForced = false): Promise<boolean> {
    const before = this.current
    try {
      const { file, normalization } = this.#options
      const { mtimeMs, size, ino } = await stat(file)
      const stamp = `${mtimeMs} ${size} ${ino}`
      if (stamp === this.#stamp && !isForced) return false
      const reading = readDirectoryText(await readFile(file, 'utf8'), file)
      this.#stamp = stamp
      if ('faults' in reading) return this.#keepOld(`the directory has faults: ${reading.faults.join('; ')}`)
      const next = directoryOf(reading.clients, normalization)
      const danger = this.#dangerOf(next)
      if (danger !== null) return this.#keepOld(danger)
      this.#complaint = ''
      if (next.hash === before.hash && before.status === 'current') return false
      this.current = next
      await this.#keep(reading.clients)
      this.#options.log.info(
        { addresses: next.addressCount, clients: next.clientCount, version: next.version },
        'The directory is in force',
      )
      return true
    } catch (error) {
      this.#stamp = ''
      return this.#keepOld(`the directory ${this.#options.file} cannot be read: ${(error as Error).message}`)
    }
  }

  #dangerOf(next: Directory): string | null {
    const { addressCount } = this.current
    const place = `${this.#options.file} now holds ${next.addressCount} addresses instead of ${addressCount}`
    const remedy = `if that is meant, remove ${this.#keptFile} and start again`
    if (next.addressCount === 0 && addressCount > 0) return `${place}; ${remedy}`
    return addressCount >= guardedCount && next.addressCount < addressCount / 2 ? `${place}; ${remedy}` : null
  }

  #keepOld(complaint: string): boolean {
    const { log } = this.#options
    const isServing = this.current.hash !== null
    const consequence = isServing
      ? 'the last good one stays in force, unknown recipients are deferred'
      : 'all recipients are deferred'
    if (complaint !== this.#complaint) log.error(`${complaint}: ${consequence}`)
    this.#complaint = complaint
    if (!isServing || this.current.status === 'stale') return false
    this.current = withStatus(this.current, 'stale')
    return true
  }

  get #keptFile(): string {
    return path.join(this.#options.policyFolder, 'directory.json')
  }

  async #readKept(): Promise<Directory | null> {
    try {
      const reading = readDirectoryText(await readFile(this.#keptFile, 'utf8'), this.#keptFile)
      if ('clients' in reading) return directoryOf(reading.clients, this.#options.normalization)
      this.#options.log.error(`The last good directory is damaged: ${reading.faults.join('; ')}`)
    } catch (error) {
      const isFirstStart = (error as NodeJS.ErrnoException).code === 'ENOENT'
      if (!isFirstStart) this.#options.log.error(error, 'The last good directory cannot be read')
    }
    return null
  }

  async #keep(clients: readonly DirectoryClient[]): Promise<void> {
    try {
      await mkdir(this.#options.policyFolder, { recursive: true })
      await writeFile(`${this.#keptFile}.new`, JSON.stringify({ clients }), { mode: 0o600 })
      await rename(`${this.#keptFile}.new`, this.#keptFile)
    } catch (error) {
      this.#options.log.error(error, 'The last good directory could not be kept')
    }
  }
}
