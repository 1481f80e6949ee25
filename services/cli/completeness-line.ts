/** The sentence below every list: up to when the log is complete, or what is missing of it. */
import type { LogStatus } from '../contracts/api.ts'
import type { LogGap } from '../database/log-completeness.ts'

const mostNamed = 5

export function completenessLine(status: { completeness: LogStatus['completeness']; gaps: readonly LogGap[] }): string {
  const { completeUpto, rejectedLineCount } = status.completeness
  const upto = completeUpto === null ? 'Nothing of the log is complete' : `Log complete to ${completeUpto}`
  const gaps = status.gaps.slice(0, mostNamed).map(gapText).join('; ')
  const more = status.gaps.length > mostNamed ? `; and ${status.gaps.length - mostNamed} more` : ''
  const rejected = rejectedLineCount === '0' ? '' : ` ${rejectedLineCount} lines could not be read: tollgate log rejected.`
  return `${upto}, ${status.gaps.length === 0 ? 'no gaps' : `missing: ${gaps}${more}`}.${rejected}\n`
}

/** The range is half-open, as `tollgate log accept-gap` takes it. */
export function gapText(gap: LogGap): string {
  const count = gap.uptoSeq - gap.fromSeq
  const boot = gap.bootNumber === null ? gap.boot : `boot ${gap.bootNumber}`
  return `${gap.node} ${boot} seq ${gap.fromSeq}-${gap.uptoSeq} (${count} ${count === 1 ? 'event' : 'events'}, ${gap.kind})`
}
