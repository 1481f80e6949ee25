/**
 * How fast logged transactions are replayed through the rule set of the demo, fully evaluated and added up with all
 * figures of a backtest, on one core.
 *
 * Leaves  reading them out of Postgres, which is not our code's time.
 * Why     there is no peer: the figure stands against the fixed goal of 50,000 transactions a second, for this machine.
 */
import { readFileSync } from 'node:fs'
import { demoAsset } from '../../services/demo/demo-config.ts'
import { BacktestTally } from '../../services/rules/backtest-tally.ts'
import { compileRuleset } from '../../services/rules/compile-ruleset.ts'
import { parseRuleset } from '../../services/rules/parse-ruleset.ts'
import { replayTransaction } from '../../services/rules/replay-transaction.ts'
import { judgeLive } from '../live-transaction.ts'
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { ordinaryMail } from './ordinary-mail.ts'

const transactionCounts: Record<Scale, number> = { small: 100_000, default: 1_000_000, large: 10_000_000 }
const differentMails = 5_000
const goalPerSecond = 50_000
const runCount = 3

export const bench: Bench = {
  name: 'backtest.replay',
  goal: 1,
  run: async (context) => {
    const rulesFile = demoAsset('rules.yaml')
    const parsed = parseRuleset(readFileSync(rulesFile, 'utf8'), rulesFile)
    if ('faults' in parsed) throw new Error(`The rules of the demo have faults: ${JSON.stringify(parsed.faults)}`)
    const compiled = compileRuleset(parsed.ruleset)
    const events = Array.from({ length: differentMails }, (_, index) => judgeLive(ordinaryMail(index), compiled))
    for (const event of events) {
      const { difference } = replayTransaction(event, compiled)
      if (difference !== 'same') throw new Error(`The rules that judged give another answer: ${difference}`)
    }
    const count = transactionCounts[context.scale]
    const pairs: Pair[] = []
    for (let run = 1; run <= runCount; run += 1) {
      const tally = new BacktestTally(compiled)
      const before = process.cpuUsage()
      for (let done = 0; done < count; done += differentMails)
        for (const event of events) tally.add(event, compiled)
      // Processor time, since the goal is one of a core and other work may be on it.
      const { user, system } = process.cpuUsage(before)
      const ours = count / ((user + system) / 1e6)
      pairs.push({ ours, theirs: goalPerSecond })
      context.progress(`run ${run}: ${Math.round(ours)} transactions a second`)
    }
    return [figureOf(bench, 'transactions/s of one core', 'fixed goal', pairs, true)]
  },
}
