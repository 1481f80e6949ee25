/**
 * What this node's own log of the last days tells a new boot: which messages are still to be delivered, and which
 * the remotes may not know to be accepted (DESIGN §3).
 *
 * Limits  looks back `windowMs` and reads at most `maxBytes`, the newest segments; keeps only what is unfinished, the
 *         last that ended, and what is a candidate for a retry.
 * Why     an id older than what was read counts as logged and unfinished, and so does every id where there is no log
 *         (somebody removed it): a spooled message without its event can only stem from the last moments of a boot,
 *         and what the spool still holds must not be dropped on a guess.
 */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { QuarantineDeleted, QuarantineReleased, SessionClosed, TransactionEnded } from '../../contracts/event.ts'
import { maxLineBytes } from '../../contracts/event.ts'
import { timeMsOfTransactionId } from '../../contracts/transaction-id.ts'
import { DuplicateIndex, duplicateWindowMs } from '../session/duplicate-index.ts'
import { readSegmentHeader, type SegmentFile } from './segment-files.ts'

export type RecentEvents = {
  wasLogged(queueId: string): boolean
  wasFinished(queueId: string): boolean
  wasDeleted(queueId: string): boolean
  wasReleaseLogged(queueId: string, serial: number): boolean
  duplicates: DuplicateIndex
}

const maxBytesDefault = 4 * 1024 * 1024 * 1024
const maxFinished = 200_000

/** `segments` of this node, oldest first. */
export async function readRecentEvents(
  segments: readonly SegmentFile[],
  nowMs: number,
  options: { windowMs?: number; maxBytes?: number } = {},
): Promise<RecentEvents> {
  const windowMs = options.windowMs ?? duplicateWindowMs
  const chosen = await newestSegments(segments, nowMs - windowMs, options.maxBytes ?? maxBytesDefault)
  const memory = new Memory()
  for (const { file } of chosen.segments) await readLines(file.path, (line) => memory.take(line))
  memory.endOfBoot()
  const { fromMs } = chosen
  return {
    wasLogged: (queueId) => memory.unfinished.has(queueId) || timeMsOfTransactionId(queueId) < fromMs,
    wasFinished: (queueId) => memory.finished.has(queueId),
    wasDeleted: (queueId) => memory.deleted.has(queueId),
    wasReleaseLogged: (queueId, serial) => memory.released.has(`${queueId} ${serial}`),
    duplicates: memory.duplicates,
  }
}

type Chosen = { segments: { file: SegmentFile; openedAtMs: number }[]; fromMs: number }

/** From the end back, until one was opened before the window; that one still reaches into it. */
async function newestSegments(
  segments: readonly SegmentFile[],
  windowFromMs: number,
  maxBytes: number,
): Promise<Chosen> {
  const chosen: Chosen['segments'] = []
  let leftBytes = maxBytes
  for (const file of [...segments].reverse()) {
    const header = await readSegmentHeader(file.path)
    if (header === null) continue
    leftBytes -= (await stat(file.path)).size
    if (leftBytes < 0 && chosen.length > 0) break
    const openedAtMs = Date.parse(header.at)
    chosen.unshift({ file, openedAtMs })
    if (openedAtMs < windowFromMs) break
  }
  const oldest = chosen[0]
  if (oldest === undefined) return { segments: chosen, fromMs: Infinity }
  const isWhole = oldest.file.bootNumber === 1 && oldest.file.segment === 1
  // A transaction may have begun before the segment that holds its end: give it an hour.
  return { segments: chosen, fromMs: isWhole ? 0 : oldest.openedAtMs + 3_600_000 }
}

class Memory {
  /** Queued, and nothing said yet that it is done. */
  readonly unfinished = new Set<string>()
  /** The newest that are done: positive evidence only, or a log that somebody tidied up would drop spooled mail. */
  readonly finished = new Set<string>()
  /** The newest that an operator or time took out of quarantine for good. */
  readonly deleted = new Set<string>()
  /** The newest that were let go out of quarantine, with the serial of the spool's record. */
  readonly released = new Set<string>()
  readonly duplicates = new DuplicateIndex()
  /** Accepted in sessions of which no end is known, by session. */
  readonly #open = new Map<string, TransactionEnded[]>()

