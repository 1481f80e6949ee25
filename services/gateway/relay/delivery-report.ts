/**
 * The report that tells a sender what became of a message (RFC 3461 §6, RFC 3464, RFC 6533): pure.
 *
 * Owns    who is told what, and the octets of the report.
 * Leaves  whether the sender may be told at all to session/envelope.ts, making it durable to the relay.
 * Limits  `headerBytes` of the header section come back, the whole message up to `wholeBytes` where it was asked for.
 * Why     goes out with the sender `<>` and Auto-Submitted, so nobody answers it, and nothing reports about it. It
 *         names addresses as the sender wrote them: where they lead here is nobody's business outside.
 */
import type { DeliveryState } from '../spool/record.ts'
import type { Envelope, EnvelopeRecipient } from '../spool/spool-contract.ts'

const headerBytes = 64 * 1024
const wholeBytes = 100_000
/** Of what a next hop said. */
const diagnosticLength = 900

export type ReportedRecipient = { position: number; action: 'failed' | 'relayed' }
export type ReportOptions = { reportId: string; hostname: string; nowMs: number }

/** Positions of those whom the sender is to be told of. Nobody where it may not be told, or wants not to. */
export function reportedRecipients({ envelope, state }: { envelope: Envelope; state: DeliveryState }): ReportedRecipient[] {
  if (!envelope.mayNotifySender || envelope.sender === '') return []
  return state.recipients.flatMap((outcome, position): ReportedRecipient[] => {
    const { named, isClone } = envelope.recipients[position]!
    if (named === undefined || isClone === true) return []
    const wants = (word: 'failure' | 'success'): boolean => (named.notify === null ? word === 'failure' : named.notify.includes(word))
    if (outcome === 'failed' || outcome === 'expired') return wants('failure') ? [{ position, action: 'failed' }] : []
    const isRelayed = outcome === 'delivered' && (state.unreported ?? []).includes(position)
    return isRelayed && wants('success') ? [{ position, action: 'relayed' }] : []
  })
}

