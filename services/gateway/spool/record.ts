/**
 * The records of a spool segment as octets: what a message is, and everything that happened to it since.
 *
 * Layout  u32 length of the body, u32 crc32 of the body; body: u8 kind, 16 octets queue id, payload. A segment is a
 *         header of `segmentHeaderBytes` and then records without gaps. All numbers big-endian.
 * Why     a length of zero is no record: a tail that a power cut left as zeros ends the segment like a torn one.
 * Fails   `readRecord` returns null for whatever is not a whole record with a right checksum; it never throws.
 */
import { crc32 } from 'node:zlib'
import type { DeliveryAttempted, EventBody, Reply } from '../../contracts/event.ts'
import type { Envelope } from './spool-contract.ts'

export const segmentHeaderBytes = 16
const segmentMagic = 'TGSPOOL1'
const recordHeaderBytes = 8
const bodyPrefixBytes = 17
/** Far above any record we write (octets up to `smallMessageBytes`, an envelope); a longer one is damage. */
const maxBodyBytes = 64 * 1024 * 1024

/** What happened to a recipient for good; `waiting` still needs delivery, `held` is kept for an operator by a rule. */
export type RecipientState = 'waiting' | 'held' | 'delivered' | 'failed' | 'expired'

/** One try as it is kept until its event is known to be durable. */
export type RecordedAttempt = {
  /** From 1 within the message; names the attempt in `logged` records. */
  serial: number
  /** Positions in `envelope.recipients`, in the order of `body.recipients`. */
  recipients: number[]
  /** Positions of those that failed because their time was over. */
  expired: number[]
  /** Positions of those that were delivered to a next hop which sends no reports, and whose sender wants one. */
  unreported?: number[]
  body: EventBody<DeliveryAttempted>
}

/** Recipients that an operator let go out of quarantine, kept until the event that says so is known to be durable. */
export type RecordedFreeing = {
  /** Counted with the attempts. */
  serial: number
  /** Positions in `envelope.recipients`. */
  recipients: number[]
  by: string
  atMs: number
}

/** `host`: who gave the reply. */
export type RecordedFailure = { reply: Reply | null; error: string | null; host: string; atMs: number }

/** Everything about a message besides its octets that outlives a crash. */
export type DeliveryState = {
  isReleased: boolean
  /** Kept for an operator: by a rule, or because it could not be delivered. */
  isHeld: boolean
  recipients: RecipientState[]
  /** Tries so far by route. */
  attemptCounts: Record<string, number>
  lastSerial: number
  /** Tries whose `delivery.attempted` may not be in the event log. */
  unlogged: RecordedAttempt[]
  /** When it was held for being undeliverable; absent where a rule held it when it was accepted. */
  heldAtMs?: number
  /** Freeings whose `quarantine.released` may not be in the event log. */
  untoldFreeings?: RecordedFreeing[]
  /** The last freeing: from then on it has as long to be delivered as a new message. */
  freedAtMs?: number
  /** By position, what the last try of those that failed for good came to: a report tells it. */
  failures?: Record<number, RecordedFailure>
  /** Positions that were delivered and nobody but us can report of. */
  unreported?: number[]
  /** Queue id of the last report to the sender, and the positions of all whom reports told of; set once durable. */
  reportId?: string
  reported?: number[]
  /** Positions of those that were ever freed: a person looked at their mail, so its subject gets no tag. */
  freed?: number[]
}

export type SpoolRecord =
  | { kind: 'message'; queueId: string; envelope: Envelope; state: DeliveryState; octets: Buffer }
  | { kind: 'large'; queueId: string; envelope: Envelope; state: DeliveryState; sizeBytes: number }
  | { kind: 'released' | 'finished' | 'aborted'; queueId: string }
  | { kind: 'held'; queueId: string; atMs: number | null }
  | { kind: 'freed'; queueId: string; freeing: RecordedFreeing }
  | { kind: 'attempt'; queueId: string; attempt: RecordedAttempt }
  | { kind: 'logged'; queueId: string; serial: number }

