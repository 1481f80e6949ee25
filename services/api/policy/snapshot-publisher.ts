/**
 * Keeps the published snapshot of this machine what the database says, in the background of the api.
 *
 * Owns    when it is written: at the start, at once after a publication of ours, and each few seconds, so that what
 *         another process published comes through and a lost folder heals.
 * Fails   is told in the operator log once, and tried again; routes are not held up.
 */
import type { Logger } from '../../kit/operator-log.ts'
import { currentSnapshotHash, type FolderSnapshot } from '../../kit/snapshot-folder.ts'
import { publishedFolder, writeSnapshot, type SnapshotPlace } from './write-snapshot.ts'

const passMs = 5_000

export class SnapshotPublisher {
  readonly #place: SnapshotPlace
  readonly #log: Logger
  #written: FolderSnapshot | null = null
  #isTold = false
  #timer: NodeJS.Timeout | null = null
  #passing: Promise<unknown> = Promise.resolve()

  constructor(place: SnapshotPlace, log: Logger) {
    this.#place = place
    this.#log = log
  }

  start(): void {
    void this.pass()
    this.#timer = setInterval(() => void this.pass(), passMs)
    this.#timer.unref()
  }

  /** Writes what is new, and resolves with what is published, or with what was the last time where that cannot be told. */
  pass(): Promise<FolderSnapshot | null> {
    const passed = this.#passing.then(() => this.#pass())
    this.#passing = passed
    return passed
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#passing
  }

  async #pass(): Promise<FolderSnapshot | null> {
    try {
      const onDisk = await currentSnapshotHash(publishedFolder(this.#place.dataFolder))
      // Its first write mends a file that is there and damaged.
      this.#written = await writeSnapshot(this.#place, onDisk === this.#written?.hash ? onDisk : null)
      this.#isTold = false
    } catch (error) {
      if (!this.#isTold)
        this.#log.error({ err: error }, 'The published policy cannot be written; gateways keep the one before, and it is tried again')
      this.#isTold = true
    }
    return this.#written
  }
}
