/** The words of `tollgate tariff`, `period`, `clients` and `correction`. What each does stands in a file that is loaded by need. */
import { InvalidArgumentError, Option, type Command } from 'commander'
import { savingsGroupings, type SavingsGrouping } from '../contracts/savings.ts'
import { correctionKinds, type CorrectionRequest } from '../contracts/statement.ts'
import type { CommandParts } from './rules-commands.ts'

type Common = { config?: string; demo?: boolean }
type Format = 'table' | 'json'

export function monthLabel(text: string): string {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(text)) throw new InvalidArgumentError('It is a year and a month, like 2026-11.')
  return text
}

function dayLabel(text: string): string {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) throw new InvalidArgumentError('Write a day like 2026-11-01.')
  return text
}

function collected(text: string, earlier: string[]): string[] {
  return [...earlier, text]
}

export function addBillingCommands(program: Command, { configOf, configOption, demoOption }: CommandParts): void {
  const formatOption = (): Option => new Option('--format <format>').choices(['table', 'json']).default('table')
  const shared = (command: Command): Command => command.addOption(configOption()).addOption(demoOption())

  const tariff = program.command('tariff').description('price lists (docs/billing.md)')
  shared(tariff.command('list').description('all of them, and who carries which').addOption(formatOption()))
    .action(async (options: Common & { format: Format }) => {
      const { listStoredTariffs } = await import('./tariff-commands.ts')
      await listStoredTariffs(configOf(options), { format: options.format, isDemo: options.demo === true })
    })
  shared(tariff.command('add').description('a new tariff out of a YAML file, or with --from a new version of one').argument('<name>').argument('<file>')
    .addOption(new Option('--from <day>', 'the day from which the version holds').argParser(dayLabel)))
    .action(async (tariffId: string, file: string, options: Common & { from?: string }) => {
      const { addTariff } = await import('./tariff-commands.ts')
      await addTariff(configOf(options), { tariffId, file, from: options.from ?? null, isDemo: options.demo === true })
    })
  shared(tariff.command('assign').description('which tariff a client carries; "none": that of its parent').argument('<client>').argument('<name>')
    .addOption(new Option('--from <day>', 'the day from which; may be left out the first time').argParser(dayLabel)))
    .action(async (clientId: string, name: string, options: Common & { from?: string }) => {
      const { giveTariff } = await import('./tariff-commands.ts')
      await giveTariff(configOf(options), { clientId, tariffId: name === 'none' ? null : name, from: options.from ?? null, isDemo: options.demo === true })
    })
  shared(tariff.command('simulate').description('what a month would have cost under a tariff; changes nothing')
    .addOption(new Option('--period <month>', 'like 2026-10').makeOptionMandatory().argParser(monthLabel))
    .option('--tariff <name>', 'its newest version')
    .option('--file <file>', 'a tariff that is not stored')
    .option('--client <id>', 'only this client; else every one without a parent')
    .addOption(formatOption()))
    .action(async (options: Common & { period: string; tariff?: string; file?: string; client?: string; format: Format }) => {
      const { simulate } = await import('./tariff-commands.ts')
      const { period, tariff: tariffId = null, file = null, client: clientId = null, format } = options
      await simulate(configOf(options), { period, tariffId, file, clientId, format, isDemo: options.demo === true })
    })

  const period = program.command('period').description('billing periods')
  shared(period.command('list').description('from the first with traffic on').addOption(formatOption()))
    .action(async (options: Common & { format: Format }) => {
      const { listPeriods } = await import('./period-commands.ts')
      await listPeriods(configOf(options), { format: options.format, isDemo: options.demo === true })
    })
  shared(period.command('show').description('what keeps it from being closed, and its statements').argument('<month>', 'like 2026-10', monthLabel))
    .action(async (label: string, options: Common) => {
      const { showPeriod } = await import('./period-commands.ts')
      await showPeriod(configOf(options), { label, isDemo: options.demo === true })
    })
  shared(period.command('close').description('cut off, rate and close, for good').argument('<month>', 'like 2026-10', monthLabel)
    .addOption(new Option('--accept <name>', 'something that is missing and taken as it is; may be repeated').argParser(collected).default([])))
    .action(async (label: string, options: Common & { accept: string[] }) => {
      const { close } = await import('./period-commands.ts')
      await close(configOf(options), { label, accepted: options.accept, isDemo: options.demo === true })
    })

  const clients = program.command('clients').description('who pays, and for which addresses')
  shared(clients.command('list').description('all of them').addOption(formatOption()))
    .action(async (options: Common & { format: Format }) => {
      const { showClients } = await import('./client-commands.ts')
      await showClients(configOf(options), { format: options.format, isDemo: options.demo === true })
    })
  shared(clients.command('export').description('as CSV, one line an address').option('--output <file>', 'write there instead of to standard output'))
    .action(async (options: Common & { output?: string }) => {
      const { exportClients } = await import('./client-commands.ts')
      await exportClients(configOf(options), { output: options.output ?? null, isDemo: options.demo === true })
    })
  shared(clients.command('import').description('the whole directory out of CSV').argument('<file>')
    .option('--dry-run', 'only tell what would change').option('--force', 'also where more than half of the addresses would go'))
    .action(async (file: string, options: Common & { dryRun?: boolean; force?: boolean }) => {
      const { importClients } = await import('./client-commands.ts')
      await importClients(configOf(options), { file, isDryRun: options.dryRun === true, isForced: options.force === true, isDemo: options.demo === true })
    })

  const correction = program.command('correction').description('what is billed otherwise than the log says')
  shared(correction.command('list').description('newest first'))
    .action(async (options: Common) => {
      const { showCorrections } = await import('./period-commands.ts')
      await showCorrections(configOf(options), { isDemo: options.demo === true })
    })
  shared(correction.command('add').description('cancel what is billed, let another client pay, or bill what is not')
    .addOption(new Option('--kind <kind>').choices(correctionKinds).makeOptionMandatory())
    .addOption(new Option('--why <text>', 'the reason; it stands in the record for ever').makeOptionMandatory())
    .option('--message <id>', 'one message')
    .option('--from <time>', 'or a range of time, ISO 8601 …')
    .option('--upto <time>', '… its end excluded, with --recipient or --client')
    .option('--recipient <address>', 'only entries of this address')
    .option('--client <id>', 'only entries of this client; house: of nobody')
    .option('--to-client <id>', 'for reassign: who pays; house: nobody')
    .option('--dry-run', 'only tell what would change'))
    .action(async (options: Common & CorrectionWords) => {
      const { addCorrection } = await import('./period-commands.ts')
      const { kind, why, message, from, upto, recipient, client, toClient, dryRun } = options
      const given = { transactionId: message, from, upto, recipient, clientId: client, toClientId: toClient, dryRun }
      const request = { kind, why, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) } as CorrectionRequest
      for (const time of [from, upto]) if (time !== undefined && Number.isNaN(Date.parse(time))) program.error(`error: "${time}" is no time: write one like 2026-10-01T00:00:00Z`, { exitCode: 2 })
      await addCorrection(configOf(options), { request, isDemo: options.demo === true })
    })
}

