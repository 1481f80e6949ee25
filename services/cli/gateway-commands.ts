/** The words of `tollgate queue` and `tollgate quarantine`; what they do is in work-on-gateway.ts, loaded by need. */
import { Option, type Command } from 'commander'
import type { CommandParts } from './rules-commands.ts'

type Common = { config?: string; demo?: boolean; format: 'table' | 'json' }

const formatOption = () => new Option('--format <format>').choices(['table', 'json']).default('table')

function collected(text: string, earlier: string[]): string[] {
  return [...earlier, text]
}

export function addGatewayCommands(program: Command, { configOf, configOption, demoOption, countUpTo }: CommandParts): void {
  const limitOption = () => new Option('--limit <count>', 'newest so many').argParser(countUpTo(100_000)).default(50)
  const asked = (command: Command): Command => command.addOption(formatOption()).addOption(configOption()).addOption(demoOption())
  const work = async (options: Common) => {
    const { gatewayWork } = await import('./work-on-gateway.ts')
    return gatewayWork(configOf(options), { format: options.format, isDemo: options.demo === true })
  }

  const queue = program.command('queue').description('mail that the gateway on this machine has still to deliver')
  asked(queue.command('list').description('newest first').addOption(limitOption())).action(
    async (options: Common & { limit: number }) => (await work(options)).listQueue(options.limit),
  )
  asked(queue.command('retry').description('try all of it that waits at once').argument('<id>')).action(
    async (id: string, options: Common) => (await work(options)).retry(id),
  )
  asked(
    queue
      .command('delete')
      .description('give up what waits: its recipients count as failed')
      .argument('<id>')
      .option('--yes', 'do it; without, only tell what would happen'),
  ).action(async (id: string, options: Common & { yes?: boolean }) => (await work(options)).deleteQueued(id, options.yes === true))

  const quarantine = program.command('quarantine').description('mail that rules hold, and mail that cannot be delivered')
  asked(
    quarantine
      .command('list')
      .description('newest first')
      .addOption(limitOption())
      .option('--from <text>', 'part of the sender')
      .option('--to <text>', 'part of a recipient')
      .option('--rule <id>', 'held by this rule')
      .addOption(new Option('--reason <reason>').choices(['rule', 'undeliverable'])),
  ).action(async (options: Common & { limit: number; from?: string; to?: string; rule?: string; reason?: string }) => {
    const { limit, from, to, rule, reason } = options
    await (await work(options)).listQuarantine(limit, { sender: from, recipient: to, rule, reason })
  })
  asked(quarantine.command('show').description('its headers and its text, safely').argument('<id>')).action(
    async (id: string, options: Common) => (await work(options)).showHeld(id),
  )
  asked(
    quarantine
      .command('release')
      .description('deliver it as it was received')
      .argument('<id>')
      .addOption(new Option('--to <address>', 'only to this recipient; may be given again').argParser(collected).default([])),
  ).action(async (id: string, options: Common & { to: string[] }) => (await work(options)).release(id, options.to))
  asked(
    quarantine
      .command('delete')
      .description('delete it for good')
      .argument('<id>')
      .option('--yes', 'do it; without, only tell what would happen'),
  ).action(async (id: string, options: Common & { yes?: boolean }) => (await work(options)).deleteHeld(id, options.yes === true))
}
