/** `tollgate ingest FILE… --format postfix|haraka|exim`: takes in what another MTA logged. */
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isTimeZone } from '../contracts/period.ts'
import { isDatabaseUnavailable } from '../database/open-database.ts'
import { followMtaFile } from '../ingest/mta/follow-mta-file.ts'
import type { MtaSource } from '../ingest/mta/mta-line.ts'
import { ingestMtaFiles } from '../ingest/mta/ingest-mta-files.ts'
import { MtaLoader, type MtaLoaderOptions, type MtaSummary } from '../ingest/mta/mta-loader.ts'
import { LineSplitter } from '../ingest/line-splitter.ts'
import { compressionOf, openLog } from '../ingest/segment-file.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase, type CommandDatabase } from './command-database.ts'
import { refuseUnreadable } from './ingest-files.ts'
import { UsageError } from './outcome.ts'
import { progressBar } from './progress-bar.ts'

export type IngestMtaLogsOptions = {
  files: readonly string[]
  format: MtaSource
  isFinal: boolean
  timeZone: string | null
  year: number | null
  host: string | null
  isFollowing: boolean
  isDemo: boolean
}

export async function ingestMtaLogs(configured: Config, options: IngestMtaLogsOptions): Promise<void> {
  for (const file of options.files) {
    await refuseUnreadable(file)
    await refuseSegment(file, options.format)
  }
  if (options.timeZone !== null && !isTimeZone(options.timeZone)) {
    throw new UsageError(`--time-zone ${options.timeZone}: there is no such zone; write one like Europe/Berlin.`)
  }
  const stopping = new AbortController()
  const stop = (): void => stopping.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const summary = await withCommandDatabase(configured, options, async (opened) => {
    if (opened.config.recipients.domains.length === 0) {
      process.stderr.write('Note: recipients.domains lists no domain, so every recipient counts as one of yours.\n')
    }
    return await (options.isFollowing ? followAll(opened, options, stopping.signal) : readOnce(opened, options, stopping.signal))
  })
  if (summary === null) {
    process.exitCode = 1
    return
  }
  process.stderr.write(summaryText(summary, options.format))
  if (summary.unknown.size > 0 && tellsNothing(summary)) process.exitCode = 1
}

/** Every line of it would be kept as one that is not understood. */
async function refuseSegment(file: string, format: MtaSource): Promise<void> {
  const splitter = new LineSplitter()
  for await (const chunk of openLog(file, await compressionOf(file))) {
    const [line] = splitter.push(chunk)
    const start = line?.octets.toString('utf8') ?? ''
    if (start.startsWith('{') && start.includes('"segment.opened"')) {
      throw new UsageError(`${file}: this is a segment of Tollgate's own event log, and no log of ${format}; leave out --format.`)
    }
    return
  }
}

function tellsNothing({ newEventCount, knownEventCount, unfinished }: MtaSummary): boolean {
  return newEventCount + knownEventCount + unfinished.threadCount + unfinished.lineCount === 0
}

function loaderOptions({ database, config }: CommandDatabase, { format, timeZone, year, host }: IngestMtaLogsOptions): MtaLoaderOptions {
  return {
    database,
    settings: {
      tenantId: config.tenant,
      source: format,
      domains: config.recipients.domains,
      lowerCaseLocalPart: config.recipients.lowerCaseLocalPart,
      networks: config.networks,
    },
    clock: { timeZone, year },
    host: host ?? format,
    onWait: () => process.stderr.write(`Another process is at the log of ${format}: waiting for it.\n`),
  }
}

/** `null`: interrupted. What was read is ingested; what was not is with the next run. */
async function readOnce(opened: CommandDatabase, options: IngestMtaLogsOptions, signal: AbortSignal): Promise<MtaSummary | null> {
  let shown = ''
  let bar = progressBar('')
  try {
    return await ingestMtaFiles({
      ...loaderOptions(opened, options),
      files: options.files,
      isFinal: options.isFinal,
      signal,
      onProgress: (file, doneBytes, totalBytes) => {
        if (file !== shown) {
          bar.end()
          bar = progressBar(file)
          shown = file
        }
        bar.show(doneBytes, totalBytes)
      },
    })
  } catch (error) {
    if (signal.aborted) return null
    throw error
  } finally {
    bar.end()
  }
}

const retryMs = 5_000

/** The file as it grows. While the database is away, the log waits on disk. */
async function followAll(opened: CommandDatabase, options: IngestMtaLogsOptions, signal: AbortSignal): Promise<MtaSummary | null> {
  const [file, ...others] = options.files
  if (others.length > 0) throw new UsageError('--follow reads one live log: name the older files in a command without it, before.')
  for (;;) {
    try {
      return await MtaLoader.with(loaderOptions(opened, options), async (loader) => {
        await followMtaFile(loader, resolve(file!), signal)
        return loader.summary
      })
    } catch (error) {
      if (signal.aborted) return null
      if (!isDatabaseUnavailable(error)) throw error
      process.stderr.write('The database does not answer: trying again every 5 seconds.\n')
      await sleep(retryMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return null
    }
  }
}

const exampleCharacters = 160

function summaryText(summary: MtaSummary, format: MtaSource): string {
  const { lineCount, newTransactionCount, newEventCount, knownEventCount, noiseCount, unfinished, unknown } = summary
  const known = knownEventCount === 0 ? '' : `, ${knownEventCount} known before`
  let text = `${lineCount} lines: ${newEventCount} new events, ${newTransactionCount} of them mail transactions${known}; ${noiseCount} lines of no use here\n`
  if (unfinished.threadCount > 0) {
    text += `${unfinished.threadCount} messages and sessions are unfinished and go on with the next file (--final: none will come)\n`
  }
  if (unfinished.lineCount > 0) text += `${unfinished.lineCount} lines belong to messages that began before these files; they wait for the file with the beginning\n`
  for (const [reason, { count, example }] of unknown) {
    // The line came from elsewhere, and must not act on the terminal.
    const shown = example.replace(/[\p{Cc}\p{Cf}]/gu, ' ').slice(0, exampleCharacters)
    text += `${count} lines not understood (${reason}), kept as rejected; the first: ${shown}\n`
  }
  if (lineCount > 0 && tellsNothing(summary)) {
    text += `Nothing in there tells of mail: is it really the log of ${format}?\n`
  }
  return text
}