  take(line: string): void {
    const kind = kindOf(line)
    if (kind === null) return
    let event: unknown
    try {
      event = JSON.parse(line)
    } catch {
      // The torn last line of a boot that died.
      return
    }
    if (kind === 'transaction.ended') this.#takeTransaction(event as TransactionEnded)
    else if (kind === 'session.closed') this.#takeSession(event as SessionClosed)
    else if (kind === 'message.finished') this.#takeEnd((event as { queueId: string }).queueId)
    else if (kind === 'quarantine.deleted') this.#takeDeletion(event as QuarantineDeleted)
    else if (kind === 'quarantine.released') this.#takeRelease(event as QuarantineReleased)
    else this.endOfBoot()
  }

  /** Sessions without an end died with their boot: what they had accepted, the remotes may send again. */
  endOfBoot(): void {
    for (const accepted of this.#open.values()) for (const event of accepted) this.#addCandidate(event)
    this.#open.clear()
  }

  #takeTransaction(event: TransactionEnded): void {
    if (event.queueId !== null) this.unfinished.add(event.queueId)
    if (event.reply === null || event.reply.code >= 300 || event.duplicateOf !== null) return
    const accepted = this.#open.get(event.sessionId)
    if (accepted === undefined) this.#open.set(event.sessionId, [withoutBulk(event)])
    else accepted.push(withoutBulk(event))
  }

  /** The spool notes an end within a second of its event, so that only the last of a boot are ever asked for. */
  #takeEnd(queueId: string): void {
    this.unfinished.delete(queueId)
    addNewest(this.finished, queueId)
  }

  #takeDeletion({ transactionId }: QuarantineDeleted): void {
    this.#takeEnd(transactionId)
    addNewest(this.deleted, transactionId)
  }

  /** It may have ended as undeliverable before: what counts is that it is on its way again. */
  #takeRelease({ transactionId, serial }: QuarantineReleased): void {
    this.finished.delete(transactionId)
    this.unfinished.add(transactionId)
    if (serial !== undefined) addNewest(this.released, `${transactionId} ${serial}`)
  }

  #takeSession({ sessionId, unflushedTransactionIds }: SessionClosed): void {
    for (const event of this.#open.get(sessionId) ?? []) {
      if (unflushedTransactionIds.includes(event.transactionId)) this.#addCandidate(event)
    }
    this.#open.delete(sessionId)
  }

  #addCandidate(event: TransactionEnded): void {
    const recipients = event.recipients
      .filter(({ outcome }) => outcome !== 'refused' && outcome !== 'deferred')
      .map(({ normalized }) => normalized)
    const { sender, digest, messageId } = event
    this.duplicates.add(
      { sender: sender ?? '', recipients, digest, messageId },
      event.transactionId,
      Date.parse(event.endedAt),
    )
  }
}

function addNewest(ids: Set<string>, id: string): void {
  ids.add(id)
  if (ids.size <= maxFinished) return
  for (const oldest of ids) {
    ids.delete(oldest)
    break
  }
}

function withoutBulk(event: TransactionEnded): TransactionEnded {
  return { ...event, headers: [], evaluations: [], attachments: [], checks: [] }
}

const wanted = new Set([
  'transaction.ended',
  'session.closed',
  'message.finished',
  'quarantine.deleted',
  'quarantine.released',
  'gateway.started',
])

/** Found without parsing: the writer puts it behind the place of the line, before anything a remote can write. */
function kindOf(line: string): string | null {
  const kind = /^\{"tenantId":"[^"]*","node":"[^"]*","boot":"[^"]*","seq":\d+,"at":"[^"]*","kind":"([^"]+)"/.exec(
    line,
  )?.[1]
  return kind !== undefined && wanted.has(kind) ? kind : null
}

async function readLines(file: string, take: (line: string) => void): Promise<void> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    let octets = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    for (let end = octets.indexOf(10); end >= 0; end = octets.indexOf(10)) {
      take(octets.toString('utf8', 0, end))
      octets = octets.subarray(end + 1)
    }
    // What is longer than a line can be is damage: dropped up to its end.
    rest = octets.length > maxLineBytes ? octets.subarray(0, 0) : octets
  }
}
