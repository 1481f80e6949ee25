/**
 * The `tollgate` command: words, options and exit codes (DESIGN §2).
 *
 * Leaves  everything that is done to the files beside this one, loaded by need.
 * Fails   0 done, 1 the world failed, 2 used wrongly or bad configuration; one sentence each, on stderr.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { nearestWord } from '../contracts/trace-keys.ts'
import { rejectionReasons, usageGroupings } from '../contracts/api.ts'
import { exportFormats, exportProfiles, type ExportFormat } from '../contracts/export.ts'
import { meteringModes, roles, sources, type Source } from '../contracts/vocabulary.ts'
import type { Config } from '../kit/config.ts'
import { packageRoot } from '../kit/package-root.ts'
import { commandConfig } from './command-config.ts'
import { addGatewayCommands } from './gateway-commands.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { addArchiveCommands } from './archive-commands.ts'
import { addBillingCommands, addBillingReports, monthLabel } from './billing-commands.ts'
import { addRulesCommands } from './rules-commands.ts'
import type { RoleName } from './start-role.ts'
import { worldSentence } from './world-sentence.ts'

type Common = { config?: string; demo?: boolean }

/** Known to the sentence about a failure, once it is read. */
let readConfiguration: Config | null = null

function configOf(options: Common): Config {
  readConfiguration = commandConfig(options.config, (warning) => process.stderr.write(`Note: ${warning}.\n`))
  return readConfiguration
}

const configOption = () => new Option('--config <file>', 'configuration (default: tollgate.yaml in this folder, if there is one)')
const demoOption = () => new Option('--demo', 'work on the demo instead')
const version = (JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as { version: string }).version

const program = new Command('tollgate')
  .description('A mail gateway that knows what mail costs')
  .version(version)
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: (.)/, (_, first: string) => first.toUpperCase())) })
  .showSuggestionAfterError()

program
  .command('up')
  .description('run everything on this machine')
  .addOption(configOption())
  .option('--demo', 'with a month of history and a stream of sample mail, in a data folder and a database of its own')
  .action(async (options: Common) => {
    const { startUp } = await import('./start-up.ts')
    await startUp(configOf(options), options.demo === true)
  })

const roleDescriptions: [RoleName, string][] = [
  ['gateway', 'run the mail gateway alone; it needs no database'],
  ['ingest', 'run the reader of the event log alone, or read files into the database'],
  ['worker', 'run metering and rollups alone'],
  ['api', 'run the web interface and the HTTP API alone'],
]
for (const [role, description] of roleDescriptions) {
  if (role === 'ingest') continue
  const command = program
    .command(role)
    .description(description)
    .addOption(configOption())
    .action((options: Common) => startRoleByHand(role, options))
  if (role !== 'gateway') continue
  command
    .command('hash-password')
    .description('what the file of smtp.users wants as a password; it is asked for')
    .option('--password-stdin', 'read the password from standard input')
    .action(async (options: { passwordStdin?: boolean }) => {
      const { printPasswordHash } = await import('./hash-password.ts')
      await printPasswordHash({ isPasswordOnStdin: options.passwordStdin === true })
    })
}

program
  .command('ingest')
  .description(roleDescriptions[1]![1])
  .argument('[file...]', 'segments of an event log; none: run as a service on the data folder')
  .addOption(new Option('--format <format>', `what wrote the files: ${sources.join(', ')}`).argParser(sourceName).default('tollgate'))
  .option('--follow', 'go on reading as the files grow')
  .option('--final', 'with another format: no other file tells more, so store unfinished messages as far as they are known')
  .option('--time-zone <zone>', 'with another format: where the log names none, like Europe/Berlin (default: of this process)')
  .addOption(new Option('--year <year>', 'with another format: of the first line of each file, where the log names none').argParser(yearNumber))
  .option('--host <name>', 'with exim or haraka: the name of the server, which its log does not tell')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (files: string[], options: Common & MtaLogWords & { follow?: boolean; format: Source }) => {
    if (files.length === 0) return await startRoleByHand('ingest', options)
    if (options.format !== 'tollgate') {
      const { ingestMtaLogs } = await import('./ingest-mta-logs.ts')
      const { format, final, timeZone, year, host, follow, demo } = options
      return await ingestMtaLogs(configOf(options), {
        files, format, isFinal: final === true, timeZone: timeZone ?? null, year: year ?? null, host: host ?? null,
        isFollowing: follow === true, isDemo: demo === true,
      })
    }
    const { ingestFiles } = await import('./ingest-files.ts')
    await ingestFiles(configOf(options), { files, isFollowing: options.follow === true, isDemo: options.demo === true })
  })

// A child of `up --demo`; of no use by hand.
program.command('demo-mail', { hidden: true }).action((options: Common) => startRoleByHand('demo', options))

const db = program.command('db').description('the database schema')
db.command('migrate')
  .description('apply what is missing')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (options: Common) => {
    const { migrateDatabase } = await import('./db-commands.ts')
    await migrateDatabase(configOf(options), options.demo === true)
  })
