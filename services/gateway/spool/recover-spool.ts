/**
 * What a crash left: reads every segment and says which messages live on.
 *
 * Owns    what is delivered again: committed, its `transaction.ended` durable, and not finished.
 * Limits  one segment in memory at a time.
 * Why     reading stops at the first record of a segment that is not whole. No search for later ones: octets of a
 *         message could be made to look like records.
 * Fails   throws when the folder cannot be read; a torn or damaged segment is reported and the rest goes on.
 */
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Disk } from './disk.ts'
import { segmentNumberOf, segmentPath } from './journal.ts'
import { queueIdOfLargeFile } from './large-message-file.ts'
import type { StoredMessage } from './message-store.ts'
import { applyAttempt, applyFreed, applyLogged, applyReported, isSegmentHeader, readRecord, segmentHeaderBytes, type SpoolRecord } from './record.ts'

export type EventLogMemory = {
  /** Whether the `transaction.ended` of this id is durable. */
  wasLogged(queueId: string): boolean
  /** Whether its `message.finished` is durable, and no `quarantine.released` after it. */
  wasFinished(queueId: string): boolean
  /** Whether its `quarantine.deleted` is durable. */
  wasDeleted(queueId: string): boolean
  /** Whether the `quarantine.released` of that freeing is durable. */
  wasReleaseLogged(queueId: string, serial: number): boolean
}

export type OldSegment = { number: number; byteLength: number; isDamaged: boolean }

export type RecoveredSpool = {
  segments: OldSegment[]
  nextSegment: number
  /** To be delivered or kept, oldest first. */
  messages: StoredMessage[]
  /** Finished by the event log's word; the spool still has to note it. */
  finished: string[]
  /** Never acknowledged: dropped. */
  dropped: string[]
  /** Acknowledged, but their file is gone. */
  lost: string[]
  /** Segments that end in something that is no record. */
  torn: { path: string; offset: number; ignoredBytes: number }[]
}

export async function recoverSpool(folder: string, disk: Disk, memory: EventLogMemory, log: Logger): Promise<RecoveredSpool> {
  await disk.createFolder(folder)
  const names = await disk.list(folder)
  const numbers = names.map(segmentNumberOf).filter((number) => number !== null).sort((a, b) => a - b)
  const found = new Map<string, StoredMessage>()
  const reports: Report[] = []
  const recovered: RecoveredSpool = {
    segments: [],
    nextSegment: (numbers.at(-1) ?? 0) + 1,
    messages: [],
    finished: [],
    dropped: [],
    lost: [],
    torn: [],
  }
  for (const number of numbers) {
    const path = segmentPath(folder, number)
    const octets = await disk.readWhole(path)
    const endOffset = readSegment(octets, number, found, reports)
    // The newest segment may end in what was being written at the crash; an older one was whole before the next began.
    const isTorn = endOffset < octets.length
    recovered.segments.push({ number, byteLength: octets.length, isDamaged: isTorn && number !== numbers.at(-1) })
    if (isTorn) recovered.torn.push({ path, offset: endOffset, ignoredBytes: octets.length - endOffset })
  }
  // The record of a report is what makes it durable, so it alone tells that its message has one.
  for (const { reportId, queueId, recipients } of reports) {
    const message = found.get(queueId)
    if (message !== undefined) applyReported(message.state, reportId, recipients)
  }
  for (const message of found.values()) await judge(message, recovered, { folder, disk, memory })
  const kept = new Set(recovered.messages.filter((message) => message.isLarge).map((message) => message.queueId))
  for (const name of names) {
    const queueId = queueIdOfLargeFile(name)
    if (queueId !== null && !kept.has(queueId)) await disk.remove(join(folder, name))
  }
  report(recovered, log)
  return recovered
}

/** Applies the records of one segment and returns where the first that is not whole begins. */
function readSegment(octets: Buffer, number: number, found: Map<string, StoredMessage>, reports: Report[]): number {
  if (!isSegmentHeader(octets, number)) return 0
  let offset = segmentHeaderBytes
  for (;;) {
    const read = readRecord(octets, offset)
    if (read === null) return offset
    noteReport(read.record, reports)
    applyRecord(read.record, { segment: number, offset, byteLength: read.endOffset - offset }, found)
    offset = read.endOffset
  }
}

