/**
 * Takes one person's address out of everything that is stored, and keeps it out.
 *
 * Owns    the order: tombstones first, so that nothing that is ingested meanwhile brings the address back; then the
 *         messages day by day; names and small tables last. Whatever ends it, doing it again finishes it.
 * Leaves  what is changed in each row to the owner's functions (migrations/0013_erasure.sql). Ids, octets, outcomes,
 *         domains, totals and usage entries stay.
 * Limits  one day of messages a transaction.
 */
import { normalizedAddress } from '../../contracts/address.ts'
import type { Database } from '../open-database.ts'
import { listPartitions } from '../retention/partition-list.ts'

export type ErasureOptions = {
  database: Database
  tenantId: string
  address: string
  /** Who asks for it: stands beside the tombstone. */
  actor: string
  /** Only counts. */
  isDry: boolean
  /** Before anything is changed but the tombstones. */
  onBegun?: (replacement: string) => Promise<void>
  onProgress?: (doneDays: number, allDays: number) => void
}
export type ErasureResult = {
  /** What stands in place of the address from now on; `null` when nothing was changed. */
  replacement: string | null
  /** Rows by what they are: messages, details, deliveries, names, … */
  counts: Record<string, bigint>
}

const dayMs = 86_400_000

/** A sentence, or `null`: one whole address and no pattern. */
export function erasureFault(address: string): string | null {
  if (address.length > 320) return 'An address has at most 320 characters'
  return /^[^\s*<>]+@[^\s@*<>]+$/.test(address) ? null : `"${address}" is no whole address, like ann@example.org`
}

/** The address must be without fault. */
export async function eraseAddress(options: ErasureOptions): Promise<ErasureResult> {
  const { database, tenantId, address, actor, isDry, onProgress = () => {} } = options
  const forms = [...new Set([normalizedAddress(address, { lowerCaseLocalPart: true }), address.toLowerCase()])]
  let replacement: string | null = null
  if (!isDry) {
    const { rows } = await database.pool.query<{ replacement: string }>('select begin_erasure($1, $2, $3) as replacement', [tenantId, forms, actor])
    replacement = rows[0]!.replacement
    await options.onBegun?.(replacement)
  }
  const counts: Record<string, bigint> = {}
  const add = (rows: { part: string; row_count: bigint }[]): void => {
    for (const { part, row_count: rowCount } of rows) counts[part] = (counts[part] ?? 0n) + rowCount
  }
  const days = await storedDays(database)
  for (const [index, day] of days.entries()) {
    onProgress(index, days.length)
    const values = [tenantId, forms, day, new Date(day.getTime() + dayMs), isDry]
    add((await database.pool.query('select * from erase_messages($1, $2, $3, $4, $5)', values)).rows)
  }
  add((await database.pool.query('select * from erase_records($1, $2, $3)', [tenantId, forms, isDry])).rows)
  onProgress(days.length, days.length)
  return { replacement, counts }
}

/** Every day of every month that has partitions. */
async function storedDays(database: Database): Promise<Date[]> {
  const months = new Set((await listPartitions(database)).map(({ monthStart }) => monthStart.getTime()))
  return [...months].sort((one, other) => one - other).flatMap((startMs) => {
    const start = new Date(startMs)
    const endMs = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1)
    return Array.from({ length: (endMs - startMs) / dayMs }, (_, day) => new Date(startMs + day * dayMs))
  })
}
