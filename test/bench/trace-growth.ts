/** How much longer the same kind of query takes when the log is ten times as long: p95 then ÷ p95 now, per kind. */
import { median, rounded, type Bench } from './bench.ts'
import { growthQueryCount, loadedLog } from './loaded-log.ts'
import { percentile, queryKinds, samplesFor, traceTimes } from './trace-times.ts'

const runCount = 3

export const bench: Bench = {
  name: 'trace.growth',
  goal: 0.5,
  run: async (context) => {
    const loaded = await loadedLog(context)
    const figures = []
    for (const kind of queryKinds) {
      const samples = samplesFor(kind, loaded.samples)
      const now: number[] = []
      for (let run = 0; run < runCount; run += 1) {
        const from = Math.floor((run * (samples.length - growthQueryCount)) / (runCount - 1))
        now.push(percentile(await traceTimes(loaded, kind, samples.slice(Math.max(0, from), from + growthQueryCount)), 95))
      }
      const before = percentile(loaded.tenthTimes[kind], 95)
      const ratio = before / median(now)
      figures.push({
        name: bench.name,
        unit: 'ms (p95)',
        ours: rounded(median(now)),
        peer: `${kind} at ${loaded.transactionCount / 10} transactions`,
        theirs: rounded(before),
        ratio: rounded(ratio),
        goal: context.scale === 'small' ? null : bench.goal,
        met: context.scale === 'small' ? null : ratio >= bench.goal!,
        runs: runCount,
        spread: rounded((Math.max(...now) - Math.min(...now)) / median(now)),
      })
    }
    return figures
  },
}
