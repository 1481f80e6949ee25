/**
 * A bounded table of numbers by key that survives restarts: a file of lines, appended to and now and then written
 * anew.
 *
 * Owns    its file, in which a later line of a key replaces an earlier one.
 * Limits  `maxEntries`, the longest unused go first; the file has at most three lines for each and 10,000 more.
 * Why     a line that a death cut off has no line end and is dropped; a file written anew takes the place of the
 *         old one by a rename. What is lost is the last half second, and nothing else.
 * Fails   a disk that fails is told to the operator once; the table goes on in memory and tries again.
 */
import { open, readFile, rename, rm, type FileHandle } from 'node:fs/promises'
import { BoundedCache } from './bounded-cache.ts'

export type RememberedTableOptions = {
  file: string
  maxEntries: number
  /** Whether an entry is still worth keeping; asked when the file is written anew. */
  isLive: (values: readonly number[], nowMs: number) => boolean
  nowMs: () => number
  warn: (text: string) => void
}

const flushMs = 500
const spareLines = 10_000
const linePattern = /^([A-Za-z0-9_-]{1,64})((?: \d{1,16}){1,4})$/

export class RememberedTable {
  readonly #options: RememberedTableOptions
  readonly #entries: BoundedCache<readonly number[]>
  #lines: string[] = []
  #file: FileHandle | null = null
  #lineCount = 0
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> = Promise.resolve()
  #isFailing = false

  private constructor(options: RememberedTableOptions) {
    this.#options = options
    this.#entries = new BoundedCache(options.maxEntries)
  }

  /** Reads what is there, leaving out what is torn or over. Rejects where the folder cannot be used. */
  static async open(options: RememberedTableOptions): Promise<RememberedTable> {
    const table = new RememberedTable(options)
    const text = await readFile(options.file, 'latin1').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    const nowMs = options.nowMs()
    const end = text.lastIndexOf('\n')
    for (const line of end < 0 ? [] : text.slice(0, end).split('\n')) {
      const match = linePattern.exec(line)
      if (match === null) continue
      const values = match[2]!.slice(1).split(' ').map(Number)
      if (options.isLive(values, nowMs)) table.#entries.set(match[1]!, values)
      else table.#entries.delete(match[1]!)
    }
    await table.#writeAnew()
    return table
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string): readonly number[] | undefined {
    return this.#entries.get(key)
  }

  /** At most four whole numbers from 0. */
  set(key: string, values: readonly number[]): void {
    this.#entries.set(key, values)
    // While the disk fails, the whole table waits to be written, not its lines.
    if (!this.#isFailing) this.#lines.push(`${key} ${values.join(' ')}\n`)
    this.#timer ??= setTimeout(() => void this.flush(), flushMs).unref()
  }

  /** Hands what is new to the system. Never rejects. */
  flush(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#writing = this.#writing.then(() => this.#write()).catch((error: Error) => this.#failed(error))
    return this.#writing
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#file?.close()
    this.#file = null
  }

  async #write(): Promise<void> {
    if (this.#file === null || this.#isFailing || this.#lineCount > 3 * this.#entries.size + spareLines) {
      return this.#writeAnew()
    }
    const lines = this.#lines
    this.#lines = []
    if (lines.length === 0) return
    this.#lineCount += lines.length
    await this.#file.appendFile(lines.join(''))
  }

  async #writeAnew(): Promise<void> {
    const { file, isLive, nowMs } = this.#options
    const now = nowMs()
    this.#lines = []
    const lines: string[] = []
    for (const [key, values] of this.#entries.entries())
      if (isLive(values, now)) lines.push(`${key} ${values.join(' ')}\n`)
    const draft = `${file}.new`
    await this.#file?.close()
    this.#file = null
    await rm(draft, { force: true })
    const handle = await open(draft, 'a', 0o600)
    try {
      await handle.appendFile(lines.join(''))
      await handle.sync()
      await rename(draft, file)
    } catch (error) {
      await handle.close()
      throw error
    }
    this.#file = handle
    this.#lineCount = lines.length
    this.#isFailing = false
  }

  #failed(error: Error): void {
    if (!this.#isFailing)
      this.#options.warn(`${this.#options.file} cannot be written (${error.message}): it is kept in memory`)
    this.#isFailing = true
    this.#lines = []
  }
}
