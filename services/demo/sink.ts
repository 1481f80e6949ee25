/**
 * A small inner mail server for the demo and the tests: takes what the gateway relays, counts it, and can be told
 * to refuse or defer.
 *
 * Leaves  everything a real server does: it delivers nowhere, asks nobody, and has no TLS.
 * Limits  keeps `keepCount` messages, octets only where `keepOctets` says so; memory does not grow with traffic.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net'
import type { Logger } from 'pino'

export type SinkMessage = {
  sender: string
  recipients: string[]
  sizeBytes: number
  receivedAtMs: number
  /** As it was before dot-stuffing; `null` unless `keepOctets`. */
  octets: Buffer | null
}

export type SinkReply = { code: number; text: string }

export type SinkOptions = {
  address?: string
  port: number
  log?: Logger
  onMessage?: (message: SinkMessage) => void
  /** The reply for a recipient that is not taken, e.g. `{ code: 451, text: '4.2.1 later' }`; `null`: it is taken. */
  refuseRecipient?: (address: string) => SinkReply | null
  /** The reply after the message, `null`: taken. */
  refuseMessage?: (message: SinkMessage) => SinkReply | null
  keepCount?: number
  keepOctets?: boolean
  maxMessageBytes?: number
}

export type Sink = {
  readonly port: number
  readonly counts: { messages: number; recipients: number; bytes: number; connections: number; refusedRecipients: number }
  /** The newest messages, oldest first. */
  readonly messages: readonly SinkMessage[]
  stop(): Promise<void>
}

const endOfData = Buffer.from('\r\n.\r\n')
const maxLineBytes = 4_096

