/**
 * The rows of a period beside those of the one before: one row a key that either has, with both figures.
 *
 * Why  both come in the order of usage-rows.sql, so that they are merged as they come, at constant memory. Days are the
 *      same day of the month; a day that the later month does not have stands under its own date.
 */
import type { UsageRow } from '../contracts/api.ts'

const rowsPerBatch = 2_000

export async function* comparedRows(
  current: AsyncIterable<UsageRow[]>,
  previous: AsyncIterable<UsageRow[]>,
): AsyncGenerator<UsageRow[]> {
  const currentRows = singly(current)
  const previousRows = singly(previous)
  let now = await currentRows.next()
  let before = await previousRows.next()
  let batch: UsageRow[] = []
  while (now.done !== true || before.done !== true) {
    const order =
      now.done === true ? 1 : before.done === true ? -1 : orderOfKeys(keysOf(now.value), keysOf(before.value))
    const row = order <= 0 ? now.value! : nothingOf(before.value!)
    batch.push(compared(row, order >= 0 ? before.value! : nothingOf(row)))
    if (order <= 0) now = await currentRows.next()
    if (order >= 0) before = await previousRows.next()
    if (batch.length < rowsPerBatch) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

async function* singly(batches: AsyncIterable<UsageRow[]>): AsyncGenerator<UsageRow, undefined> {
  for await (const batch of batches) yield* batch
  return undefined
}

const nothingOf = (row: UsageRow): UsageRow => ({ ...row, messageCount: '0', billedBytes: '0', unbilledBytes: '0' })

const compared = (row: UsageRow, before: UsageRow): UsageRow => ({
  ...row,
  previousMessageCount: before.messageCount,
  previousBilledBytes: before.billedBytes,
  previousUnbilledBytes: before.unbilledBytes,
  billedBytesChange: String(BigInt(row.billedBytes) - BigInt(before.billedBytes)),
})

type Keys = readonly (string | null)[]

/** In the order of usage-rows.sql: an erased recipient has no address, and comes after all that have one. */
function keysOf({ clientId, recipient, domain, day, direction }: UsageRow): Keys {
  const isErased = recipient !== null && !recipient.includes('@')
  return [
    clientId,
    isErased ? null : recipient,
    isErased ? recipient : null,
    domain,
    day?.slice(-2) ?? null,
    direction,
  ]
}

function orderOfKeys(a: Keys, b: Keys): number {
  for (const [place, key] of a.entries()) {
    const other = b[place]!
    if (key === other) continue
    if (key === null || other === null) return key === null ? 1 : -1
    return Buffer.compare(Buffer.from(key), Buffer.from(other))
  }
  return 0
}
