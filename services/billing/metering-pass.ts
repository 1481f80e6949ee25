/**
 * One look for unmetered batches, and metering all that it finds.
 *
 * Owns    which batches need no further look: most passes begin a little before the newest that was seen, since
 *         batches commit in another order than they are numbered. Every so often a pass looks at all of them.
 * Fails   with the error of Postgres where the database is away; a batch that fails otherwise waits a minute.
 */
import { isDatabaseUnavailable, type Database } from '../database/open-database.ts'
import type { Logger } from '../kit/operator-log.ts'
import { meterBatch, unmeteredBatches } from './meter-batch.ts'

const batchesPerLook = 100
const batchesLookedAtAgain = 1_000n
const fullLookMs = 30_000
const retryMs = 60_000

export class MeteringPass {
  readonly #database: Database
  readonly #tenantId: string
  readonly #log: Logger
  readonly #failedUntil = new Map<bigint, number>()
  #newestBatchId = 0n
  #nextFullLook = 0

  constructor(database: Database, tenantId: string, log: Logger) {
    this.#database = database
    this.#tenantId = tenantId
    this.#log = log
  }

  /** Number of batches that this pass metered. */
  async run(stopping: AbortSignal): Promise<number> {
    const startedAt = performance.now()
    let afterBatchId = this.#newestBatchId - batchesLookedAtAgain
    if (startedAt >= this.#nextFullLook) {
      afterBatchId = 0n
      this.#nextFullLook = startedAt + fullLookMs
    }
    let meteredCount = 0
    for (;;) {
      const batchIds = await unmeteredBatches(this.#database, this.#tenantId, afterBatchId, batchesPerLook)
      for (const batchId of batchIds) {
        if (stopping.aborted) return meteredCount
        if (await this.#meter(batchId)) meteredCount += 1
        afterBatchId = batchId
        if (batchId > this.#newestBatchId) this.#newestBatchId = batchId
      }
      if (batchIds.length < batchesPerLook) return meteredCount
    }
  }

  async #meter(batchId: bigint): Promise<boolean> {
    if (performance.now() < (this.#failedUntil.get(batchId) ?? 0)) return false
    try {
      const entryCount = await meterBatch(this.#database, this.#tenantId, batchId)
      this.#failedUntil.delete(batchId)
      if (entryCount !== null)
        this.#log.debug({ batchId: String(batchId), entryCount: String(entryCount) }, 'metered a batch')
      return entryCount !== null
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw error
      this.#log.error(
        { err: error, batchId: String(batchId) },
        'a batch could not be metered, and is tried again in a minute',
      )
      this.#failedUntil.set(batchId, performance.now() + retryMs)
      return false
    }
  }
}
