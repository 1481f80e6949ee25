/** What the light in the top line says, worst first. */
import type { Completeness } from '../../../services/contracts/api.ts'

export type Health = 'unknown' | 'unreachable' | 'empty' | 'gaps' | 'behind' | 'complete'

/** An idle gateway writes a line each minute; after three without one the log is behind. */
export const behindAfterMs = 3 * 60_000

export function healthOf(completeness: Completeness | undefined, hasFailed: boolean, nowMs: number): Health {
  if (hasFailed) return 'unreachable'
  if (completeness === undefined) return 'unknown'
  if (completeness.gapCount > 0) return 'gaps'
  if (completeness.completeUpto === null) return 'empty'
  return nowMs - new Date(completeness.completeUpto).getTime() > behindAfterMs ? 'behind' : 'complete'
}