db.command('status')
  .description('what is applied, and when')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (options: Common) => {
    const { showDatabaseStatus } = await import('./db-commands.ts')
    await showDatabaseStatus(configOf(options), options.demo === true)
  })

program
  .command('rebuild')
  .description('make derived tables again')
  .command('rollups')
  .description('totals by hour and day, from the messages; what retention has removed the messages of is kept')
  .addOption(new Option('--from <day>', 'first day (UTC), like 2026-11-01').argParser(calendarDay).default(null, 'the first there is'))
  .addOption(new Option('--upto <day>', 'the day after the last').argParser(calendarDay).default(null, 'the last there is'))
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (options: Common & { from: string | null; upto: string | null }) => {
    const { rebuildRollups } = await import('./rebuild-rollups.ts')
    await rebuildRollups(configOf(options), { range: { from: options.from, upto: options.upto }, isDemo: options.demo === true })
  })

program
  .command('erase')
  .description('take one person\'s data out of everything that is stored')
  .command('recipient')
  .description('an address, as recipient, sender or mentioned; totals and usage stay')
  .argument('<address>')
  .option('--yes', 'do it; without, only tell what would change')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (address: string, options: Common & { yes?: boolean }) => {
    const { eraseRecipient } = await import('./erase-recipient.ts')
    await eraseRecipient(configOf(options), { address, isConfirmed: options.yes === true, isDemo: options.demo === true })
  })

program
  .command('trace')
  .description('find messages, e.g. "to:anna@example.org after:-7d"')
  .argument('<query...>')
  .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
  .addOption(new Option('--limit <count>', 'newest so many').argParser(countUpTo(100_000)).default(50))
  .option('--detail', 'everything about each; also where the query is one id')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (query: string[], options: Common & { format: 'table' | 'json'; limit: number; detail?: boolean }) => {
    const { trace } = await import('./trace.ts')
    const { format, limit, detail = false, demo = false } = options
    await trace(configOf(options), { query: query.join(' '), format, limit, isDetailed: detail, isDemo: demo })
  })

const log = program.command('log').description('the event log as it is in the database')
log
  .command('status')
  .description('how far it is complete, by node; gaps; rejected lines by reason')
  .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (options: Common & { format: 'table' | 'json' }) => {
    const { showLogStatus } = await import('./log-commands.ts')
    await showLogStatus(configOf(options), { format: options.format, isDemo: options.demo === true })
  })
log
  .command('rejected')
  .description('lines that are no events, newest first')
  .addOption(new Option('--reason <reason>').choices(rejectionReasons))
  .addOption(new Option('--limit <count>', 'newest so many').argParser(countUpTo(100_000)).default(50))
  .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (options: Common & { reason?: string; limit: number; format: 'table' | 'json' }) => {
    const { showRejectedLines } = await import('./log-commands.ts')
    const { reason = null, limit, format, demo = false } = options
    await showRejectedLines(configOf(options), { reason, limit, format, isDemo: demo })
  })
log
  .command('accept-gap')
  .description('declare events lost for good: their gap counts as none')
  .argument('<node>')
  .argument('<boot>', 'its number or id, as status tells it')
  .argument('<from-upto>', 'sequence numbers, the second excluded', seqRange)
  .addOption(new Option('--reason <text>', 'why they are lost').makeOptionMandatory())
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (node: string, boot: string, range: { fromSeq: number; uptoSeq: number }, options: Common & { reason: string }) => {
    const { acceptLogGap } = await import('./log-commands.ts')
    await acceptLogGap(configOf(options), { node, boot, range, reason: options.reason, isDemo: options.demo === true })
  })

const report = program.command('report').description('reports over a billing period')
report
  .command('usage')
  .description('billed traffic')
  .addOption(new Option('--period <month>', 'like 2026-11').makeOptionMandatory().argParser(monthLabel))
  .addOption(new Option('--by <grouping>').choices(usageGroupings).default('client'))
  .addOption(new Option('--mode <mode>', 'as counted by the configuration unless given').choices(meteringModes))
  .addOption(new Option('--format <format>').choices(exportFormats).default('csv'))
  .addOption(new Option('--profile <program>', 'CSV as this program opens it').choices(exportProfiles))
  .option('--locale <locale>', 'whose numbers and separators --profile excel uses, like de', 'en')
  .addOption(new Option('--compare <with>', 'the month before beside each row').choices(['previous']))
  .option('--client <id>', 'only this client; house: addresses that nobody holds')
  .option('--output <file>', 'write there instead of to standard output')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (options: Common & ReportOptions) => {
    const { reportUsage } = await import('./report-usage.ts')
    await reportUsage(configOf(options), { ...options, isDemo: options.demo === true })
  })

type ReportOptions = {
  period: string
  by: (typeof usageGroupings)[number]
  mode?: (typeof meteringModes)[number]
  client?: string
  format: ExportFormat
  output?: string
  profile?: 'excel'
  locale: string
  compare?: 'previous'
}

