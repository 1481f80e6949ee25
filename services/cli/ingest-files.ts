/** `tollgate ingest FILE…`: takes files of an event log in, with a bar on a terminal and nothing on a pipe. */
import { setTimeout as sleep } from 'node:timers/promises'
import { stat } from 'node:fs/promises'
import { ingestFile } from '../ingest/ingest-file.ts'
import { noCounts, sumOfCounts, type StoredCounts } from '../ingest/store-batch.ts'
import type { Config } from '../kit/config.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { withCommandDatabase, type CommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { progressBar } from './progress-bar.ts'

export type IngestFilesOptions = { files: readonly string[]; isFollowing: boolean; isDemo: boolean }

export async function ingestFiles(configured: Config, options: IngestFilesOptions): Promise<void> {
  for (const file of options.files) await refuseUnreadable(file)
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const total = await withCommandDatabase(configured, options, async (opened) => {
    let counts = noCounts
    for (const file of options.files) {
      if (!stopping.signal.aborted) counts = sumOfCounts(counts, await ingestOne(opened, file, stopping.signal))
    }
    if (options.isFollowing) await follow(opened, options.files, stopping.signal)
    return counts
  })
  process.stderr.write(summary(total))
  if (total.rejectedLineCount > 0) process.exitCode = 1
  if (stopping.signal.aborted && !options.isFollowing) process.exitCode = 1
}

export async function refuseUnreadable(file: string): Promise<void> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') throw new UsageError(`${file}: there is no such file.`)
    throw error
  })
  if (found.isDirectory()) throw new UsageError(`${file}: this is a folder; name the files in it.`)
}

async function ingestOne({ database, config }: CommandDatabase, path: string, signal: AbortSignal): Promise<StoredCounts> {
  const bar = progressBar(path)
  const log = openOperatorLog('ingest', { level: 'warn' })
  try {
    return await ingestFile({ database, tenantId: config.tenant, path, log, signal, onProgress: bar.show })
  } catch (error) {
    // Interrupted: what was read is ingested, and the next run goes on from there.
    if (signal.aborted) return noCounts
    throw error
  } finally {
    bar.end()
  }
}

const lookEveryMs = 500

/** Reads a file again when it has grown: what is known of it already is recognised. */
async function follow(opened: CommandDatabase, files: readonly string[], signal: AbortSignal): Promise<void> {
  const sizes = new Map(await Promise.all(files.map(async (file) => [file, (await stat(file)).size] as const)))
  while (!signal.aborted) {
    await sleep(lookEveryMs, undefined, { signal }).catch(() => {})
    for (const file of files) {
      const { size } = await stat(file)
      if (size === sizes.get(file) || signal.aborted) continue
      sizes.set(file, size)
      await ingestOne(opened, file, signal)
    }
  }
}

function summary({ lineCount, newEventCount, newTransactionCount, knownEventCount, rejectedLineCount }: StoredCounts): string {
  const known = knownEventCount === 0 ? '' : `, ${knownEventCount} known before`
  const rejected = rejectedLineCount === 0 ? '' : `; ${rejectedLineCount} lines rejected and kept with the reason`
  return `${lineCount} lines: ${newEventCount} new events, ${newTransactionCount} of them mail transactions${known}${rejected}\n`
}
