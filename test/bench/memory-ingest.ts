/** Whether ingest's memory is flat: the largest of a process that took in nine tenths of the log, against one tenth. */
import { rounded, type Bench } from './bench.ts'
import { loadedLog } from './loaded-log.ts'

export const bench: Bench = {
  name: 'memory.ingest',
  goal: 0.8,
  run: async (context) => {
    const { loads, transactionCount } = await loadedLog(context)
    const [few, many] = loads as [(typeof loads)[number], (typeof loads)[number]]
    const ratio = few.maxRssBytes / many.maxRssBytes
    return [
      {
        name: bench.name,
        unit: `MB at ${(transactionCount / 10) * 9} transactions`,
        ours: rounded(many.maxRssBytes / 1e6),
        peer: `ingest of ${transactionCount / 10}`,
        theirs: rounded(few.maxRssBytes / 1e6),
        ratio: rounded(ratio),
        // So few that even the buffers of one batch have not grown to their size.
        goal: context.scale === 'small' ? null : bench.goal,
        met: context.scale === 'small' ? null : ratio >= bench.goal!,
        runs: 1,
        spread: 0,
      },
    ]
  },
}
