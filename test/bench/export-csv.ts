/**
 * Rows a second of a CSV export, against psql with `copy (…) to stdout csv` of the same query, both into a file.
 *
 * Why  the same query with its parameters written out, since copy takes none.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { writeUsageFile } from '../../services/billing/write-usage.ts'
import { usageReport } from '../../services/billing/usage-report.ts'
import { sqlStatement } from '../../services/billing/sql-statement.ts'
import { figureOf, type Bench, type Pair } from './bench.ts'
import { findProgram } from './peer-program.ts'
import { benchTenant, months, usageMonths } from './usage-months.ts'

export const bench: Bench = {
  name: 'export.csv',
  goal: 0.9,
  run: async (context) => {
    const psql = findProgram('psql', 'postgresql-client')
    const { database, url, messageCount } = await usageMonths(context)
    const pairs: Pair[] = []
    for (let run = 0; run < 5; run += 1) {
      const startedAt = performance.now()
      const report = await usageReport({ database, tenantId: benchTenant, period: months.single, by: 'recipient' })
      const { rows } = await writeUsageFile(report, 'csv', path.join(context.folder, 'ours.csv'))
      const ours = (rows / (performance.now() - startedAt)) * 1_000
      if (rows !== messageCount) throw new Error(`the export has ${rows} rows of ${messageCount}`)
      const peerStartedAt = performance.now()
      await copyWithPsql(psql, url, path.join(context.folder, 'theirs.csv'))
      pairs.push({ ours, theirs: (rows / (performance.now() - peerStartedAt)) * 1_000 })
    }
    return [figureOf(bench, 'rows/s', 'psql copy to stdout csv', pairs, true)]
  },
}

async function copyWithPsql(psql: string, url: string, file: string): Promise<void> {
  const output = await open(file, 'w')
  const child = spawn(psql, ['-X', '-d', url, '-c', `copy (${query()}) to stdout csv header`], {
    stdio: ['ignore', output.fd, 'inherit'],
  })
  const [code] = (await once(child, 'close')) as [number | null]
  await output.sync()
  await output.close()
  if (code !== 0) throw new Error(`psql ended with ${code}`)
}

function query(): string {
  const given: (string | null)[] = [benchTenant, months.single, 'recipient', 'recipient', null, '{}', null]
  return sqlStatement('usage-rolled-rows.sql')
    .replace(/--.*$/gm, '')
    .replace(/\$(\d)/g, (_, place: string) => {
      const value = given[Number(place) - 1]!
      return value === null ? 'null::text' : pg.escapeLiteral(value)
    })
}