addBillingReports(report, { configOf, configOption, demoOption, countUpTo })
addBillingCommands(program, { configOf, configOption, demoOption, countUpTo })
addRulesCommands(program, { configOf, configOption, demoOption, countUpTo })
addGatewayCommands(program, { configOf, configOption, demoOption, countUpTo })
addArchiveCommands(program, { configOf, configOption })

const imports = program.command('import').description('take over what there is')
imports
  .command('postfix')
  .description('a configuration of Tollgate out of that of a Postfix, and what became of every line')
  .argument('<folder>', 'the one that holds main.cf')
  .option('--output <folder>', 'where the files go', '.')
  .option('--dry-run', 'only tell')
  .option('--force', 'write over files that are there')
  .action(async (folder: string, options: { output: string; dryRun?: boolean; force?: boolean }) => {
    const { importPostfix } = await import('./import-postfix.ts')
    const { output, dryRun = false, force = false } = options
    await importPostfix(folder, { output, isForced: force, isDryRun: dryRun })
  })
imports
  .command('recipients')
  .description('clients and their addresses from a file')
  .argument('<file>')
  .option('--dry-run', 'only tell what would change')
  .option('--force', 'also where more than half of the addresses would go')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (file: string, options: Common & { dryRun?: boolean; force?: boolean }) => {
    const { importRecipients } = await import('./import-recipients.ts')
    const { dryRun = false, force = false, demo = false } = options
    await importRecipients(configOf(options), file, { isDemo: demo, isForced: force, isDryRun: dryRun })
  })

program
  .command('user')
  .description('people who may log in')
  .command('add')
  .description('add somebody; the password is asked for')
  .argument('<name>')
  .addOption(new Option('--role <role>').choices(roles).makeOptionMandatory())
  .option('--client <id>', 'whose mail a user of the role client sees')
  .option('--password-stdin', 'read the password from standard input')
  .addOption(configOption())
  .addOption(demoOption())
  .action(async (name: string, options: Common & { role: (typeof roles)[number]; client?: string; passwordStdin?: boolean }) => {
    const { addUser } = await import('./add-user.ts')
    await addUser(configOf(options), {
      name,
      role: options.role,
      clientId: options.client ?? null,
      isPasswordOnStdin: options.passwordStdin === true,
      isDemo: options.demo === true,
    })
  })

program
  .command('demo')
  .description('the demo of `tollgate up --demo`')
  .command('clear')
  .description('drop its data folder and its database')
  .addOption(configOption())
  .action(async (options: Common) => {
    const { clearDemo } = await import('./clear-demo.ts')
    await clearDemo(configOf(options))
  })

type MtaLogWords = { final?: boolean; timeZone?: string; year?: number; host?: string }

function sourceName(text: string): Source {
  const found = sources.find((source) => source === text.toLowerCase())
  if (found !== undefined) return found
  const nearest = nearestWord(text.toLowerCase(), sources)
  throw new InvalidArgumentError(`It is one of ${sources.join(', ')}.${nearest === null ? '' : ` Did you mean ${nearest}?`}`)
}

function yearNumber(text: string): number {
  if (/^20\d\d$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It is a year, like 2026.')
}

async function startRoleByHand(role: RoleName, options: Common): Promise<void> {
  const { runRole } = await import('./run-role.ts')
  await runRole(role, () => ({ config: configOf(options), isDemo: false, sinkPort: 0 }))
}

function countUpTo(most: number): (text: string) => number {
  return (text) => {
    const count = Number(text)
    if (Number.isInteger(count) && count >= 1 && count <= most) return count
    throw new InvalidArgumentError(`It is a whole number from 1 to ${most}.`)
  }
}

function seqRange(text: string): { fromSeq: number; uptoSeq: number } {
  const [, from, upto] = /^(\d{1,15})-(\d{1,15})$/.exec(text) ?? []
  if (from !== undefined && Number(from) < Number(upto)) return { fromSeq: Number(from), uptoSeq: Number(upto) }
  throw new InvalidArgumentError('It is two sequence numbers like 4-7, the second behind the last.')
}

function calendarDay(text: string): string {
  const day = /^\d{4}-\d\d$/.test(text) ? `${text}-01` : text
  const time = Date.parse(`${day}T00:00:00Z`)
  if (/^\d{4}-\d\d-\d\d$/.test(day) && !Number.isNaN(time) && new Date(time).toISOString().startsWith(day)) return day
  throw new InvalidArgumentError('It is a day like 2026-11-01, or a month like 2026-11.')
}

/** The exit code, after its sentence is printed. */
function explain(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n`)
    return 2
  }
  // Whoever reads our output has gone, as `head` does: nobody is left to tell.
  if (error instanceof Error && 'code' in error && error.code === 'EPIPE') return 0
  const sentence = error instanceof WorldFailure ? error.message : worldSentence(error, readConfiguration)
  if (sentence !== null) process.stderr.write(`${sentence}\n`)
  else process.stderr.write(`This is a mistake in Tollgate: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return 1
}

process.stdout.on('error', (error) => process.exit(explain(error)))

try {
  await program.parseAsync()
} catch (error) {
  process.exit(explain(error))
}
