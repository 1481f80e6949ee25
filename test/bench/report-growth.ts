/** The report of a month with ten times the messages to the same recipients, against that of a tenth of them. */
import { figureOf, type Bench, type Pair } from './bench.ts'
import { months, reportMs, usageMonths } from './usage-months.ts'

export const bench: Bench = {
  name: 'report.growth',
  // At most 1.2 times slower.
  goal: 1 / 1.2,
  run: async (context) => {
    const loaded = await usageMonths(context)
    const figures = []
    for (const by of ['client', 'recipient'] as const) {
      const pairs: Pair[] = []
      for (let run = 0; run < 15; run += 1) {
        const ours = await reportMs(loaded, months.whole, by, false)
        pairs.push({ ours, theirs: await reportMs(loaded, months.tenth, by, false) })
      }
      const peer = `${loaded.messageCount / 10} messages`
      figures.push(figureOf(bench, `ms by ${by} of ${loaded.messageCount} messages`, peer, pairs, false))
    }
    return figures
  },
}