/** `original`: as much of the message as is at hand, from its first octet; the whole of it up to `wholeBytes`. */
export function deliveryReport(
  message: { envelope: Envelope; state: DeliveryState; sizeBytes: number },
  reported: readonly ReportedRecipient[],
  original: Buffer,
  { reportId, hostname, nowMs }: ReportOptions,
): { envelope: Envelope; octets: Buffer } {
  const { envelope, state } = message
  const entries = distinct(reported.map(({ position, action }) => entryOf(envelope.recipients[position]!, state, position, action)))
  const isFailure = entries.some(({ action }) => action === 'failed')
  const isWhole = envelope.dsn?.return === 'full' && isFailure && message.sizeBytes <= wholeBytes && original.length === message.sizeBytes
  const isGlobal = [envelope.sender, ...entries.map(({ address }) => address)].some((text) => !isAscii(text))
  const returned = isWhole ? original : headerSectionOf(original)
  const is8Bit = isGlobal || returned.some((octet) => octet > 0x7f)
  const boundary = `=_${reportId}`
  const head = [
    `Date: ${mailDate(nowMs)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${envelope.sender}>`,
    `Subject: ${isFailure ? 'Your message could not be delivered' : 'Your message was handed on'}`,
    `Message-ID: <${reportId}@${hostname}>`,
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=${isGlobal ? 'global-delivery-status' : 'delivery-status'};`,
    `\tboundary="${boundary}"`,
    '',
    `--${boundary}`,
    ...partHead('text/plain; charset=utf-8', is8Bit),
    ...explanation(entries, hostname),
    `--${boundary}`,
    ...partHead(isGlobal ? 'message/global-delivery-status' : 'message/delivery-status', is8Bit),
    `Reporting-MTA: dns; ${hostname}`,
    ...(envelope.dsn?.envelopeId == null ? [] : [`Original-Envelope-Id: ${envelope.dsn.envelopeId}`]),
    `Arrival-Date: ${mailDate(envelope.acceptedAtMs)}`,
    '',
    ...entries.flatMap((entry) => [...statusFields(entry, nowMs), '']),
    `--${boundary}`,
    ...partHead(isWhole ? (isGlobal ? 'message/global' : 'message/rfc822') : isGlobal ? 'message/global-headers' : 'text/rfc822-headers', is8Bit),
    '',
  ]
  return {
    octets: Buffer.concat([Buffer.from(head.join('\r\n')), returned, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    envelope: {
      queueId: reportId,
      sender: '',
      recipients: [{ address: envelope.sender, normalized: normalizedSender(envelope.sender) }],
      acceptedAtMs: nowMs,
      is8BitMime: is8Bit,
      isSmtpUtf8: isGlobal,
      mayNotifySender: false,
      prependedHeaders: '',
      subjectTag: null,
      disposition: 'deliver',
      reportOf: { queueId: envelope.queueId, recipients: reported.map(({ position }) => position) },
    },
  }
}

type Entry = {
  address: string
  originalRecipient: string | null
  action: 'failed' | 'relayed'
  status: string
  host: string | null
  diagnostic: string | null
  why: string
  atMs: number | null
}

function entryOf({ named }: EnvelopeRecipient, state: DeliveryState, position: number, action: Entry['action']): Entry {
  const { address, originalRecipient } = named!
  const base = { address, originalRecipient, action }
  if (action === 'relayed') {
    return { ...base, status: '2.0.0', host: null, diagnostic: null, atMs: null, why: 'handed on to a server that sends no reports itself' }
  }
  const last = state.failures?.[position] ?? null
  const reply = last?.reply ?? null
  const isExpired = state.recipients[position] === 'expired'
  const told = reply === null ? null : singleLine(`${reply.code} ${reply.enhanced === null ? '' : `${reply.enhanced} `}${reply.text}`)
  const ownStatus = /^([45]\.\d{1,3}\.\d{1,3}) /.exec(last?.error ?? '')?.[1]
  const replyStatus = reply !== null && reply.enhanced !== null && /^5\./.test(reply.enhanced) ? reply.enhanced : undefined
  return {
    ...base,
    status: isExpired ? '4.4.7' : (replyStatus ?? ownStatus ?? '5.0.0'),
    host: reply === null ? null : (last?.host ?? null),
    diagnostic: told === null ? null : `smtp; ${told}`,
    atMs: last?.atMs ?? null,
    why: told === null ? singleLine(last?.error ?? (isExpired ? 'it could not be delivered in time' : 'it was refused')) : `the next server said: ${told}`,
  }
}

/** Several ways of one address are one recipient to the sender; what failed counts. */
function distinct(entries: readonly Entry[]): Entry[] {
  const byAddress = new Map<string, Entry>()
  for (const entry of entries) {
    const known = byAddress.get(entry.address)
    if (known === undefined || (known.action === 'relayed' && entry.action === 'failed')) byAddress.set(entry.address, entry)
  }
  return [...byAddress.values()]
}

function statusFields({ address, originalRecipient, action, status, host, diagnostic, atMs }: Entry, nowMs: number): string[] {
  return [
    ...(originalRecipient === null ? [] : [`Original-Recipient: ${originalRecipient.replace(';', '; ')}`]),
    `Final-Recipient: ${isAscii(address) ? 'rfc822' : 'utf-8'}; ${address}`,
    `Action: ${action}`,
    `Status: ${status}`,
    ...(host === null ? [] : [`Remote-MTA: dns; ${host}`]),
    ...(diagnostic === null ? [] : [`Diagnostic-Code: ${folded(diagnostic)}`]),
    `Last-Attempt-Date: ${mailDate(atMs ?? nowMs)}`,
  ]
}

function explanation(entries: readonly Entry[], hostname: string): string[] {
  return [
    `This is the mail system at ${hostname}.`,
    '',
    ...entries.flatMap(({ address, action, why }) => [
      action === 'failed' ? `Your message could not be delivered to <${address}>:` : `Your message to <${address}> was`,
      ...folded(`    ${why}`).split('\r\n'),
      '',
    ]),
  ]
}

function partHead(type: string, is8Bit: boolean): string[] {
  return [`Content-Type: ${type}`, `Content-Transfer-Encoding: ${is8Bit ? '8bit' : '7bit'}`, '']
}

/** With its last line whole, however much of the message is at hand. */
function headerSectionOf(octets: Buffer): Buffer {
  const section = octets.subarray(0, headerBytes)
  const end = section.indexOf('\r\n\r\n')
  if (end >= 0) return section.subarray(0, end + 2)
  return section.subarray(0, section.lastIndexOf('\r\n') + 2)
}

/** A next hop's words must not be able to make fields of their own. */
function singleLine(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, ' ').trim().slice(0, diagnosticLength)
}

function folded(text: string): string {
  const lines: string[] = []
  let rest = text
  while (rest.length > 76) {
    const blank = rest.lastIndexOf(' ', 76)
    if (blank <= 4) break
    lines.push(rest.slice(0, blank))
    rest = `    ${rest.slice(blank + 1)}`
  }
  return [...lines, rest].join('\r\n')
}

function mailDate(timeMs: number): string {
  return new Date(timeMs).toUTCString().replace('GMT', '+0000')
}

function normalizedSender(address: string): string {
  const at = address.lastIndexOf('@')
  return `${address.slice(0, at)}${address.slice(at).toLowerCase()}`
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text)
}
