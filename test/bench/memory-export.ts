/** Whether memory is flat when a table is written: the largest of a process that wrote all rows, against a tenth. */
import { rounded, type Bench } from './bench.ts'
import { outputOfRole } from './child-process.ts'
import { transactionCounts } from './sample-log.ts'

export const bench: Bench = {
  name: 'memory.export',
  goal: 0.8,
  run: async ({ scale, progress }) => {
    const rowCount = transactionCounts[scale]
    const figures = []
    for (const format of ['csv', 'xlsx', 'json'] as const) {
      progress(`writing ${rowCount} rows of ${format}`)
      const few = await largest(format, rowCount / 10)
      const many = await largest(format, rowCount)
      const ratio = few / many
      // So few that even the buffers have not grown to their size.
      const goal = scale === 'small' ? null : bench.goal
      figures.push({
        name: bench.name,
        unit: `MB at ${rowCount} rows of ${format}`,
        ours: rounded(many / 1e6),
        peer: `${rowCount / 10} rows`,
        theirs: rounded(few / 1e6),
        ratio: rounded(ratio),
        goal,
        met: goal === null ? null : ratio >= goal,
        runs: 1,
        spread: 0,
      })
    }
    return figures
  },
}

async function largest(format: string, rowCount: number): Promise<number> {
  const { maxRssBytes } = JSON.parse(await outputOfRole('export-role.js', [format, String(rowCount)])) as { maxRssBytes: number }
  return maxRssBytes
}
