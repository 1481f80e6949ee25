/**
 * Messages accepted, made durable and delivered a second, over 20 sessions: against Postfix set up as the same gateway,
 * and against smtp-source sending straight into smtp-sink, the most that this load can show on this machine.
 *
 * Why  10 KB is what the goal names; the other sizes are reported beside it.
 */
import { figureOf, type Bench, type Pair, type Scale } from './bench.ts'
import { gatewayServers } from './gateway-servers.ts'
import { deliveredPerSecond } from './smtp-peers.ts'

const messageCounts: Record<Scale, number> = { small: 1_000, default: 10_000, large: 50_000 }
const runCount = 3
const sizes = [
  { label: '10 KB', messageBytes: 10_240, share: 1 },
  { label: '1 KB', messageBytes: 1_024, share: 1 },
  { label: '100 KB', messageBytes: 102_400, share: 0.2 },
  { label: '1 MB', messageBytes: 1_048_576, share: 0.03 },
]

export const bench: Bench = {
  name: 'gateway.deliver',
  goal: 4,
  run: async (context) => {
    const { ours, postfix, sink } = await gatewayServers(context)
    const figures = []
    for (const { label, messageBytes, share } of context.scale === 'small' ? sizes.slice(0, 1) : sizes) {
      const messageCount = Math.round(messageCounts[context.scale] * share)
      const pairs: Pair[] = []
      for (let run = 0; run <= runCount; run += 1) {
        const ourRate = await deliveredPerSecond(ours.port, sink, messageCount, messageBytes)
        const theirRate = await deliveredPerSecond(postfix.port, sink, messageCount, messageBytes)
        context.progress(`${label}, ${run === 0 ? 'to warm up' : `run ${run}`}: ours ${ourRate.toFixed(0)}/s, Postfix ${theirRate.toFixed(0)}/s`)
        if (run > 0) pairs.push({ ours: ourRate, theirs: theirRate })
      }
      const goal = label === '10 KB' ? bench.goal : null
      figures.push(figureOf({ name: bench.name, goal }, `messages/s of ${label}`, postfix.name, pairs, true))
    }
    return figures
  },
}

export const limitBench: Bench = {
  name: 'gateway.deliver.limit',
  goal: 0.4,
  run: async (context) => {
    const { ours, sink } = await gatewayServers(context)
    const messageCount = messageCounts[context.scale]
    const pairs: Pair[] = []
    for (let run = 0; run <= runCount; run += 1) {
      const ourRate = await deliveredPerSecond(ours.port, sink, messageCount, 10_240)
      const limit = await deliveredPerSecond(sink.port, sink, messageCount, 10_240)
      context.progress(`${run === 0 ? 'to warm up' : `run ${run}`}: ours ${ourRate.toFixed(0)}/s, the sink alone ${limit.toFixed(0)}/s`)
      if (run > 0) pairs.push({ ours: ourRate, theirs: limit })
    }
    return [figureOf(limitBench, 'messages/s of 10 KB', 'smtp-source straight into smtp-sink', pairs, true)]
  },
}
