/**
 * How much what declared no size would have sent: the mean of messages like it, with a 95 % interval.
 *
 * Why  of N that were not seen, predicted from n that were: SE = s √(N (1 + N/n)), since the mean itself is uncertain.
 *      Statistics, not money: floating point, and whole octets in the end.
 */
import type { SavingsReport } from '../../contracts/savings.ts'

export type Sample = { count: number; mean: number; deviation: number }

const fewestSamples = 30
/** Of the normal distribution. */
const z95 = 1.959964

/** By class of network; `counts`: of what declared no size. */
export function estimateOf(counts: ReadonlyMap<string, number>, samples: ReadonlyMap<string, Sample>): SavingsReport['estimate'] {
  let [sum, variance, sampleCount, estimatedCount, notEnoughDataCount] = [0, 0, 0, 0, 0]
  for (const [name, count] of counts) {
    const sample = samples.get(name)
    if (sample === undefined || sample.count < fewestSamples) {
      notEnoughDataCount += count
      continue
    }
    sum += count * sample.mean
    variance += sample.deviation ** 2 * count * (1 + count / sample.count)
    sampleCount += sample.count
    estimatedCount += count
  }
  if (estimatedCount === 0) return { sampleCount, bytes: null, fromBytes: null, uptoBytes: null, estimatedCount, notEnoughDataCount }
  const half = z95 * Math.sqrt(variance)
  const octets = (value: number): string => String(BigInt(Math.max(0, Math.round(value))))
  return { sampleCount, bytes: octets(sum), fromBytes: octets(sum - half), uptoBytes: octets(sum + half), estimatedCount, notEnoughDataCount }
}