type Report = { reportId: string; queueId: string; recipients: readonly number[] }

function noteReport(record: SpoolRecord, reports: Report[]): void {
  if (record.kind !== 'message' || record.envelope.reportOf === undefined) return
  reports.push({ reportId: record.queueId, ...record.envelope.reportOf })
}

function applyRecord(record: SpoolRecord, location: StoredMessage['location'], found: Map<string, StoredMessage>): void {
  if (record.kind === 'message' || record.kind === 'large') {
    // A later copy is the segment's rewriting: it carries the state of that moment.
    const { queueId, envelope, state } = record
    const isLarge = record.kind === 'large'
    const sizeBytes = isLarge ? record.sizeBytes : record.octets.length
    found.set(queueId, { queueId, envelope, state, sizeBytes, isLarge, octets: null, location, isDone: false })
    return
  }
  const message = found.get(record.queueId)
  if (message === undefined) return
  if (record.kind === 'finished' || record.kind === 'aborted') found.delete(record.queueId)
  else if (record.kind === 'released') message.state.isReleased = true
  else if (record.kind === 'held') {
    message.state.isHeld = true
    if (record.atMs !== null) message.state.heldAtMs = record.atMs
  } else if (record.kind === 'freed') applyFreed(message.state, record.freeing)
  else if (record.kind === 'attempt') applyAttempt(message.state, record.attempt)
  else if (record.kind === 'logged') applyLogged(message.state, record.serial)
}

type Surroundings = { folder: string; disk: Disk; memory: EventLogMemory }

async function judge(message: StoredMessage, recovered: RecoveredSpool, { folder, disk, memory }: Surroundings): Promise<void> {
  const { queueId, state } = message
  if (memory.wasDeleted(queueId)) return void recovered.finished.push(queueId)
  for (const { serial } of state.untoldFreeings ?? []) {
    if (memory.wasReleaseLogged(queueId, serial)) applyLogged(state, serial)
  }
  // The end that the log tells may be the one before an operator let it go once more.
  const isFreedSince = (state.untoldFreeings?.length ?? 0) > 0
  if (memory.wasFinished(queueId) && !state.isHeld && !isFreedSince) return void recovered.finished.push(queueId)
  // An attempt was made after the event was durable only, so either record stands for it.
  const isAcknowledged = state.isReleased || state.lastSerial > 0 || memory.wasLogged(queueId)
  if (!isAcknowledged) return void recovered.dropped.push(queueId)
  // Undeliverable and held, but the crash came before the event that says so: the relay has to end it once more.
  const isEnded = state.recipients.every((recipient) => recipient !== 'waiting')
  if (state.isHeld && isEnded && state.unlogged.length > 0 && !memory.wasFinished(queueId)) state.isHeld = false
  if (message.isLarge && !(await isWhole(message, folder, disk))) return void recovered.lost.push(queueId)
  recovered.messages.push(message)
}

async function isWhole(message: StoredMessage, folder: string, disk: Disk): Promise<boolean> {
  try {
    return (await disk.sizeOf(join(folder, `large-${message.queueId}.eml`))) === message.sizeBytes
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

function report(recovered: RecoveredSpool, log: Logger): void {
  for (const torn of recovered.torn) {
    log.warn(torn, 'A spool segment ends in an unfinished record: what follows was never acknowledged and is ignored')
  }
  for (const queueId of recovered.lost) {
    log.error({ queueId }, 'The file of a spooled message is gone or cut: the message cannot be delivered')
  }
  const { messages, dropped, finished } = recovered
  if (messages.length + dropped.length + finished.length === 0) return
  log.info(
    { recoveredCount: messages.length, droppedCount: dropped.length, finishedCount: finished.length },
    'Spool recovered: messages wait for delivery again',
  )
}
