/**
 * Where a live view stands: the id of each of its events, and what it may be resumed by.
 *
 * Why  batches do not become visible in the order of their ids, so one number cannot say what was seen: it is a set of
 *      batches, which is one range nearly always, and the place within the batch that is being told. It holds all that
 *      is needed: any process of the api, also one started anew, can go on from it.
 */
import { isTransactionId } from '../../contracts/transaction-id.ts'
import { rangesWith, type BatchRanges } from './batch-ranges.ts'

export type LivePosition = {
  seen: BatchRanges
  /** Of this batch, which is not in `seen`, everything up to this transaction (by time in the id, then id). */
  partly: { batchId: number; transactionId: string } | null
}

export const longestPositionText = 2_000

/** Like `1-4711.4713-4720~4712.019a…`. */
export function positionText({ seen, partly }: LivePosition): string {
  const ranges = seen.map(({ from, upto }) => `${from}-${upto}`).join('.')
  return partly === null ? ranges : `${ranges}~${partly.batchId}.${partly.transactionId}`
}

/** `null` for a text that `positionText` never gave. */
export function parsePosition(text: string): LivePosition | null {
  const match = /^((?:\d{1,15}-\d{1,15}(?:\.|(?=~|$)))+)(?:~(\d{1,15})\.([0-9a-f-]{36}))?$/.exec(text)
  if (text.length > longestPositionText || match === null) return null
  let seen: BatchRanges = []
  for (const [, from, upto] of match[1]!.matchAll(/(\d+)-(\d+)/g)) {
    if (Number(from) >= Number(upto)) return null
    seen = rangesWith(seen, { from: Number(from), upto: Number(upto) })
  }
  if (match[2] === undefined) return { seen, partly: null }
  if (!isTransactionId(match[3]!)) return null
  return { seen, partly: { batchId: Number(match[2]), transactionId: match[3]! } }
}
