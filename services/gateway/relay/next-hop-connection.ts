/**
 * The life of one pooled connection: connect, EHLO, STARTTLS, then one message after the other until there is
 * nothing more to send, the next hop has had enough, or the connection breaks.
 *
 * Owns    the greeting, extensions and TLS policy of a connection.
 * Leaves  which job comes next, and what its outcome means, to route-queue.ts.
 * Why     TLS: `may` takes any certificate, since plain text would be the other choice; `must` verifies it against
 *         the name in the route and the authorities that Node trusts (`NODE_EXTRA_CA_CERTS` adds one's own).
 */
import assert from 'node:assert/strict'
import type { MessageOctets, StoredMessage } from '../spool/message-store.ts'
import {
  deliverMessage,
  faultBeforeSending,
  StaleConnectionError,
  type AnnouncedJob,
  type DeliveryJob,
  type Offered,
  type TransactionResult,
} from './deliver-message.ts'
import type { NextHop, NextHops } from './next-hops.ts'
import { DialogError, NextHopDialog } from './next-hop-dialog.ts'
import type { Marking } from './mark-message.ts'
import type { RelayLimits } from './relay-limits.ts'
import { replyText } from './smtp-reply.ts'

export type ConnectionHost = {
  readonly tls: 'off' | 'may' | 'must'
  readonly helloName: string
  readonly messagesPerConnection: number
  readonly limits: RelayLimits
  octetsOf(message: StoredMessage): Promise<MessageOctets>
  markingOf(job: DeliveryJob): Marking
  /** Where to connect, one after the other. */
  nextHops(): Promise<NextHops>
  /** No server will ever take what waits here. */
  unroutable(error: string): void
  isPlainPreferred(): boolean
  tlsFailed(reason: string): void
  ready(dialog: NextHopDialog): void
  /** The next job, waiting for one while the route is idle; `null`: close. */
  nextJob(dialog: NextHopDialog): Promise<DeliveryJob | null>
  /** One that may be announced now, while another is being sent. */
  nextAnnounced(): DeliveryJob | null
  putBack(job: DeliveryJob): void
  attempted(job: DeliveryJob, result: TransactionResult, startedAtUs: number, dialog: NextHopDialog): void
  monotonicUs(): number
}

/** Resolves with why it ended: `null` when there was nothing wrong. `isUsed`: at least one message got an answer. */
export type ConnectionEnd = { fault: string | null; isReady: boolean; isUsed: boolean }

export async function runConnection(host: ConnectionHost): Promise<ConnectionEnd> {
  let dialog: NextHopDialog
  let offered: Offered
  try {
    ;({ dialog, offered } = await greetedDialog(host))
  } catch (error) {
    if (error instanceof UnroutableError) {
      host.unroutable(error.message)
      return { fault: null, isReady: false, isUsed: false }
    }
    if (!(error instanceof DialogError)) throw error
    return { fault: error.message, isReady: false, isUsed: false }
  }
  host.ready(dialog)
  let servedCount = 0
  let announced: AnnouncedJob | null = null
  for (;;) {
    const isFull: boolean = servedCount >= host.messagesPerConnection
    const job: DeliveryJob | null = announced?.job ?? (isFull ? null : await host.nextJob(dialog))
    if (job === null) {
      dialog.quit()
      return { fault: null, isReady: true, isUsed: servedCount > 0 }
    }
    const startedAtUs = host.monotonicUs()
    const fault = announced === null ? faultBeforeSending(job, offered) : null
    if (fault !== null) {
      host.attempted(job, { results: job.recipients.map(() => fault), sentBytes: 0 }, startedAtUs, dialog)
      continue
    }
    try {
      const context = {
        dialog,
        offered,
        limits: host.limits,
        isReused: servedCount > 0,
        octetsOf: (message: StoredMessage) => host.octetsOf(message),
        markingOf: (job: DeliveryJob) => host.markingOf(job),
        takeNext: () => takeNext(host, offered, servedCount),
      }
      const outcome = await deliverMessage(context, announced ?? { job, isAnnounced: false })
      servedCount += 1
      announced = outcome.next
      host.attempted(job, outcome.result, startedAtUs, dialog)
      if (outcome.closedBecause === null) continue
      if (announced !== null) host.putBack(announced.job)
      dialog.destroy('is not used any more')
      return { fault: outcome.closedBecause, isReady: true, isUsed: hasAnswer(outcome.result) || servedCount > 1 }
    } catch (error) {
      dialog.destroy('is not used any more')
      if (error instanceof StaleConnectionError) {
        host.putBack(job)
        return { fault: error.message, isReady: true, isUsed: servedCount > 0 }
      }
      // The octets could not be read from the spool: the message waits, the next hop is not to blame.
      assert(error instanceof Error && announced === null, error as Error)
      const result = { outcome: 'deferred', reply: null, error: `cannot read the spool: ${error.message}` } as const
      host.attempted(job, { results: job.recipients.map(() => result), sentBytes: 0 }, startedAtUs, dialog)
      return { fault: null, isReady: true, isUsed: true }
    }
  }
}

