/**
 * The words of `tollgate rules`: check, diff, explain, levels, publish, versions, revert, backtest. What each does stands
 * in a file of its own, loaded by need.
 */
import { Option, type Command } from 'commander'
import type { Config } from '../kit/config.ts'

type Common = { config?: string; demo?: boolean }

export type CommandParts = {
  configOf: (options: Common) => Config
  configOption: () => Option
  demoOption: () => Option
  countUpTo: (most: number) => (text: string) => number
}

const mostDays = 3_660

function publishOptions(note: string | undefined, { demo = false }: Common): { note?: string; isDemo: boolean } {
  return { ...(note === undefined ? {} : { note }), isDemo: demo }
}

function collected(text: string, earlier: string[]): string[] {
  return [...earlier, text]
}

export function addRulesCommands(
  program: Command,
  { configOf, configOption, demoOption, countUpTo }: CommandParts,
): void {
  const rules = program.command('rules').description('rule sets')

  rules
    .command('check')
    .description('tell every mistake in a file of rules')
    .argument('<file>')
    .action(async (file: string) => {
      const { checkRules } = await import('./check-rules.ts')
      await checkRules(file)
    })

  rules
    .command('diff')
    .description('what the second file changes against the first, rule by rule')
    .argument('<before>')
    .argument('<after>')
    .addOption(new Option('--format <format>').choices(['text', 'json']).default('text'))
    .action(async (before: string, after: string, options: { format: 'text' | 'json' }) => {
      const { diffRules } = await import('./diff-rules.ts')
      await diffRules(before, after, options.format)
    })

  rules
    .command('explain')
    .description('every rule in order for one message: --message and its id, or its event on standard input')
    .argument('<file>')
    .option('--message <id>', 'a stored message')
    .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
    .addOption(configOption())
    .addOption(demoOption())
    .action(async (file: string, options: Common & { message?: string; format: 'table' | 'json' }) => {
      const { explainRules } = await import('./explain-rules.ts')
      const { message, format, demo = false } = options
      await explainRules(() => configOf(options), file, {
        ...(message === undefined ? {} : { message }),
        format,
        isDemo: demo,
      })
    })

  rules
    .command('levels')
    .description('a rule set out of levels from 1 (strict) to 10 (lax), to begin with')
    .addOption(new Option('--level <level>', 'of all groups').argParser(countUpTo(10)).default(5))
    .addOption(
      new Option('--group <group=level>', 'of one group; may be given again').argParser(collected).default([]),
    )
    .addOption(
      new Option('--far-away <country>', 'a country for the group geography, two letters; may be given again')
        .argParser(collected)
        .default([]),
    )
    .addOption(
      new Option('--format <format>', 'table: what each level sets').choices(['yaml', 'table']).default('yaml'),
    )
    .action(async (options: { level: number; group: string[]; farAway: string[]; format: 'yaml' | 'table' }) => {
      const { showLevels } = await import('./show-levels.ts')
      showLevels({ level: options.level, groups: options.group, farAway: options.farAway, format: options.format })
    })

  rules
    .command('publish')
    .description('put the rules of a file in force, as a new version')
    .argument('<file>')
    .option('--note <text>', 'why')
    .addOption(configOption())
    .addOption(demoOption())
    .action(async (file: string, { note, ...options }: Common & { note?: string }) => {
      const { publishRulesFile } = await import('./publish-rules.ts')
      await publishRulesFile(configOf(options), file, publishOptions(note, options))
    })

  rules
    .command('versions')
    .description('what was published, newest first')
    .addOption(new Option('--limit <count>').argParser(countUpTo(1_000)).default(20))
    .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
    .addOption(configOption())
    .addOption(demoOption())
    .action(async ({ limit, format, ...options }: Common & { limit: number; format: 'table' | 'json' }) => {
      const { showVersions } = await import('./publish-rules.ts')
      await showVersions(configOf(options), { limit, format, isDemo: options.demo === true })
    })

  rules
    .command('revert')
    .description('put an old version in force again, as a new one with its content')
    .argument('<version>', 'its number, see `rules versions`', countUpTo(2_147_483_647))
    .option('--note <text>', 'why')
    .addOption(configOption())
    .addOption(demoOption())
    .action(async (version: number, { note, ...options }: Common & { note?: string }) => {
      const { revertRules } = await import('./publish-rules.ts')
      await revertRules(configOf(options), version, publishOptions(note, options))
    })

  rules
    .command('backtest')
    .description('what the rules of a file would have changed over the mail of the last days')
    .argument('<file>')
    .addOption(new Option('--days <count>', 'so many days back').argParser(countUpTo(mostDays)).default(30))
    .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
    .addOption(configOption())
    .addOption(demoOption())
    .action(async (file: string, options: Common & { days: number; format: 'table' | 'json' }) => {
      const { backtestRules } = await import('./backtest-rules.ts')
      await backtestRules(configOf(options), file, {
        days: options.days,
        format: options.format,
        isDemo: options.demo === true,
      })
    })
}