export async function startSink(options: SinkOptions): Promise<Sink> {
  const settings = {
    keepCount: 100,
    keepOctets: false,
    maxMessageBytes: 100_000_000,
    refuseRecipient: () => null,
    refuseMessage: () => null,
    ...options,
  }
  const counts = { messages: 0, recipients: 0, bytes: 0, connections: 0, refusedRecipients: 0 }
  const messages: SinkMessage[] = []
  const sockets = new Set<Socket>()
  const take = (message: SinkMessage): SinkReply => {
    const refusal = settings.refuseMessage(message)
    if (refusal !== null) return refusal
    counts.messages += 1
    counts.recipients += message.recipients.length
    counts.bytes += message.sizeBytes
    messages.push(message)
    if (messages.length > settings.keepCount) messages.shift()
    options.onMessage?.(message)
    return { code: 250, text: '2.0.0 taken' }
  }
  const server = createServer((socket) => {
    counts.connections += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', (error) => options.log?.debug({ err: error }, 'The sink lost a connection'))
    new SinkSession(socket, settings, counts, take)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.address ?? '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    messages,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

type Settings = Required<Pick<SinkOptions, 'keepOctets' | 'maxMessageBytes' | 'refuseRecipient'>>

class SinkSession {
  readonly #socket: Socket
  readonly #settings: Settings
  readonly #counts: Sink['counts']
  readonly #take: (message: SinkMessage) => SinkReply
  #pending: Buffer = Buffer.alloc(0)
  #sender: string | null = null
  #recipients: string[] = []
  /** Pieces of the message being received; `null` between messages. */
  #content: Buffer[] | null = null
  #answers = ''

  constructor(socket: Socket, settings: Settings, counts: Sink['counts'], take: (message: SinkMessage) => SinkReply) {
    this.#socket = socket
    this.#settings = settings
    this.#counts = counts
    this.#take = take
    socket.setNoDelay(true)
    socket.write('220 sink ESMTP\r\n')
    socket.on('data', (octets) => this.#receive(octets))
  }

  #receive(octets: Buffer): void {
    this.#pending = this.#pending.length === 0 ? octets : Buffer.concat([this.#pending, octets])
    while (this.#content === null ? this.#takeCommand() : this.#takeContent());
    if (this.#answers === '') return
    this.#socket.write(this.#answers)
    this.#answers = ''
  }

  #takeCommand(): boolean {
    const end = this.#pending.indexOf('\r\n')
    if (end < 0) {
      if (this.#pending.length > maxLineBytes) this.#socket.destroy()
      return false
    }
    const line = this.#pending.toString('utf8', 0, end)
    this.#pending = this.#pending.subarray(end + 2)
    this.#answer(line)
    return true
  }

  #answer(line: string): void {
    const verb = line.slice(0, 4).toUpperCase()
    if (verb === 'EHLO') {
      this.#say(`250-sink\r\n250-PIPELINING\r\n250-SIZE ${this.#settings.maxMessageBytes}\r\n250-8BITMIME\r\n250 SMTPUTF8`)
    } else if (verb === 'HELO' || verb === 'NOOP') this.#say('250 sink')
    else if (verb === 'RSET') this.#reset('250 2.0.0 reset')
    else if (verb === 'MAIL') this.#mailFrom(line)
    else if (verb === 'RCPT') this.#rcptTo(line)
    else if (verb === 'DATA') this.#startData()
    else if (verb === 'QUIT') {
      this.#socket.end(`${this.#answers}221 2.0.0 bye\r\n`)
      this.#answers = ''
    } else this.#say('502 5.5.1 unknown command')
  }

  #mailFrom(line: string): void {
    const path = /^MAIL FROM:<([^>]*)>/i.exec(line)?.[1]
    if (path === undefined || this.#sender !== null) return this.#say('503 5.5.1 bad sequence or path')
    this.#sender = path
    this.#say('250 2.1.0 sender ok')
  }

  #rcptTo(line: string): void {
    const path = /^RCPT TO:<([^>]+)>/i.exec(line)?.[1]
    if (path === undefined || this.#sender === null) return this.#say('503 5.5.1 bad sequence or path')
    const refusal = this.#settings.refuseRecipient(path)
    if (refusal !== null) {
      this.#counts.refusedRecipients += 1
      return this.#say(`${refusal.code} ${refusal.text}`)
    }
    this.#recipients.push(path)
    this.#say('250 2.1.5 recipient ok')
  }

  #startData(): void {
    if (this.#recipients.length === 0) return this.#say('554 5.5.1 no valid recipients')
    this.#content = []
    // The line before the message ended with CRLF: a lone dot may be the very first line.
    this.#pending = Buffer.concat([Buffer.from('\r\n'), this.#pending])
    this.#say('354 go ahead')
  }

  #takeContent(): boolean {
    const end = this.#pending.indexOf(endOfData)
    if (end < 0) {
      // All but what may be the start of the end is content.
      const keep = Math.max(0, this.#pending.length - (endOfData.length - 1))
      if (keep > 0) this.#content!.push(this.#pending.subarray(0, keep))
      this.#pending = this.#pending.subarray(keep)
      return false
    }
    const stuffed = Buffer.concat([...this.#content!, this.#pending.subarray(0, end + 2)])
    this.#pending = this.#pending.subarray(end + endOfData.length)
    const octets = withoutStuffing(stuffed).subarray(2)
    const { code, text } = this.#take({
      sender: this.#sender!,
      recipients: this.#recipients,
      sizeBytes: octets.length,
      receivedAtMs: Date.now(),
      octets: this.#settings.keepOctets ? octets : null,
    })
    this.#reset(`${code} ${text}`)
    return true
  }

  #reset(reply: string): void {
    this.#sender = null
    this.#recipients = []
    this.#content = null
    this.#say(reply)
  }

  #say(reply: string): void {
    this.#answers += `${reply}\r\n`
  }
}

/** Takes the extra dot off every line that begins with one. */
function withoutStuffing(octets: Buffer): Buffer {
  if (!octets.includes('\r\n.')) return octets
  const parts: Buffer[] = []
  let from = 0
  for (let at = octets.indexOf('\r\n.'); at >= 0; at = octets.indexOf('\r\n.', at + 3)) {
    parts.push(octets.subarray(from, at + 2))
    from = at + 3
  }
  parts.push(octets.subarray(from))
  return Buffer.concat(parts)
}
