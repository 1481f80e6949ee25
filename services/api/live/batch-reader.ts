/**
 * Which ingest batches there are, read again and again: the one reader behind all live views of a process.
 *
 * Owns    what is seen, and when a missing id is given up.
 * Why     an id is taken when a batch begins and seen when it commits, so a smaller one may come after a larger one.
 *         A hole is kept open until every transaction is over that had begun when it was found: whoever took the id
 *         held the lock of a boot by then (ingest locks first), so it has committed, and is seen, or never will.
 */
import type { Database } from '../../database/open-database.ts'
import { endOfRanges, holesOfRanges, rangesWith, sizeOfRanges, type BatchRange, type BatchRanges } from './batch-ranges.ts'

export type IngestBatch = {
  batchId: number
  /** Of the partitioning time of its transactions; `null`: it has none. */
  from: Date | null
  upto: Date | null
  transactionCount: number
}

/** Behind the newest batch at the start, so far back is looked for batches that are under way. */
const lookBackBatches = 1_000
const batchesPerRead = 100
const mostRemembered = 2_000

type OpenHole = BatchRange & { foundAt: bigint }

export class BatchReader {
  seen: BatchRanges = []
  readonly #database: Database
  readonly #tenantId: string
  #holes: OpenHole[] = []
  #recent = new Map<number, IngestBatch>()
  /** From here on all batches that were seen are in `#recent`. */
  #recentFrom = 0
  #hasBegun = false

  constructor(database: Database, tenantId: string) {
    this.#database = database
    this.#tenantId = tenantId
  }

  /** Sees what is new. True: there is more than one read takes, so read again at once. */
  async advance(): Promise<boolean> {
    if (!this.#hasBegun) await this.#begin()
    const read = await this.#read(this.#holes[0]?.from ?? endOfRanges(this.seen))
    for (const batch of read.batches) {
      this.seen = rangesWith(this.seen, { from: batch.batchId, upto: batch.batchId + 1 })
      this.#recent.set(batch.batchId, batch)
    }
    this.#forgetOld()
    // A read that was cut short may not tell a hole from what it did not reach.
    if (!read.isWhole) return true
    for (const hole of this.#holes) {
      if (read.oldestRunning >= hole.foundAt) this.seen = rangesWith(this.seen, hole)
    }
    this.#holes = holesOfRanges(this.seen).map((hole) => ({
      ...hole,
      foundAt: this.#holes.find((known) => known.from <= hole.from && hole.upto <= known.upto)?.foundAt ?? read.nextToBegin,
    }))
    return false
  }

  /** Those of the ranges, in their order. */
  async batchesIn(ranges: BatchRanges): Promise<IngestBatch[]> {
    if (ranges.length === 0) return []
    if (ranges[0]!.from >= this.#recentFrom && sizeOfRanges(ranges) <= mostRemembered) {
      return ranges.flatMap(({ from, upto }) =>
        Array.from({ length: upto - from }, (_, index) => this.#recent.get(from + index)).filter((one) => one !== undefined),
      )
    }
    const { rows } = await this.#database.pool.query<BatchRow>(
      `select ${columns} from ingest_batch b, unnest($2::bigint[], $3::bigint[]) as wanted (from_id, upto_id)
       where b.tenant_id = $1 and b.batch_id >= wanted.from_id and b.batch_id < wanted.upto_id order by b.batch_id`,
      [this.#tenantId, ranges.map(({ from }) => from), ranges.map(({ upto }) => upto)],
    )
    return rows.map(batchOf)
  }

  /** All that is visible now counts as seen; what is not, of the last ids, may still come. */
  async #begin(): Promise<void> {
    const { rows } = await this.#database.pool.query<{ newest: bigint | null }>(
      'select max(batch_id) as newest from ingest_batch where tenant_id = $1',
      [this.#tenantId],
    )
    const newest = Number(rows[0]!.newest ?? 0)
    const from = Math.max(1, newest - lookBackBatches)
    this.seen = [{ from: 0, upto: from }]
    this.#recentFrom = from
    this.#hasBegun = true
    while (endOfRanges(this.seen) <= newest) await this.advance()
  }

  async #read(fromId: number) {
    const { rows } = await this.#database.pool.query<BatchRow & { oldest_running: string; next_to_begin: string }>(
      `select pg_snapshot_xmin(s.snapshot)::text as oldest_running, pg_snapshot_xmax(s.snapshot)::text as next_to_begin, fresh.*
       from (select pg_current_snapshot() as snapshot) s left join lateral (
         select ${columns} from ingest_batch b
         where b.tenant_id = $1 and b.batch_id >= $2 and not b.batch_id <@ $3::int8multirange
         order by b.batch_id limit ${batchesPerRead}) fresh on true`,
      [this.#tenantId, fromId, `{${this.seen.map(({ from, upto }) => `[${from},${upto})`).join(',')}}`],
    )
    return {
      batches: rows.filter((row) => row.batch_id !== null).map(batchOf),
      isWhole: rows.length < batchesPerRead,
      oldestRunning: BigInt(rows[0]!.oldest_running),
      nextToBegin: BigInt(rows[0]!.next_to_begin),
    }
  }

  #forgetOld(): void {
    for (const batchId of this.#recent.keys()) {
      if (this.#recent.size <= mostRemembered) return
      this.#recent.delete(batchId)
      this.#recentFrom = Math.max(this.#recentFrom, batchId + 1)
    }
  }
}

type BatchRow = { batch_id: bigint; from_time: Date | null; upto_time: Date | null; transaction_count: bigint }
const columns = 'b.batch_id, b.from_time, b.upto_time, b.transaction_count'

function batchOf(row: BatchRow): IngestBatch {
  return {
    batchId: Number(row.batch_id),
    from: row.from_time,
    upto: row.upto_time,
    transactionCount: Number(row.transaction_count),
  }
}
