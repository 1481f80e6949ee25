/**
 * One loaded database for all benches of a run that ask it: a log of the scale's size, taken in once.
 *
 * Owns    the log in two segments, a tenth and the rest, each loaded by a process of its own: memory and trace are
 *         looked at after either, so that growth by ten is seen in one run.
 * Limits  needs some 13 KB of disk a transaction; says so before it begins where there is less.
 * Why     `vacuum analyze` after each load: what autovacuum does within minutes. Without it the planner would know
 *         nothing of the rows.
 */
import { statfs } from 'node:fs/promises'
import path from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../services/database/embedded-postgres.ts'
import { migrate } from '../../services/database/migrate.ts'
import { openDatabase, type Database } from '../../services/database/open-database.ts'
import type { BenchContext } from './bench.ts'
import { outputOfRole } from './child-process.ts'
import type { IngestedFile } from './ingest-role.ts'
import { createSampleLog, transactionCounts, writeSegment, type Sample } from './sample-log.ts'
import { queryKinds, traceTimes, type QueryKind } from './trace-times.ts'

export type LoadedLog = {
  database: Database
  transactionCount: number
  /** The raw log. */
  files: string[]
  logBytes: number
  nowMs: number
  samples: Sample[]
  /** Each part as its process took it in. */
  loads: IngestedFile[]
  /** Of each kind of query, when a tenth was loaded; ms. */
  tenthTimes: Record<QueryKind, number[]>
  close(): Promise<void>
}

const bytesPerTransaction = 13_000
const samplesPerPart = 600
/** Queries of each kind when a tenth is loaded. */
export const growthQueryCount = 200

export function loadedLog(context: BenchContext): Promise<LoadedLog> {
  return context.shared('loaded log', load)
}

async function load({ scale, folder, progress }: Pick<BenchContext, 'scale' | 'folder' | 'progress'>): Promise<LoadedLog> {
  const transactionCount = transactionCounts[scale]
  await needDisk(folder, transactionCount * bytesPerTransaction)
  const server = await startEmbeddedPostgres({ folder: path.join(folder, 'postgres') })
  const database = openDatabase(server.url, { applicationName: 'bench' })
  const close = async (): Promise<void> => {
    await database.close()
    await server.stop()
  }
  try {
    await migrate(server.url)
    const builder = createSampleLog()
    const loaded: LoadedLog = { database, transactionCount, files: [], logBytes: 0, nowMs: 0, samples: [], loads: [], tenthTimes: {} as never, close }
    const tenth = transactionCount / 10
    for (const partCount of [tenth, transactionCount - tenth]) {
      progress(`writing and loading ${partCount} transactions`)
      const file = path.join(folder, `part-${loaded.files.length + 1}.jsonl`)
      const { sizeBytes, samples } = await writeSegment(builder, file, partCount, samplesPerPart)
      loaded.files.push(file)
      loaded.logBytes += sizeBytes
      loaded.nowMs = builder.nowMs
      loaded.loads.push(JSON.parse(await outputOfRole('ingest-role.js', ['file', server.url, file])) as IngestedFile)
      await vacuum(server.url)
      if (loaded.loads.length > 1) loaded.samples = samples
      else for (const kind of queryKinds) loaded.tenthTimes[kind] = await traceTimes(loaded, kind, samples.slice(0, growthQueryCount))
    }
    return loaded
  } catch (error) {
    await close()
    throw error
  }
}

async function needDisk(folder: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(0)
  if (bavail * bsize >= neededBytes) return
  throw new Error(
    `this scale needs ${gigabytes(neededBytes)} GB of disk in ${path.dirname(folder)}, ${gigabytes(bavail * bsize)} GB are free: set TMPDIR to a larger disk`,
  )
}

async function vacuum(url: string): Promise<void> {
  const owner = new pg.Client({ connectionString: url })
  await owner.connect()
  await owner.query('vacuum analyze')
  await owner.end()
}