type CorrectionWords = {
  kind: CorrectionRequest['kind']; why: string; message?: string; from?: string; upto?: string; recipient?: string; client?: string; toClient?: string; dryRun?: boolean
}

export function addBillingReports(report: Command, { configOf, configOption, demoOption }: CommandParts): void {
  report
    .command('savings')
    .description('what was not sent because it was refused early')
    .addOption(new Option('--period <month>', 'like 2026-10').makeOptionMandatory().argParser(monthLabel))
    .addOption(new Option('--by <grouping>').choices(savingsGroupings).default('reason'))
    .addOption(new Option('--format <format>').choices(['table', 'csv', 'xlsx', 'json', 'ndjson']).default('table'))
    .option('--output <file>', 'write there instead of to standard output')
    .addOption(configOption())
    .addOption(demoOption())
    .action(async (options: Common & { period: string; by: SavingsGrouping; format: 'table' | 'csv' | 'xlsx' | 'json' | 'ndjson'; output?: string }) => {
      const { reportSavings } = await import('./report-savings.ts')
      const { period, by, format, output = null } = options
      await reportSavings(configOf(options), { period, by, format, output, isDemo: options.demo === true })
    })
  report
    .command('statement')
    .description('statements of a closed period')
    .addOption(new Option('--period <month>', 'like 2026-10').makeOptionMandatory().argParser(monthLabel))
    .option('--client <id>', 'only of this client')
    .addOption(new Option('--format <format>').choices(['csv', 'xlsx', 'json', 'ndjson', 'html']).default('csv'))
    .option('--output <file>', 'write there instead of to standard output')
    .addOption(configOption())
    .addOption(demoOption())
    .action(async (options: Common & { period: string; client?: string; format: 'csv' | 'xlsx' | 'json' | 'ndjson' | 'html'; output?: string }) => {
      const { reportStatement } = await import('./period-commands.ts')
      const { period, client = null, format, output = null } = options
      await reportStatement(configOf(options), { period, client, format, output, isDemo: options.demo === true })
    })
}
