/**
 * The published policy as this gateway has it: out of the folder that an api on this machine writes, or fetched from
 * the api of another one.
 *
 * Owns    folder `policy/accepted` of the gateway's data: the last snapshot that passed every check. From it a gateway
 *         starts whose api and database are away.
 * Why     one that does not pass replaces nothing, neither in memory nor on disk.
 * Fails   is told once for each cause; the one in force stays. Only a start with nothing whole on disk throws.
 */
import path from 'node:path'
import type { Logger } from 'pino'
import {
  currentSnapshotHash,
  readSnapshotText,
  writeSnapshotText,
  type FolderSnapshot,
} from '../../kit/snapshot-folder.ts'
import { fetchSnapshot, type SnapshotRemote } from './fetch-snapshot.ts'
import { snapshotParts, type SnapshotParts } from './snapshot-parts.ts'

export type SnapshotSourceOptions = {
  dataFolder: string
  tenantId: string
  log: Logger
  /** `null`: published on this machine. */
  remote: SnapshotRemote | null
}

export type AcceptedSnapshot = { hash: string | null; parts: SnapshotParts }

export class SnapshotSource {
  current: AcceptedSnapshot = { hash: null, parts: { ruleset: null } }
  readonly #options: SnapshotSourceOptions
  readonly #accepted: string
  readonly #published: string
  /** Not told again before it changes. */
  #complaint: string | null = null
  #refused: string | null = null
  #refreshing: Promise<unknown> = Promise.resolve()

  constructor(options: SnapshotSourceOptions) {
    this.#options = options
    this.#accepted = path.join(options.dataFolder, 'policy', 'accepted')
    this.#published = path.join(options.dataFolder, 'policy', 'published')
  }

  /** Takes what is on disk, and what is published on this machine. Another one is waited for only where nothing is. */
  async open(): Promise<void> {
    let damage: Error | null = null
    try {
      const kept = await readSnapshotText(this.#accepted)
      if (kept !== null) this.current = { hash: kept.hash, parts: snapshotParts(kept.text, this.#options.tenantId) }
    } catch (error) {
      damage = error as Error
    }
    if (this.#options.remote === null || this.current.hash === null) await this.refresh(true)
    if (damage === null) return
    const sentence = `The policy snapshot kept in ${this.#accepted} cannot be used (${damage.message})`
    if (this.current.hash === null)
      throw new Error(`${sentence}, and there is no other: publish again, or remove that folder to start without rules`, {
        cause: damage,
      })
    this.#options.log.error(`${sentence}: the published one is in force`)
  }

  /** True when another snapshot is accepted now. `isForced`: also what was refused before is looked at again. */
  refresh(isForced = false): Promise<boolean> {
    const refreshed = this.#refreshing.then(() => this.#refresh(isForced))
    this.#refreshing = refreshed
    return refreshed
  }

  async #refresh(isForced: boolean): Promise<boolean> {
    if (isForced) this.#refused = null
    const { log, remote, tenantId } = this.#options
    try {
      const found = remote === null ? await this.#newlyPublished() : await fetchSnapshot(remote, this.#known)
      if (found === null) {
        if (remote !== null) this.#complaint = null
        return false
      }
      // Only what is wrong in itself is not asked for again; a full disk may take it the next time.
      this.#refused = found.hash
      const parts = snapshotParts(found.text, tenantId)
      this.#refuseLoss(parts)
      this.#refused = null
      await writeSnapshotText(this.#accepted, found.text)
      this.#complaint = null
      this.current = { hash: found.hash, parts }
      return true
    } catch (error) {
      const reason = (error as Error).message
      if (reason !== this.#complaint)
        log.error(`The published policy cannot be taken over: ${reason}; ${this.#staying()}`)
      this.#complaint = reason
      return false
    }
  }

  get #known(): string | null {
    return this.#refused ?? this.current.hash
  }

  async #newlyPublished(): Promise<FolderSnapshot | null> {
    const hash = await currentSnapshotHash(this.#published)
    return hash === null || hash === this.#known ? null : await readSnapshotText(this.#published)
  }

  /** Nothing that was published is ever unpublished: a part that is gone was lost on the way. */
  #refuseLoss(parts: SnapshotParts): void {
    for (const name of Object.keys(parts) as (keyof SnapshotParts)[]) {
      if (parts[name] === null && this.current.parts[name] !== null)
        throw new Error(`it has no part ${name} any more, and the one in force has`)
    }
  }

  #staying(): string {
    return this.current.hash === null ? 'there is none yet' : 'the one before stays in force'
  }
}
