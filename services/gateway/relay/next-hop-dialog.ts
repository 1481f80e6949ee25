/**
 * One connection to a next hop as a dialog: octets out, replies in, each with its time limit.
 *
 * Owns    the socket, connecting, STARTTLS, and that every way of ending rejects whoever waits.
 * Leaves  which commands to deliver-message.ts.
 * Fails   every failure is a `DialogError`; after one the dialog is over.
 */
import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Reply, Tls } from '../../contracts/event.ts'
import type { NextHop } from './next-hops.ts'
import { ReplyReader } from './smtp-reply.ts'

/** The connection failed: what happened, in words for the operator. */
export class DialogError extends Error {
  override readonly name = 'DialogError'
}

/** Called once with the next reply, or with why there will be none. */
type Waiting = { resolve(reply: Reply): void; reject(error: Error): void; timer: NodeJS.Timeout }

export class NextHopDialog {
  #socket: Socket
  /** Whom we talk to. */
  readonly peer: { host: string; port: number }
  #reader = new ReplyReader()
  #replies: Reply[] = []
  #waiting: Waiting | null = null
  #failure: DialogError | null = null
  #wantsDrain: (() => void) | null = null
  tls: Tls | null = null
  /** Called when the connection ends or speaks while nobody waits. */
  onIdleEnd: () => void = () => {}

  private constructor(socket: Socket, peer: { host: string; port: number }) {
    this.#socket = socket
    this.peer = peer
    this.#listen()
  }

  static open(address: NextHop, timeoutMs: number): Promise<NextHopDialog> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: address.address ?? address.host, port: address.port, noDelay: true })
      const fail = (text: string, cause?: Error) => {
        socket.destroy()
        reject(new DialogError(`cannot connect to ${address.host}:${address.port}: ${text}`, { cause }))
      }
      const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1_000} s`), timeoutMs)
      const failed = (error: Error) => {
        clearTimeout(timer)
        fail(connectFault(error), error)
      }
      socket.once('error', failed)
      socket.once('connect', () => {
        clearTimeout(timer)
        socket.off('error', failed)
        resolve(new NextHopDialog(socket, { host: address.host, port: address.port }))
      })
    })
  }

  get isOver(): boolean {
    return this.#failure !== null
  }

  /** Writes buffers as one packet where the kernel can. */
  write(buffers: readonly (Uint8Array | string)[]): void {
    if (this.#failure !== null) return
    this.#socket.cork()
    for (const buffer of buffers) if (buffer.length > 0) this.#socket.write(buffer)
    this.#socket.uncork()
  }

  /** Resolves when the socket takes more octets. */
  async drained(timeoutMs: number): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    if (!this.#socket.writableNeedDrain) return
    const timer = setTimeout(() => this.#end(`took no octets for ${timeoutMs / 1_000} s`), timeoutMs)
    await new Promise<void>((resolve) => (this.#wantsDrain = resolve))
    clearTimeout(timer)
    if (this.#failure !== null) throw this.#failure
  }

  /** A reply that came before it was asked for, e.g. a refusal in the middle of the message. */
  earlyReply(): Reply | null {
    return this.#replies.shift() ?? null
  }

  reply(timeoutMs: number): Promise<Reply> {
    const reply = this.#replies.shift()
    if (reply !== undefined) return Promise.resolve(reply)
    if (this.#failure !== null) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end(`gave no reply within ${timeoutMs / 1_000} s`), timeoutMs)
      this.#waiting = { resolve, reject, timer }
    })
  }

  /** TLS from here on. Octets already received in plain text are dropped: they may be an attacker's. */
  async startTls(mustVerify: boolean, timeoutMs: number): Promise<void> {
    this.#unlisten()
    this.#replies = []
    this.#reader = new ReplyReader()
    const plain = this.#socket
    const secure = connectTls({
      socket: plain,
      rejectUnauthorized: mustVerify,
      ...(isIP(this.peer.host) === 0 ? { servername: this.peer.host } : {}),
    })
    // A broken handshake may report more than one error, on either socket.
    plain.on('error', () => {})
    secure.on('error', () => {})
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error) => {
        secure.destroy()
        plain.destroy()
        this.#failure = new DialogError(`${this.peer.host}: TLS failed: ${error.message}`, { cause: error })
        reject(this.#failure)
      }
      const timer = setTimeout(() => fail(new Error(`no handshake within ${timeoutMs / 1_000} s`)), timeoutMs)
      const failed = (error: Error) => {
        clearTimeout(timer)
        fail(error)
      }
      const closed = () => failed(new Error('the next hop closed the connection'))
      secure.once('error', failed)
      secure.once('close', closed)
      secure.once('secureConnect', () => {
        clearTimeout(timer)
        secure.off('error', failed)
        secure.off('close', closed)
        resolve()
      })
    })
    this.tls = tlsOf(secure)
    this.#socket = secure
    this.#listen()
  }

  /** Polite when nothing is under way. */
  quit(): void {
    if (this.#failure !== null) return
    this.onIdleEnd = () => {}
    this.#failure = new DialogError('the connection is closed')
    this.#socket.end('QUIT\r\n')
    const timer = setTimeout(() => this.#socket.destroy(), 2_000)
    this.#socket.once('close', () => clearTimeout(timer))
  }

  destroy(reason: string): void {
    this.#end(reason)
  }

  #listen(): void {
    this.#socket.on('data', this.#onData).on('error', this.#onError).on('close', this.#onClose).on('drain', this.#onDrain)
  }

  #unlisten(): void {
    const socket = this.#socket
    socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose).off('drain', this.#onDrain)
  }

  readonly #onData = (octets: Buffer) => {
    if (this.#failure !== null) return
    try {
      this.#replies.push(...this.#reader.push(octets))
    } catch (error) {
      return this.#end((error as Error).message)
    }
    if (this.#waiting === null) {
      if (this.#replies.length > 0) this.onIdleEnd()
      return
    }
    const reply = this.#replies.shift()
    if (reply === undefined) return
    const { resolve, timer } = this.#waiting
    this.#waiting = null
    clearTimeout(timer)
    resolve(reply)
  }

  readonly #onError = (error: Error) => this.#end(`connection lost: ${error.message}`)
  readonly #onClose = () => this.#end('closed the connection')
  readonly #onDrain = () => {
    this.#wantsDrain?.()
    this.#wantsDrain = null
  }

  #end(reason: string): void {
    if (this.#failure !== null) return
    this.#failure = new DialogError(`${this.peer.host} ${reason}`)
    this.#socket.destroy()
    this.#onDrain()
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting === null) return this.onIdleEnd()
    clearTimeout(waiting.timer)
    waiting.reject(this.#failure)
  }
}

/** Of an AggregateError (several addresses tried) the first reason says it. */
function connectFault(error: Error): string {
  if (error instanceof AggregateError && error.errors.length > 0) return (error.errors[0] as Error).message
  return error.message
}

function tlsOf(socket: TLSSocket): Tls {
  return { version: socket.getProtocol() ?? 'unknown', cipher: socket.getCipher().name }
}
