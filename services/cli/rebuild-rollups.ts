/** `tollgate rebuild rollups`: the totals of some days again, from the messages behind them. */
import { rebuildUsageRollup } from '../billing/usage-rollup.ts'
import { rebuildRollups as rebuild, type DayRange } from '../rollup/rebuild-rollups.ts'
import { rollBatches } from '../rollup/roll-batches.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { progressBar } from './progress-bar.ts'

export async function rebuildRollups(configured: Config, options: { range: DayRange; isDemo: boolean }): Promise<void> {
  const { range } = options
  if (range.from !== null && range.upto !== null && range.from >= range.upto) {
    throw new UsageError(`--upto ${range.upto} is not after --from ${range.from}: the day of --upto is the first that does not belong to it.`)
  }
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const bar = progressBar('rebuilding rollups')
    const { keptDays, keptRuleDays } = await rebuild(database, config.tenant, range, (done, all) => bar.show(done, all))
    while ((await rollBatches(database, config.tenant)) > 0);
    // Months of billing are summed whole, whatever the days.
    await rebuildUsageRollup(database, config.tenant)
    bar.end()
    process.stdout.write('The rollups are rebuilt.\n')
    const ofRules = keptRuleDays.filter((days) => !keptDays.some((kept) => kept.from === days.from && kept.upto === days.upto))
    for (const days of keptDays) process.stdout.write(`Kept as they were, since retention has removed messages behind them: ${daysText(days)}\n`)
    for (const days of ofRules) process.stdout.write(`Kept as they were for rules, since retention has removed details behind them: ${daysText(days)}\n`)
  })
}

function daysText({ from, upto }: DayRange): string {
  if (from === null || upto === null) return `${from ?? 'the first day'} up to ${upto ?? 'the last'}`
  const last = new Date(Date.parse(upto) - 86_400_000).toISOString().slice(0, 10)
  return from === last ? from : `${from} to ${last}`
}
