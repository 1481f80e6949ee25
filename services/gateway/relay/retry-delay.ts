/**
 * How long to wait after the n-th try (from 1): doubling from the first to the last delay, with up to a tenth of
 * jitter either way, so that what failed together is not tried again together. `random` is in [0, 1).
 */
export function retryDelayMs(tryCount: number, firstMs: number, lastMs: number, random: number): number {
  const delayMs = Math.min(firstMs * 2 ** Math.min(Math.max(0, tryCount - 1), 30), lastMs)
  return Math.round(delayMs * (0.9 + 0.2 * random))
}
