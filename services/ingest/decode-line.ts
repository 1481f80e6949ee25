/**
 * One line of the log to an event, or to the reason why it is none.
 *
 * Owns    what counts as a valid line: encoding, JSON, schema, tenant, times.
 * Leaves  whether the event is new or contradicts a stored one to store-batch.ts.
 * Why     an escaped NUL or a lone surrogate, which Postgres cannot hold, is replaced by U+FFFD and the event is
 *         taken: the remote chooses those texts, and must not choose to be left out of trace and bill. A raw NUL
 *         is no JSON, and is what a disk leaves behind: that line is rejected.
 * Fails   never throws on any octets.
 */
import { hash } from 'node:crypto'
import { isAscii, isUtf8 } from 'node:buffer'
import { Compile } from 'typebox/compile'
import {
  eventSchemas,
  eventSchemaVersion,
  maxLineBytes,
  type DeliveryAttempted,
  type EventKind,
  type MessageFinished,
  type SessionClosed,
  type TollgateEvent,
  type TransactionEnded,
} from '../contracts/event.ts'
import { timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import type { Line } from './line-splitter.ts'

export type RejectReason =
  | 'torn'
  | 'not-utf8'
  | 'not-json'
  | 'too-long'
  | 'schema'
  | 'schema-version'
  | 'wrong-tenant'
  | 'no-header'
  | 'time-out-of-range'
  | 'conflict'
  | 'row'
  /** Of another MTA's log, and no line that its adapter knows. */
  | 'not-understood'

/** Where an event stands in the log: unique. */
export type LogPlace = { node: string; boot: string; seq: number }

export type DecodedLine = {
  event: TollgateEvent
  /** The event's JSON as Postgres can hold it: the octets of the line, unless a text had to be mended. */
  json: Buffer
  line: Buffer
  /** sha256 of the line. */
  digest: Buffer
  positionBytes: number
}

type PlaceKeys = 'kind' | 'node' | 'boot' | 'seq' | 'at'
/** What names an event; of those that are few, the whole. */
export type EventHead =
  | Pick<TransactionEnded, PlaceKeys | 'transactionId'>
  | Pick<DeliveryAttempted, PlaceKeys | 'transactionId'>
  | Pick<MessageFinished, PlaceKeys | 'transactionId'>
  | Pick<SessionClosed, PlaceKeys | 'sessionId' | 'closedAt'>
  | Exclude<TollgateEvent, TransactionEnded | DeliveryAttempted | MessageFinished | SessionClosed>

/** A line whose rows are encoded. A parsed event is several times its line, and a batch holds thousands. */
export type KeptLine = Omit<DecodedLine, 'event'> & { event: EventHead }

export type RejectedLine = {
  reason: RejectReason
  detail: string
  line: Buffer
  digest: Buffer
  positionBytes: number
  /** Set where the event was understood and is refused all the same: its place counts as seen. */
  place: LogPlace | null
}

export type LineDecoder = (line: Line, context: LineContext) => DecodedLine | RejectedLine
/** `hasHeader`: the file began with a segment header, so that a line without envelope is damaged, not foreign. */
export type LineContext = { hasHeader: boolean }

const dayMs = 86_400_000
const earliestMs = Date.UTC(2000, 0, 1)

const validators = new Map(
  Object.entries(eventSchemas).map(([kind, schema]) => [kind, Compile(schema as never)] as const),
)

export function createLineDecoder(options: { tenantId: string; nowMs: () => number }): LineDecoder {
  return (line, context) => {
    const octets = line.octets.at(-1) === 0x0d ? line.octets.subarray(0, -1) : line.octets
    const digest = digestOf(octets)
    const rejected = (reason: RejectReason, detail: string, place: LogPlace | null = null): RejectedLine => ({
      reason,
      detail,
      line: octets,
      digest,
      positionBytes: line.positionBytes,
      place,
    })

    if (line.lengthBytes > maxLineBytes) {
      return rejected('too-long', `${line.lengthBytes} octets, of which the first ${octets.length} are kept; the limit is ${maxLineBytes}`)
    }
    if (!isUtf8(octets)) return rejected('not-utf8', 'holds octets that are no UTF-8')
    let value: unknown
    try {
      value = JSON.parse(octets.toString(isAscii(octets) ? 'latin1' : 'utf8'))
    } catch (error) {
      return rejected('not-json', (error as Error).message)
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return rejected('not-json', 'is no JSON object')

    const record = value as Record<string, unknown>
    if (!('node' in record && 'boot' in record && 'seq' in record) && !context.hasHeader) {
      return rejected('no-header', 'names no node, boot and seq, and its file has no header that would')
    }
    const validator = validators.get(record['kind'] as EventKind)
    if (validator === undefined) {
      return typeof record['kind'] === 'string'
        ? rejected('schema-version', `kind "${record['kind'].slice(0, 60)}" is unknown to this version`)
        : rejected('schema', '/kind is missing')
    }
    if (!validator.Check(value)) return rejected('schema', firstFault(validator, value))
    const event = value as TollgateEvent
    if (event.tenantId !== options.tenantId) {
      return rejected('wrong-tenant', `belongs to the tenant "${event.tenantId}", this is "${options.tenantId}"`)
    }
    if (event.kind === 'segment.opened' && event.schemaVersion > eventSchemaVersion) {
      return rejected('schema-version', `segment of schema version ${event.schemaVersion}; this version knows up to ${eventSchemaVersion}`)
    }
    const place = { node: event.node, boot: event.boot, seq: event.seq }
    for (const [field, timeMs] of timesOf(event)) {
      if (Number.isNaN(timeMs)) return rejected('schema', `${field} is no time of the calendar`)
      if (timeMs < earliestMs || timeMs > options.nowMs() + dayMs) {
        return rejected('time-out-of-range', `${field} is ${new Date(timeMs).toISOString()}`, place)
      }
    }
    if (!mayHoldUnstorableText(octets)) return { event, json: octets, line: octets, digest, positionBytes: line.positionBytes }
    const mended = mendedTexts(event) as TollgateEvent
    return { event: mended, json: Buffer.from(JSON.stringify(mended)), line: octets, digest, positionBytes: line.positionBytes }
  }
}

export function isRejected(line: DecodedLine | RejectedLine): line is RejectedLine {
  return 'reason' in line
}

/** sha256. By way of a text: a Buffer of its own for each line is what the garbage collector would be busy with. */
export function digestOf(octets: Buffer): Buffer {
  return Buffer.from(hash('sha256', octets, 'binary'), 'binary')
}

export function keptLine({ event, json, line, digest, positionBytes }: DecodedLine): KeptLine {
  return { event: headOf(event), json, line, digest, positionBytes }
}

/** The line as it was before `keptLine`. */
export function wholeLine(kept: KeptLine): DecodedLine {
  return { ...kept, event: JSON.parse(kept.json.toString()) as TollgateEvent }
}

function headOf(event: TollgateEvent): EventHead {
  const { kind, node, boot, seq, at } = event
  if (kind === 'transaction.ended' || kind === 'delivery.attempted' || kind === 'message.finished') {
    return { kind, node, boot, seq, at, transactionId: event.transactionId }
  }
  if (kind === 'session.closed') return { kind, node, boot, seq, at, sessionId: event.sessionId, closedAt: event.closedAt }
  return event
}

/** Every time that places a row, with the name of its field. */
function timesOf(event: TollgateEvent): [string, number][] {
  const times: [string, number][] = [['at', Date.parse(event.at)]]
  if (event.kind === 'transaction.ended' || event.kind === 'delivery.attempted') times.push(['endedAt', Date.parse(event.endedAt)])
  if (event.kind === 'session.closed') times.push(['closedAt', Date.parse(event.closedAt)])
  if ('transactionId' in event) times.push(['the time in transactionId', timeMsOfTransactionId(event.transactionId)])
  return times
}

type Validator = ReturnType<typeof Compile>

function firstFault(validator: Validator, value: unknown): string {
  const [fault] = validator.Errors(value)
  return fault === undefined ? 'does not match the schema' : `${fault.instancePath || '/'} ${fault.message}`
}

/** `\u0000` and `\ud800`-`\udfff`, in the only form in which JSON can carry them. */
function mayHoldUnstorableText(octets: Buffer): boolean {
  return octets.includes('\\u0000') || octets.includes('\\ud') || octets.includes('\\uD')
}

// With the flag u, \p{Surrogate} matches only a surrogate that has no partner.
const unstorable = /[\0\p{Surrogate}]/gu

function mendedTexts(value: unknown): unknown {
  if (typeof value === 'string') return value.replace(unstorable, '\ufffd')
  if (Array.isArray(value)) return value.map(mendedTexts)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, held]) => [mendedTexts(key), mendedTexts(held)]))
}