const kinds = ['message', 'large', 'released', 'held', 'finished', 'aborted', 'attempt', 'logged', 'freed'] as const
const kindNumbers = new Map(kinds.map((kind, index) => [kind, index + 1] as const))

export function newDeliveryState(envelope: Envelope): DeliveryState {
  return {
    isReleased: false,
    isHeld: envelope.disposition === 'quarantine',
    recipients: envelope.recipients.map(({ disposition }) => (disposition === 'quarantine' ? 'held' : 'waiting')),
    attemptCounts: {},
    lastSerial: 0,
    unlogged: [],
  }
}

export function segmentHeader(number: number): Buffer {
  const header = Buffer.alloc(segmentHeaderBytes)
  header.write(segmentMagic, 'latin1')
  header.writeUInt32BE(number, 8)
  header.writeUInt32BE(crc32(header.subarray(0, 12)), 12)
  return header
}

export function isSegmentHeader(octets: Buffer, number: number): boolean {
  return octets.subarray(0, segmentHeaderBytes).equals(segmentHeader(number))
}

/** The record as buffers to be written one after the other; octets of a message are passed on without a copy. */
export function encodedRecord(record: SpoolRecord): Buffer[] {
  if (record.kind === 'message') {
    const head = Buffer.from(JSON.stringify({ envelope: record.envelope, state: record.state }))
    const prefix = Buffer.allocUnsafe(recordHeaderBytes + bodyPrefixBytes + 4)
    writeBodyPrefix(prefix, record)
    prefix.writeUInt32BE(head.length, recordHeaderBytes + bodyPrefixBytes)
    let checksum = crc32(prefix.subarray(recordHeaderBytes))
    checksum = crc32(record.octets, crc32(head, checksum))
    return [withHeader(prefix, bodyPrefixBytes + 4 + head.length + record.octets.length, checksum), head, record.octets]
  }
  const payload = payloadOf(record)
  const whole = Buffer.allocUnsafe(recordHeaderBytes + bodyPrefixBytes + payload.length)
  writeBodyPrefix(whole, record)
  payload.copy(whole, recordHeaderBytes + bodyPrefixBytes)
  const body = whole.subarray(recordHeaderBytes)
  return [withHeader(whole, body.length, crc32(body))]
}

function payloadOf(record: Exclude<SpoolRecord, { kind: 'message' }>): Buffer {
  switch (record.kind) {
    case 'large':
      return Buffer.from(
        JSON.stringify({ envelope: record.envelope, state: record.state, sizeBytes: record.sizeBytes }),
      )
    case 'attempt':
      return Buffer.from(JSON.stringify(record.attempt))
    case 'logged':
      return Buffer.from(JSON.stringify({ serial: record.serial }))
    case 'freed':
      return Buffer.from(JSON.stringify(record.freeing))
    case 'held':
      return record.atMs === null ? Buffer.alloc(0) : Buffer.from(JSON.stringify({ atMs: record.atMs }))
    default:
      return Buffer.alloc(0)
  }
}

function writeBodyPrefix(target: Buffer, record: SpoolRecord): void {
  target[recordHeaderBytes] = kindNumbers.get(record.kind)!
  target.write(record.queueId.replaceAll('-', ''), recordHeaderBytes + 1, 16, 'hex')
}

function withHeader(target: Buffer, bodyBytes: number, checksum: number): Buffer {
  target.writeUInt32BE(bodyBytes, 0)
  target.writeUInt32BE(checksum, 4)
  return target
}

/** The record at `offset` and where the next one begins; `null` at the end and at anything that is no record. */
export function readRecord(octets: Buffer, offset: number): { record: SpoolRecord; endOffset: number } | null {
  if (octets.length - offset < recordHeaderBytes + bodyPrefixBytes) return null
  const bodyBytes = octets.readUInt32BE(offset)
  const bodyOffset = offset + recordHeaderBytes
  if (bodyBytes < bodyPrefixBytes || bodyBytes > maxBodyBytes || octets.length - bodyOffset < bodyBytes) return null
  const body = octets.subarray(bodyOffset, bodyOffset + bodyBytes)
  if (crc32(body) !== octets.readUInt32BE(offset + 4)) return null
  const record = decodedOrNull(body)
  return record === null ? null : { record, endOffset: bodyOffset + bodyBytes }
}

