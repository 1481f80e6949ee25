/** The words of `tollgate archive`: list, verify, hold, unhold. What they do stands in work-on-archive.ts. */
import { Option, type Command } from 'commander'
import type { Config } from '../kit/config.ts'

type Common = { config?: string; archive?: string }

export type CommandParts = { configOf: (options: Common) => Config; configOption: () => Option }

export function addArchiveCommands(program: Command, { configOf, configOption }: CommandParts): void {
  const archive = program.command('archive').description('the archive of messages, see docs/plugins.md')
  const archiveOption = () => new Option('--archive <name>', 'which one, where the configuration has several')

  archive
    .command('list')
    .description('every message in it, oldest first')
    .addOption(new Option('--format <format>').choices(['table', 'json']).default('table'))
    .addOption(archiveOption())
    .addOption(configOption())
    .action(async (options: Common & { format: 'table' | 'json' }) => {
      const { listArchive } = await import('./work-on-archive.ts')
      await listArchive(configOf(options), options.archive, options.format)
    })

  archive
    .command('verify')
    .description('read every message and tell what was changed or is missing; exit code 1 where something is')
    .addOption(archiveOption())
    .addOption(configOption())
    .action(async (options: Common) => {
      const { verifyArchive } = await import('./work-on-archive.ts')
      await verifyArchive(configOf(options), options.archive)
    })

  archive
    .command('hold')
    .description('legal hold: keep a message, or "all", past its time')
    .argument('<id>', 'id of the message, or "all"')
    .requiredOption('--reason <text>', 'why; it is kept with the hold')
    .addOption(archiveOption())
    .addOption(configOption())
    .action(async (id: string, options: Common & { reason: string }) => {
      const { holdArchived } = await import('./work-on-archive.ts')
      await holdArchived(configOf(options), options.archive, id, options.reason)
    })

  archive
    .command('unhold')
    .description('end a hold')
    .argument('<id>', 'id of the message, or "all"')
    .addOption(archiveOption())
    .addOption(configOption())
    .action(async (id: string, options: Common) => {
      const { unholdArchived } = await import('./work-on-archive.ts')
      await unholdArchived(configOf(options), options.archive, id)
    })
}
