/** Messages of 10 KB accepted and delivered a second over 20 sessions, against gateways written for Node. */
import path from 'node:path'
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { gatewayServers } from './gateway-servers.ts'
import { startHaraka, startPooledForward } from './node-peers.ts'
import { deliveredPerSecond, type MailServer } from './smtp-peers.ts'

const messageCounts: Record<Scale, number> = { small: 1_000, default: 10_000, large: 50_000 }
const runCount = 3

function benchAgainst(name: string, goal: number | null, start: (folder: string, sinkPort: number) => Promise<MailServer>): Bench {
  const bench: Bench = {
    name,
    goal,
    run: async (context) => {
      const { ours, sink } = await gatewayServers(context)
      const theirs = await start(path.join(context.folder, 'peer'), sink.port)
      try {
        const messageCount = messageCounts[context.scale]
        const pairs: Pair[] = []
        for (let run = 0; run <= runCount; run += 1) {
          const ourRate = await deliveredPerSecond(ours.port, sink, messageCount, 10_240)
          const theirRate = await deliveredPerSecond(theirs.port, sink, messageCount, 10_240)
          context.progress(`${run === 0 ? 'to warm up' : `run ${run}`}: ours ${ourRate.toFixed(0)}/s, ${theirs.name} ${theirRate.toFixed(0)}/s`)
          if (run > 0) pairs.push({ ours: ourRate, theirs: theirRate })
        }
        return [figureOf(bench, 'messages/s of 10 KB', theirs.name, pairs, true)]
      } finally {
        await theirs.stop()
      }
    },
  }
  return bench
}

export const harakaBench = benchAgainst('gateway.deliver.haraka', 4, startHaraka)
export const forwardBench = benchAgainst('gateway.deliver.smtp-server', null, startPooledForward)
