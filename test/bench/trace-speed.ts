/**
 * How long an administrator waits for the first page, against `rg` over the raw log for the same words.
 *
 * Why  p95 of more than a hundred different queries a run on our side; `rg` reads the whole log whatever it looks for,
 *      so a few of its runs tell it. Where several keys are asked for, `rg` looks for the rarest and the rest is free.
 */
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { outputOf } from './child-process.ts'
import { loadedLog } from './loaded-log.ts'
import { findProgram } from './peer-program.ts'
import { percentile, samplesFor, traceTimes, wordsOf, type QueryKind } from './trace-times.ts'

const runCount = 3
const queriesPerRun = 120
const peerQueriesPerRun = 3
/** What the scale must show: there is nothing to win over a log that fits into a few megabytes. */
const goals: Record<Scale, number | null> = { small: null, default: 100, large: 1_000 }

export function traceBench(kind: QueryKind): Bench {
  const name = `trace.${kind}`
  return {
    name,
    goal: goals.default,
    run: async (context) => {
      const rg = findProgram('rg', 'ripgrep')
      const loaded = await loadedLog(context)
      const samples = samplesFor(kind, loaded.samples)
      const pairs: Pair[] = []
      for (let run = 0; run < runCount; run += 1) {
        const asked = samples.slice(run * queriesPerRun, (run + 1) * queriesPerRun)
        if (asked.length < 100) throw new Error(`${name}: ${asked.length} queries are too few`)
        const ours = percentile(await traceTimes(loaded, kind, asked), 95)
        const theirs: number[] = []
        for (const sample of asked.slice(0, peerQueriesPerRun)) {
          const [word] = wordsOf(kind, sample)
          const startMs = performance.now()
          const found = await outputOf(rg, ['--no-config', '--no-messages', '--no-filename', '--fixed-strings', '--', word!, ...loaded.files])
          theirs.push(performance.now() - startMs)
          if (found === '') throw new Error(`${name}: rg found nothing for "${word}"`)
        }
        pairs.push({ ours, theirs: percentile(theirs, 95) })
        context.progress(`run ${run + 1}: p95 ${ours.toFixed(1)} ms, rg ${percentile(theirs, 95).toFixed(0)} ms`)
      }
      return [figureOf({ name, goal: goals[context.scale] }, 'ms (p95)', 'rg over the raw log', pairs, false)]
    },
  }
}
