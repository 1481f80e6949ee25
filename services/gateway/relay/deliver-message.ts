/**
 * One mail transaction with a next hop: MAIL, RCPT…, DATA, the message, and what became of each recipient.
 *
 * Owns    pipelining (RFC 2920), extensions offered or not, and that every recipient gets exactly one outcome.
 * Leaves  the connection to next-hop-connection.ts, when to try again to the relay.
 * Limits  octets over 1 MiB are read from the file block by block, as fast as the next hop takes them.
 * Why     with PIPELINING the commands of the next message travel with the octets of this one, so that a message
 *         costs one round trip.
 */
import { createReadStream } from 'node:fs'
import type { Reply } from '../../contracts/event.ts'
import type { MessageOctets, StoredMessage } from '../spool/message-store.ts'
import type { Envelope, EnvelopeRecipient } from '../spool/spool-contract.ts'
import { xtext } from '../verbs/dsn-parameters.ts'
import { headerFirst } from './header-first.ts'
import { markedMessage, type Marking } from './mark-message.ts'
import { DialogError, type NextHopDialog } from './next-hop-dialog.ts'
import type { RelayLimits } from './relay-limits.ts'
import { replyText } from './smtp-reply.ts'
import { WireFormat } from './wire-format.ts'

/** Of one message in memory, while it is looked at for marking. */
const maxHeaderBytes = 4 * 1024 * 1024

/** What the next hop offers (EHLO). */
export type Offered = {
  pipelining: boolean
  eightBitMime: boolean
  smtpUtf8: boolean
  startTls: boolean
  dsn: boolean
  size: boolean
  /** 0: no limit told. */
  maxSizeBytes: number
}

/** One message for one route: at most `recipientsPerTransaction` of its recipients, by position. */
export type DeliveryJob = { message: StoredMessage; recipients: number[] }

export type RecipientResult = {
  outcome: 'delivered' | 'deferred' | 'failed'
  reply: Reply | null
  error: string | null
  /** The next hop knows what the sender wants to be told, and tells it. */
  isReportPassedOn?: boolean
}

/** Results stand in the order of `job.recipients`. */
export type TransactionResult = { results: RecipientResult[]; sentBytes: number }

/** The commands of a job that are already on their way. */
export type AnnouncedJob = { job: DeliveryJob; isAnnounced: boolean }

export type TransactionOutcome = {
  result: TransactionResult
  /** The job that was announced while this one was sent. */
  next: AnnouncedJob | null
  /** Why the connection must not be used again. */
  closedBecause: string | null
}

/** Nothing of the message was looked at: the connection was already dead. */
export class StaleConnectionError extends Error {
  override readonly name = 'StaleConnectionError'
}

export type TransactionContext = {
  dialog: NextHopDialog
  offered: Offered
  limits: RelayLimits
  /** It served a message before: where it breaks at once, it had ended unnoticed and the job is not to blame. */
  isReused: boolean
  octetsOf(message: StoredMessage): Promise<MessageOctets>
  markingOf(job: DeliveryJob): Marking
  /** A job whose octets are at hand and that may travel along, or `null`. */
  takeNext(): DeliveryJob | null
}

