/** CPU seconds for 1,000 messages of 10 KB accepted and delivered, of every process of the server, against Postfix. */
import { setTimeout as sleep } from 'node:timers/promises'
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { gatewayServers } from './gateway-servers.ts'
import { deliveredPerSecond, type MailServer } from './smtp-peers.ts'

const messageCounts: Record<Scale, number> = { small: 1_000, default: 10_000, large: 50_000 }
const runCount = 3
/** Until the queue is cleaned up behind the last delivery. */
const settleMs = 500

export const bench: Bench = {
  name: 'gateway.cpu',
  goal: 1,
  run: async (context) => {
    const { ours, postfix, sink } = await gatewayServers(context)
    const messageCount = messageCounts[context.scale]
    const cpuOf = async (server: MailServer): Promise<number> => {
      const before = server.cpuSeconds()
      await deliveredPerSecond(server.port, sink, messageCount, 10_240)
      await sleep(settleMs)
      return ((server.cpuSeconds() - before) / messageCount) * 1_000
    }
    const pairs: Pair[] = []
    for (let run = 0; run <= runCount; run += 1) {
      const pair = { ours: await cpuOf(ours), theirs: await cpuOf(postfix) }
      context.progress(`${run === 0 ? 'to warm up' : `run ${run}`}: ours ${pair.ours.toFixed(2)} s, Postfix ${pair.theirs.toFixed(2)} s`)
      if (run > 0) pairs.push(pair)
    }
    return [figureOf(bench, 'CPU s per 1,000 messages of 10 KB', postfix.name, pairs, false)]
  },
}
