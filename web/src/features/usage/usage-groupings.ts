/** The groupings of the usage report, in the order in which they are offered. */
import type { UsageReport } from '../../../../services/contracts/api.ts'

export type UsageGrouping = UsageReport['by']
export const usageGroupingNames: readonly UsageGrouping[] = ['client', 'recipient', 'domain', 'day', 'direction']
