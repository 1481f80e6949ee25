/** The report of a month from its sums, against the same report from all entries. */
import { figureOf, type Bench, type Pair } from './bench.ts'
import { months, reportMs, usageMonths } from './usage-months.ts'

export const bench: Bench = {
  name: 'report.month',
  goal: 50,
  run: async (context) => {
    const loaded = await usageMonths(context)
    // A few thousand entries are read as fast as their sums.
    const goal = context.scale === 'small' ? null : bench.goal
    const figures = []
    for (const by of ['client', 'recipient', 'day'] as const) {
      const pairs: Pair[] = []
      for (let run = 0; run < 5; run += 1) {
        const ours = await reportMs(loaded, months.whole, by, false)
        pairs.push({ ours, theirs: await reportMs(loaded, months.whole, by, true) })
      }
      figures.push(figureOf({ name: bench.name, goal }, `ms by ${by}`, `${loaded.messageCount} entries`, pairs, false))
    }
    return figures
  },
}