export async function deliverMessage(context: TransactionContext, current: AnnouncedJob): Promise<TransactionOutcome> {
  const { dialog, limits } = context
  const { job } = current
  const all = (outcome: RecipientResult): TransactionResult => ({ results: job.recipients.map(() => outcome), sentBytes: 0 })
  const content = await context.octetsOf(job.message)
  let stage: 'opening' | 'envelope' | 'content' = 'opening'
  let sentBytes = 0
  let next: AnnouncedJob | null = null
  const results: (RecipientResult | null)[] = job.recipients.map(() => null)
  const settleOpen = (outcome: RecipientResult): TransactionResult => ({
    results: results.map((result) => result ?? outcome),
    sentBytes,
  })
  const closing = (reply: Reply): TransactionOutcome => {
    dialog.destroy('was left after its 421')
    return { result: settleOpen(deferredBy(reply)), next, closedBecause: replyText(reply) }
  }
  try {
    const commands = commandsOf(job, context.offered)
    const isPipelined = context.offered.pipelining
    if (isPipelined && !current.isAnnounced) dialog.write([commands.join('')])
    let sentCount = isPipelined ? commands.length : 0
    const ask = (timeoutMs: number): Promise<Reply> => {
      if (!isPipelined) dialog.write([commands[sentCount++]!])
      return dialog.reply(timeoutMs)
    }

    const mail = await ask(limits.commandMs)
    stage = 'envelope'
    if (mail.code === 421) return closing(mail)
    const isMailTaken = isPositive(mail)
    if (!isMailTaken && !isPipelined) return { result: all(refusedBy(mail)), next, closedBecause: null }
    for (let index = 0; index < job.recipients.length; index += 1) {
      const reply = await ask(limits.commandMs)
      if (reply.code === 421) return closing(reply)
      if (!isMailTaken) results[index] = refusedBy(mail)
      else if (!isPositive(reply)) results[index] = refusedBy(asRecipientReply(reply))
    }
    const acceptedCount = results.filter((result) => result === null).length
    if (acceptedCount === 0 && !isPipelined) return await withReset(context, { results: results as RecipientResult[], sentBytes })

    const data = await ask(limits.dataMs)
    if (data.code === 421) return closing(data)
    if (data.code !== 354) return await withReset(context, settleOpen(refusedBy(data)))
    stage = 'content'
    if (acceptedCount === 0) {
      // A server that takes DATA without a recipient gets an empty message, which it refuses or drops.
      dialog.write(['.\r\n'])
      await dialog.reply(limits.finalReplyMs)
      return { result: { results: results as RecipientResult[], sentBytes }, next, closedBecause: null }
    }
    // A file may turn out unreadable half-way, and the connection with it: nothing travels along then.
    if (isPipelined && 'octets' in content) {
      const nextJob = context.takeNext()
      if (nextJob !== null) next = { job: nextJob, isAnnounced: true }
    }
    const following = next === null ? '' : commandsOf(next.job, context.offered).join('')
    sentBytes = await writeContent(context, job, content, following)
    const final = await dialog.reply(limits.finalReplyMs)
    if (final.code === 421) return closing(final)
    const outcome: RecipientResult = isPositive(final)
      ? { outcome: 'delivered', reply: final, error: null, isReportPassedOn: context.offered.dsn }
      : refusedBy(final)
    return { result: settleOpen(outcome), next, closedBecause: null }
  } catch (error) {
    if (!(error instanceof DialogError)) throw error
    const early = stage === 'content' ? dialog.earlyReply() : null
    if (early !== null && !isPositive(early)) {
      return { result: settleOpen(refusedBy(early)), next, closedBecause: replyText(early) }
    }
    if (stage === 'opening' && context.isReused) throw new StaleConnectionError(error.message, { cause: error })
    const doubt = stage === 'content' && sentBytes > 0 ? '; the next hop may have taken the message all the same' : ''
    const outcome: RecipientResult = { outcome: 'deferred', reply: null, error: `${error.message}${doubt}` }
    return { result: settleOpen(outcome), next, closedBecause: error.message }
  }
}

/** Why this next hop can never take the message, found before anything is sent; `null` when it can. */
export function faultBeforeSending(job: DeliveryJob, offered: Offered): RecipientResult | null {
  const { envelope, sizeBytes } = job.message
  const wireBytes = sizeBytes + Buffer.byteLength(envelope.prependedHeaders)
  if (offered.size && offered.maxSizeBytes > 0 && wireBytes > offered.maxSizeBytes) {
    return failed('5.3.4', `the message of ${wireBytes} octets is over the ${offered.maxSizeBytes} that the next hop takes`)
  }
  if (offered.smtpUtf8) return null
  const addresses = [envelope.sender, ...job.recipients.map((position) => envelope.recipients[position]!.address)]
  if (addresses.every(isAscii)) return null
  return failed('5.6.7', 'an address is not ASCII and the next hop does not offer SMTPUTF8')
}

function failed(enhanced: string, text: string): RecipientResult {
  return { outcome: 'failed', reply: null, error: `${enhanced} ${text}` }
}

/**
 * Without 8BITMIME or SMTPUTF8 at the next hop the octets go as they are: no server in use is known to mind, and
 * a conversion would break signatures.
 */
