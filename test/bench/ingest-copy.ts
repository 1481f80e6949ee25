/**
 * How fast a log is taken in, against `psql \copy` of the same rows, flattened beforehand, into the same tables with
 * the same indexes: what Postgres itself needs. Ours reads, checks and flattens the log on top of that.
 */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../services/database/embedded-postgres.ts'
import { migrate } from '../../services/database/migrate.ts'
import { openDatabase } from '../../services/database/open-database.ts'
import { copiedTables } from '../../services/ingest/copy-rows.ts'
import { ingestFile } from '../../services/ingest/ingest-file.ts'
import { figureOf, type Bench, type BenchContext, type Pair, type Scale } from './bench.ts'
import { outputOf } from './child-process.ts'
import { findProgram } from './peer-program.ts'
import { createSampleLog, monthsUpTo, writeSegment } from './sample-log.ts'

/** Ten million would tell nothing that one million does not: both sides load at a steady rate. */
const transactionCounts: Record<Scale, number> = { small: 30_000, default: 1_000_000, large: 1_000_000 }
const runCount = 3
const template = 'bench_template'

export const bench: Bench = {
  name: 'ingest.copy',
  goal: 0.8,
  run: async (context) => {
    const psql = findProgram('psql', 'postgresql-client')
    const server = await startEmbeddedPostgres({ folder: path.join(context.folder, 'postgres'), databaseName: template })
    try {
      await migrate(server.url)
      return [figureOf(bench, 'lines/s', 'psql \\copy', await measure(context, server, psql), true)]
    } finally {
      await server.stop()
    }
  },
}

async function measure(context: BenchContext, server: EmbeddedPostgres, psql: string): Promise<Pair[]> {
  const count = transactionCounts[context.scale]
  const logPath = path.join(context.folder, 'log.jsonl')
  context.progress(`writing a log of ${count} transactions`)
  const builder = createSampleLog()
  const { lineCount } = await writeSegment(builder, logPath, count)
  const months = monthsUpTo(builder.nowMs)

  context.progress('flattening it for the peer')
  const rowFolder = path.join(context.folder, 'rows')
  await mkdir(rowFolder)
  await inFreshDatabase(server, 'flatten', async (url) => {
    await ingestInto(url, logPath)
    await runPsql(psql, url, Object.entries(copiedTables).map(([table, columns]) => `\\copy (select ${columns} from ${table}) to '${rowFolder}/${table}'`))
  })

  const pairs: Pair[] = []
  for (let run = 1; run <= runCount; run += 1) {
    const ours = await inFreshDatabase(server, `ours_${run}`, (url) => timed(() => ingestInto(url, logPath)))
    const theirs = await inFreshDatabase(server, `theirs_${run}`, async (url) => {
      await runPsql(psql, url, months.map((month) => `select ensure_partitions('${month}', '${month}')`))
      return await timed(() => runPsql(psql, url, Object.entries(copiedTables).map(([table, columns]) => `\\copy ${table} (${columns}) from '${rowFolder}/${table}'`)))
    })
    pairs.push({ ours: lineCount / ours, theirs: lineCount / theirs })
    context.progress(`run ${run}: ours ${ours.toFixed(1)} s, psql ${theirs.toFixed(1)} s for ${lineCount} lines`)
  }
  return pairs
}

async function ingestInto(url: string, file: string): Promise<void> {
  const database = openDatabase(url, { applicationName: 'bench' })
  try {
    await ingestFile({ database, tenantId: 'main', path: file })
  } finally {
    await database.close()
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now()
  await work()
  return (performance.now() - startMs) / 1_000
}

/** Each run begins with empty tables and after a checkpoint, so that none writes what another left behind. */
async function inFreshDatabase<Result>(server: EmbeddedPostgres, name: string, work: (url: string) => Promise<Result>): Promise<Result> {
  const admin = new pg.Client({ connectionString: server.urlOf('postgres') })
  await admin.connect()
  try {
    await admin.query(`create database ${name} template ${template} strategy file_copy`)
    await admin.query('checkpoint')
    return await work(server.urlOf(name))
  } finally {
    await admin.query(`drop database if exists ${name} with (force)`)
    await admin.end()
  }
}

async function runPsql(psql: string, url: string, commands: readonly string[]): Promise<void> {
  await outputOf(psql, ['--quiet', '--no-psqlrc', '--set', 'ON_ERROR_STOP=1', ...commands.flatMap((command) => ['--command', command]), url])
}
