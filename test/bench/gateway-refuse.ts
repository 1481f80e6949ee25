/** Unknown recipients refused a second, against Postfix with its list of recipients. */
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { outputOfRole } from './child-process.ts'
import { gatewayServers } from './gateway-servers.ts'

const recipientCounts: Record<Scale, number> = { small: 10_000, default: 100_000, large: 500_000 }
const runCount = 3

export const bench: Bench = {
  name: 'gateway.refuse',
  goal: 5,
  run: async (context) => {
    const { ours, postfix } = await gatewayServers(context)
    const count = recipientCounts[context.scale]
    const rateOf = async (port: number): Promise<number> => {
      const { refused, seconds } = JSON.parse(await outputOfRole('refused-recipients.js', [String(port), String(count)])) as { refused: number; seconds: number }
      return refused / seconds
    }
    const pairs: Pair[] = []
    for (let run = 0; run <= runCount; run += 1) {
      const pair = { ours: await rateOf(ours.port), theirs: await rateOf(postfix.port) }
      context.progress(`${run === 0 ? 'to warm up' : `run ${run}`}: ours ${pair.ours.toFixed(0)}/s, Postfix ${pair.theirs.toFixed(0)}/s`)
      if (run > 0) pairs.push(pair)
    }
    return [figureOf(bench, 'refused RCPT/s', postfix.name, pairs, true)]
  },
}
