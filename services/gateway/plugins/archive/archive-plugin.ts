/**
 * Keeps every message that it wants in a write-once store, apart from the queue, for a set time.
 *
 * Owns    message and envelope on disk and durable before the 250; the pass that removes what is past its time.
 * Leaves  looking into it, checking it and legal hold to archive-commands and `tollgate archive`.
 * Limits  the longest time that fits counts; a message under legal hold is never removed.
 */
import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { Static } from 'typebox'
import { domainOf } from '../../../contracts/address.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { ArchiveSettings } from '../../../kit/plugin-settings.ts'
import { ensureWritableFolder } from '../../../kit/writable-folder.ts'
import { acceptedRecipients } from '../../session/transaction.ts'
import type { Envelope } from '../../spool/spool-contract.ts'
import type { PluginDeps } from '../guarded-plugin.ts'
import type { PluginMessage } from '../plugin-contract.ts'
import type { Plugin } from '../plugin.ts'
import { archiveFileName, dayFolder, dayNumber, type ArchiveEnvelope } from './archive-entry.ts'
import { removeExpired } from './remove-expired.ts'
import { removeUnfinished, writeOnce } from './write-once.ts'

type Settings = Static<typeof ArchiveSettings>

const dayMs = 86_400_000
const passMs = 6 * 3_600_000

/** Throws where the folder cannot be written to. */
export async function archivePlugin(settings: Settings, folder: string, { clock, log }: PluginDeps): Promise<Plugin> {
  ensureWritableFolder(folder)
  await removeUnfinished(folder)
  let passing: Promise<void> = Promise.resolve()
  const pass = (): void => {
    passing = passing.then(async () => {
      try {
        const count = await removeExpired(folder, clock.nowMs())
        if (count > 0) log.info({ plugin: settings.name, count }, 'Messages past their time were removed from the archive')
      } catch (error) {
        log.error({ plugin: settings.name, err: error as Error }, 'Messages past their time could not be removed from the archive')
      }
    })
  }
  const timer = setInterval(pass, passMs)
  timer.unref()
  pass()
  return {
    kind: 'archive',
    settings,
    version: async () => folder,
    async prepare(message, envelope, signal) {
      const detail = await keep(folder, entryOf(settings, message, envelope, clock), message, signal)
      return { result: 'archived', detail, envelope }
    },
    async close() {
      clearInterval(timer)
      await passing
    },
  }
}

/** The envelope last: a message without one was never kept. Its digest stands in the event: the log vouches for it. */
async function keep(folder: string, entry: ArchiveEnvelope, message: PluginMessage, signal: AbortSignal): Promise<string> {
  const { id, keepUntil, archivedAt } = entry
  const day = dayFolder(Date.parse(archivedAt))
  await writeOnce(folder, day, async (file) => {
    const sha256 = await copyOctets(message, file)
    if (sha256 !== entry.sha256) throw new Error('the message could not be read back as it was received')
    return archiveFileName({ id, keepUntil, sha256, extension: 'eml' })
  })
  signal.throwIfAborted()
  const text = Buffer.from(`${JSON.stringify(entry)}\n`)
  const sha256 = createHash('sha256').update(text).digest('hex')
  await writeOnce(folder, day, async (file) => {
    await file.writeFile(text)
    return archiveFileName({ id, keepUntil, sha256, extension: 'json' })
  })
  return `${day}, ${keepUntil === null ? 'for ever' : `until ${keepUntil}`} by ${entry.keptBy}; envelope sha256 ${sha256}`
}

async function copyOctets(message: PluginMessage, file: FileHandle): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of message.octets()) {
    hash.update(chunk)
    for (let at = 0; at < chunk.length; ) at += (await file.write(chunk, at)).bytesWritten
  }
  return hash.digest('hex')
}

function entryOf(settings: Settings, message: PluginMessage, envelope: Envelope, clock: Pick<Clock, 'nowMs'>): ArchiveEnvelope {
  const { transaction, sizeBytes, digest } = message
  const { days, keptBy } = timeOf(settings, message)
  const nowMs = clock.nowMs()
  return {
    version: 1,
    id: transaction.id,
    archivedAt: new Date(nowMs).toISOString(),
    keepUntil: days === 0 ? null : dayNumber(nowMs + days * dayMs),
    keptBy,
    sender: envelope.sender,
    recipients: acceptedRecipients(transaction).map(({ address }) => address),
    deliveredTo: envelope.recipients.map(({ address }) => address),
    disposition: envelope.disposition,
    remoteIp: transaction.facts.remote.ip,
    authUser: transaction.facts.authUser,
    subject: transaction.message.subject,
    messageId: transaction.message.messageId,
    sizeBytes,
    sha256: digest,
    prependedHeaders: envelope.prependedHeaders,
    subjectTag: envelope.subjectTag,
  }
}

/** 0: for ever, the longest of all. */
function timeOf({ keep, keepDays }: Settings, { transaction }: PluginMessage): { days: number; keptBy: string } {
  const addresses = [transaction.sender ?? '', ...acceptedRecipients(transaction).map(({ normalized }) => normalized)]
  const domains = new Set(addresses.map((address) => domainOf(address).toLowerCase()))
  const rules = new Set(
    transaction.evaluations.flatMap(({ hits }) => hits.filter(({ shadow, branch }) => !shadow && branch === 'then').map(({ ruleId }) => ruleId)),
  )
  const fitting = keep.flatMap(({ domain, rule, days }) => [
    ...(domain !== undefined && domains.has(domain.toLowerCase()) ? [{ days, keptBy: `domain ${domain}` }] : []),
    ...(rule !== undefined && rules.has(rule) ? [{ days, keptBy: `rule ${rule}` }] : []),
  ])
  const length = (days: number): number => (days === 0 ? Infinity : days)
  return fitting.sort((a, b) => length(b.days) - length(a.days))[0] ?? { days: keepDays, keptBy: 'keepDays' }
}
