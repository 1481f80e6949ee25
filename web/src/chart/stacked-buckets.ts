/** Counts of each bucket laid on each other in the order of the outcomes. */
import type { HistogramBucket } from '../../../services/contracts/api.ts'
import { shownOutcome, shownOutcomes, type ShownOutcome } from '../outcome/outcome-look.ts'

export type StackedBucket = {
  total: number
  counts: Partial<Record<ShownOutcome, number>>
  parts: { outcome: ShownOutcome; from: number; upto: number }[]
}

export function stackedBuckets(buckets: readonly Pick<HistogramBucket, 'outcomes'>[]): StackedBucket[] {
  return buckets.map((bucket) => {
    const counts = shownCounts(bucket.outcomes)
    const parts: StackedBucket['parts'] = []
    let height = 0
    for (const outcome of shownOutcomes) {
      const count = counts[outcome] ?? 0
      if (count > 0) parts.push({ outcome, from: height, upto: height + count })
      height += count
    }
    return { total: height, counts, parts }
  })
}

/** Counts by what is shown: reset is counted with aborted. */
export function shownCounts(outcomes: Record<string, number>): Partial<Record<ShownOutcome, number>> {
  const counts: Partial<Record<ShownOutcome, number>> = {}
  for (const [outcome, count] of Object.entries(outcomes)) {
    const shown = shownOutcome(outcome)
    counts[shown] = (counts[shown] ?? 0) + count
  }
  return counts
}