/** A right checksum over something that we did not write, e.g. of a later version: no record for us. */
function decodedOrNull(body: Buffer): SpoolRecord | null {
  try {
    return decodedBody(body)
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return null
    throw error
  }
}

function decodedBody(body: Buffer): SpoolRecord | null {
  const kind = kinds[body[0]! - 1]
  const queueId = queueIdOf(body.subarray(1, bodyPrefixBytes))
  const payload = body.subarray(bodyPrefixBytes)
  switch (kind) {
    case undefined:
      return null
    case 'message': {
      const octetsOffset = 4 + payload.readUInt32BE(0)
      const head = JSON.parse(payload.toString('utf8', 4, octetsOffset))
      return { kind, queueId, envelope: head.envelope, state: head.state, octets: payload.subarray(octetsOffset) }
    }
    case 'large':
      return { kind, queueId, ...JSON.parse(payload.toString()) }
    case 'attempt':
      return { kind, queueId, attempt: JSON.parse(payload.toString()) }
    case 'logged':
      return { kind, queueId, serial: JSON.parse(payload.toString()).serial }
    case 'freed':
      return { kind, queueId, freeing: JSON.parse(payload.toString()) }
    case 'held':
      // Spools of earlier versions did not tell when.
      return { kind, queueId, atMs: payload.length === 0 ? null : JSON.parse(payload.toString()).atMs }
    default:
      return { kind, queueId }
  }
}

function queueIdOf(octets: Buffer): string {
  const hex = octets.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** A report that tells of these is durable. */
export function applyReported(state: DeliveryState, reportId: string, recipients: readonly number[]): void {
  state.reportId = reportId
  state.reported = [...new Set([...(state.reported ?? []), ...recipients])]
}

/** The state after an attempt: recipients that were delivered or failed leave the queue. The same one twice is one. */
export function applyAttempt(state: DeliveryState, attempt: RecordedAttempt): void {
  if (attempt.serial <= state.lastSerial) return
  state.lastSerial = attempt.serial
  state.unlogged.push(attempt)
  const route = attempt.body.nextHop.route
  state.attemptCounts[route] = Math.max(state.attemptCounts[route] ?? 0, attempt.body.attempt)
  attempt.recipients.forEach((position, index) => {
    const { outcome, reply, error } = attempt.body.recipients[index]!
    if (outcome === 'delivered') state.recipients[position] = 'delivered'
    else if (outcome === 'failed') {
      state.recipients[position] = attempt.expired.includes(position) ? 'expired' : 'failed'
      const failure = { reply, error, host: attempt.body.nextHop.host, atMs: Date.parse(attempt.body.endedAt) }
      state.failures = { ...state.failures, [position]: failure }
    }
  })
  if (attempt.unreported !== undefined) state.unreported = [...(state.unreported ?? []), ...attempt.unreported]
}

/** The state after recipients were let go: they wait for delivery again, the others of a held message stay held. */
export function applyFreed(state: DeliveryState, freeing: RecordedFreeing): void {
  if (freeing.serial <= state.lastSerial) return
  state.lastSerial = freeing.serial
  state.recipients = state.recipients.map((recipient, position) => {
    if (freeing.recipients.includes(position)) return 'waiting'
    return state.isHeld && recipient === 'waiting' ? 'held' : recipient
  })
  state.isHeld = false
  state.freedAtMs = freeing.atMs
  state.freed = [...new Set([...(state.freed ?? []), ...freeing.recipients])]
  state.untoldFreeings = [...(state.untoldFreeings ?? []), freeing]
}

/** The event of that attempt or freeing is in the event log. */
export function applyLogged(state: DeliveryState, serial: number): void {
  state.unlogged = state.unlogged.filter((attempt) => attempt.serial !== serial)
  if (state.untoldFreeings === undefined) return
  state.untoldFreeings = state.untoldFreeings.filter((freeing) => freeing.serial !== serial)
}