function takeNext(host: ConnectionHost, offered: Offered, servedCount: number): DeliveryJob | null {
  if (servedCount + 1 >= host.messagesPerConnection) return null
  const job = host.nextAnnounced()
  if (job === null || faultBeforeSending(job, offered) === null) return job
  host.putBack(job)
  return null
}

function hasAnswer(result: TransactionResult): boolean {
  return result.results.some((recipient) => recipient.reply !== null && recipient.reply.code !== 421)
}

/** There is no server to try, and there will be none. */
class UnroutableError extends Error {
  override readonly name = 'UnroutableError'
}

async function greetedDialog(host: ConnectionHost): Promise<{ dialog: NextHopDialog; offered: Offered }> {
  const found = await host.nextHops()
  if (found.status === 'never') throw new UnroutableError(found.error)
  if (found.status === 'unknown') throw new DialogError(found.why)
  let last = new DialogError('there is no server to try')
  for (const hop of found.hops) {
    try {
      return await greetedBy(host, hop)
    } catch (error) {
      if (!(error instanceof DialogError)) throw error
      last = error
    }
  }
  throw last
}

async function greetedBy(host: ConnectionHost, address: NextHop): Promise<{ dialog: NextHopDialog; offered: Offered }> {
  const { limits, tls } = host
  const dialog = await NextHopDialog.open(address, limits.connectMs)
  try {
    const greeting = await dialog.reply(limits.greetingMs)
    if (greeting.code !== 220) throw new DialogError(`${address.host} does not want us: ${replyText(greeting)}`)
    const offered = await hello(dialog, host)
    const wantsTls = tls === 'must' || (tls === 'may' && offered.startTls && !host.isPlainPreferred())
    if (!wantsTls) return { dialog, offered }
    if (!offered.startTls) {
      throw new DialogError(`${address.host} offers no STARTTLS, and the route asks for it: install a certificate there or set tls: may`)
    }
    dialog.write(['STARTTLS\r\n'])
    const reply = await dialog.reply(limits.commandMs)
    if (reply.code !== 220) {
      if (tls === 'may') return { dialog, offered }
      throw new DialogError(`${address.host} refused STARTTLS: ${replyText(reply)}`)
    }
    try {
      await dialog.startTls(tls === 'must', limits.tlsMs)
    } catch (error) {
      if (tls === 'may') host.tlsFailed((error as Error).message)
      throw error
    }
    return { dialog, offered: await hello(dialog, host) }
  } catch (error) {
    dialog.destroy('is not used any more')
    throw error
  }
}

async function hello(dialog: NextHopDialog, { helloName, limits }: ConnectionHost): Promise<Offered> {
  const address = dialog.peer
  dialog.write([`EHLO ${helloName}\r\n`])
  const reply = await dialog.reply(limits.commandMs)
  if (reply.code === 250) return offeredBy(reply.text)
  if (reply.code < 500) throw new DialogError(`${address.host} refused EHLO: ${replyText(reply)}`)
  dialog.write([`HELO ${helloName}\r\n`])
  const plain = await dialog.reply(limits.commandMs)
  if (plain.code !== 250) throw new DialogError(`${address.host} refused HELO: ${replyText(plain)}`)
  return offeredBy('')
}

/** The first line greets; each other one is a keyword with its parameters. */
function offeredBy(text: string): Offered {
  const lines = text.split('\n').slice(1).map((line) => line.toUpperCase().split(' '))
  const has = (keyword: string) => lines.some(([name]) => name === keyword)
  const size = lines.find(([name]) => name === 'SIZE')
  return {
    pipelining: has('PIPELINING'),
    eightBitMime: has('8BITMIME'),
    smtpUtf8: has('SMTPUTF8'),
    startTls: has('STARTTLS'),
    dsn: has('DSN'),
    size: size !== undefined,
    maxSizeBytes: Number(size?.[1] ?? 0) || 0,
  }
}
