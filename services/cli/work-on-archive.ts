/** `tollgate archive list | verify | hold | unhold`: on the files of the archive, the gateway running or not. */
import { existsSync } from 'node:fs'
import type { Config } from '../kit/config.ts'
import { archiveFolder } from '../gateway/plugins/archive/archive-folder.ts'
import { endHold, readHolds, setHold } from '../gateway/plugins/archive/archive-holds.ts'
import { archivedEnvelopes, checkArchive } from '../gateway/plugins/archive/read-archive.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { textTable } from './text-table.ts'

const head = ['id', 'archived', 'kept until', 'hold', 'from', 'to', 'octets', 'subject']
const widths = [36, 20, 10, 4, 28, 28, 10, 40]

export async function listArchive(config: Config, name: string | undefined, format: 'table' | 'json'): Promise<void> {
  const folder = folderOf(config, name)
  const holds = await readHolds(folder)
  if (format === 'table') process.stdout.write(textTable(head, [], widths))
  for await (const entry of archivedEnvelopes(folder)) {
    const isHeld = holds.isHeld(entry.id)
    if (format === 'json') {
      process.stdout.write(`${JSON.stringify({ ...entry, isHeld })}\n`)
      continue
    }
    const recipients = entry.recipients.join(' ')
    const row = [entry.id, entry.archivedAt.slice(0, 19), entry.keepUntil ?? 'for ever', isHeld ? 'held' : '', entry.sender || '<>', recipients, String(entry.sizeBytes), entry.subject ?? '']
    process.stdout.write(textTable(null, [row], widths))
  }
}

export async function verifyArchive(config: Config, name: string | undefined): Promise<void> {
  const { messageCount, faults } = await checkArchive(folderOf(config, name))
  for (const { file, message } of faults) process.stdout.write(`${file}: ${message}\n`)
  const messages = `${messageCount} ${messageCount === 1 ? 'message' : 'messages'}`
  if (faults.length > 0) throw new WorldFailure(`The archive has ${messages} and ${faults.length} faults.`)
  process.stdout.write(`${messages}, all as they were put there\n`)
}

export async function holdArchived(config: Config, name: string | undefined, id: string, reason: string): Promise<void> {
  const isNew = await setHold(folderOf(config, name), await knownId(config, name, id), reason)
  process.stdout.write(isNew ? `${id} is held\n` : `${id} was held before\n`)
}

export async function unholdArchived(config: Config, name: string | undefined, id: string): Promise<void> {
  const wasHeld = await endHold(folderOf(config, name), idOrAll(id))
  if (!wasHeld) throw new UsageError(`There is no hold on ${id}.`)
  process.stdout.write(`${id} is held no longer\n`)
}

function idOrAll(id: string): string | null {
  if (id === 'all') return null
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id
  throw new UsageError(`"${id}" is no id of a message: "tollgate archive list" shows them, and "all" is every message.`)
}

async function knownId(config: Config, name: string | undefined, id: string): Promise<string | null> {
  const known = idOrAll(id)
  if (known === null) return null
  for await (const entry of archivedEnvelopes(folderOf(config, name))) if (entry.id === known) return known
  throw new UsageError(`The archive has no message ${id}.`)
}

function folderOf({ plugins, data }: Config, name: string | undefined): string {
  const names = plugins.archive.map((archive) => archive.name)
  const chosen = name === undefined && names.length === 1 ? names[0] : name
  const archive = plugins.archive.find((candidate) => candidate.name === chosen)
  if (archive === undefined) {
    const choice = names.length === 0 ? 'The configuration has no archive: add one to "plugins".' : `Name one of ${names.join(', ')} with --archive.`
    throw new UsageError(name === undefined || names.length === 0 ? choice : `There is no archive "${name}". ${choice}`)
  }
  const folder = archiveFolder(archive, data)
  if (!existsSync(folder)) throw new WorldFailure(`There is no archive yet at ${folder}: the gateway makes it when it starts.`)
  return folder
}