function commandsOf(job: DeliveryJob, offered: Offered): string[] {
  const { envelope, sizeBytes } = job.message
  let mail = `MAIL FROM:<${envelope.sender}>`
  if (offered.size) mail += ` SIZE=${sizeBytes + Buffer.byteLength(envelope.prependedHeaders)}`
  if (offered.eightBitMime && envelope.is8BitMime) mail += ' BODY=8BITMIME'
  if (offered.smtpUtf8 && envelope.isSmtpUtf8) mail += ' SMTPUTF8'
  if (offered.dsn) mail += returnParameters(envelope)
  const recipients = job.recipients.map((position) => {
    const recipient = envelope.recipients[position]!
    return `RCPT TO:<${recipient.address}>${offered.dsn ? notifyParameters(recipient) : ''}\r\n`
  })
  return [`${mail}\r\n`, ...recipients, 'DATA\r\n']
}

function returnParameters({ dsn }: Envelope): string {
  if (dsn === undefined) return ''
  const ret = dsn.return === null ? '' : ` RET=${dsn.return === 'full' ? 'FULL' : 'HDRS'}`
  return dsn.envelopeId === null ? ret : `${ret} ENVID=${xtext(dsn.envelopeId)}`
}

/** As the sender gave them: where it gave none, none are made up. */
function notifyParameters({ named }: EnvelopeRecipient): string {
  if (named === undefined) return ''
  const notify = named.notify === null ? '' : ` NOTIFY=${named.notify.join(',').toUpperCase()}`
  if (named.originalRecipient === null) return notify
  const [type, address] = named.originalRecipient.split(/;(.*)/s)
  return isAscii(address!) ? `${notify} ORCPT=${type};${xtext(address!)}` : notify
}

async function writeContent(
  { dialog, limits, markingOf }: TransactionContext,
  job: DeliveryJob,
  content: MessageOctets,
  following: string,
): Promise<number> {
  const { prependedHeaders } = job.message.envelope
  const marking = markingOf(job)
  const wire = new WireFormat()
  const beginning = (octets: Buffer): { parts: Uint8Array[]; sentBytes: number } => {
    const marked = markedMessage(octets, marking, job.message.sizeBytes)
    const headers = Buffer.from(marked.addedHeaders + prependedHeaders)
    const parts = headers.length > 0 ? wire.push(headers) : []
    return { parts: [...parts, ...wire.push(marked.octets)], sentBytes: headers.length + marked.octets.length }
  }
  if ('octets' in content) {
    const { parts, sentBytes } = beginning(content.octets)
    dialog.write([...parts, `${wire.end()}${following}`])
    return sentBytes
  }
  let sentBytes = 0
  let isFirst = true
  const blocks = createReadStream(content.path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>
  for await (const block of headerFirst(blocks, maxHeaderBytes)) {
    const { parts, sentBytes: blockBytes } = isFirst ? beginning(block) : { parts: wire.push(block), sentBytes: block.length }
    isFirst = false
    dialog.write(parts)
    sentBytes += blockBytes
    await dialog.drained(limits.dataBlockMs)
  }
  dialog.write([`${wire.end()}${following}`])
  return sentBytes
}

/** After a transaction that did not end by itself. */
async function withReset({ dialog, limits }: TransactionContext, result: TransactionResult): Promise<TransactionOutcome> {
  dialog.write(['RSET\r\n'])
  try {
    const reply = await dialog.reply(limits.commandMs)
    return { result, next: null, closedBecause: isPositive(reply) ? null : replyText(reply) }
  } catch (error) {
    if (!(error instanceof DialogError)) throw error
    return { result, next: null, closedBecause: error.message }
  }
}

function isPositive(reply: Reply): boolean {
  return reply.code >= 200 && reply.code < 300
}

function refusedBy(reply: Reply): RecipientResult {
  return { outcome: reply.code >= 500 ? 'failed' : 'deferred', reply, error: null }
}

function deferredBy(reply: Reply): RecipientResult {
  return { outcome: 'deferred', reply, error: null }
}

/** 552 at RCPT means too many recipients, for which 452 is right (RFC 5321 §4.5.3.1.10). */
function asRecipientReply(reply: Reply): Reply {
  return reply.code === 552 ? { ...reply, code: 452 } : reply
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text)
}
