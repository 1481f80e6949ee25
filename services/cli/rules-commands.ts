/** The words of `tollgate rules`: check, backtest. Each is done in a file of its own, loaded by need. */
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

export function addRulesCommands(program: Command, { configOf, configOption, demoOption, countUpTo }: CommandParts): void {
  const rules = program.command('rules').description('rule sets')

  rules
    .command('check')
    .description('tell every mistake in a file of rules')
    .argument('<file>')
    .action(async (file: string) => {
      const { checkRules } = await import('./check-rules.ts')
      checkRules(file)
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
      await backtestRules(configOf(options), file, { days: options.days, format: options.format, isDemo: options.demo === true })
    })
}
