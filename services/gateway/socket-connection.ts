/**
 * The connection of a session over a socket, in the clear and later over TLS.
 *
 * Owns    the socket, its handshake and its time-outs; what comes in goes to the session as octets, whatever carries
 *         them.
 * Limits  `unreadReplyBytes` that a remote does not read; `handshakeMs` for TLS; `lingerMs` behind our end.
 * Why     octets that arrive in the clear while the handshake begins are part of the handshake, never of the dialog:
 *         a command that somebody in between adds behind STARTTLS must not be answered inside TLS (CVE-2011-0411).
 */
import type { Socket } from 'node:net'
import { TLSSocket, type SecureContext } from 'node:tls'
import type { Tls } from '../contracts/event.ts'
import type { Connection } from './session/connection.ts'

/** Replies that a remote does not read, before no more of its commands are. */
const unreadReplyBytes = 64 * 1024
const handshakeMs = 30_000
/** How long a remote may leave the connection half-open behind our end of it. */
const lingerMs = 5_000

/** What a connection tells the session of. */
export type ConnectionListener = {
  receive(chunk: Buffer): void
  remoteEnded(): void
  connectionLost(): void
  timedOut(): void
}

export type SocketConnectionOptions = {
  socket: Socket
  /** The other end of the socket. */
  ip: string
  listener: string
  isSubmission: boolean
  /** The remote, where a proxy tells it; `null`: the proxy does not know. */
  proxied?: { ip: string | null; port: number | null; headerBytes: number }
  idleMs: number
  /** Made when it is needed; `null`: TLS is not offered. */
  secureContext: (() => SecureContext) | null
}

export class SocketConnection implements Connection {
  readonly remoteIp: string | null
  readonly remotePort: number | null
  readonly listener: string
  readonly isSubmission: boolean
  tls: Tls | null = null
  readonly #options: SocketConnectionOptions
  #socket: Socket
  #session: ConnectionListener | null = null
  readonly #closed: Promise<{ isBroken: boolean }>
  #resolveClosed!: (how: { isBroken: boolean }) => void

  constructor(options: SocketConnectionOptions) {
    this.#options = options
    this.#socket = options.socket
    const { proxied } = options
    this.remoteIp = proxied === undefined ? options.ip : proxied.ip
    this.remotePort = proxied === undefined ? (options.socket.remotePort ?? null) : proxied.port
    this.listener = options.listener
    this.isSubmission = options.isSubmission
    this.#closed = new Promise((resolve) => (this.#resolveClosed = resolve))
    // Until a session listens, a broken connection only ends.
    options.socket.on('error', () => {})
  }

  get mayStartTls(): boolean {
    return this.#options.secureContext !== null && this.tls === null
  }

  /** Octets that arrived and were not given to the session. */
  get hasUnread(): boolean {
    return this.#socket.bytesRead > (this.#options.proxied?.headerBytes ?? 0) || this.#socket.readableLength > 0
  }

  /** From now on what happens is told to the session. */
  attach(session: ConnectionListener): void {
    this.#session = session
    this.#listen()
    this.#socket.resume()
  }

  async startTls(): Promise<Tls | null> {
    const plain = this.#socket
    await written(plain)
    for (const event of ['data', 'end', 'error', 'close', 'timeout'] as const) plain.removeAllListeners(event)
    plain.on('error', () => {})
    plain.setTimeout(0)
    if (plain.destroyed) {
      this.#resolveClosed({ isBroken: true })
      return null
    }
    const secured = new TLSSocket(plain, { isServer: true, secureContext: this.#options.secureContext!() })
    this.#socket = secured
    this.tls = await handshake(secured)
    if (this.tls === null) {
      secured.destroy()
      this.#resolveClosed({ isBroken: true })
      return null
    }
    if (this.#session !== null) this.#listen()
    return this.tls
  }

  // Replies are ASCII.
  write(text: string, done: (error?: Error | null) => void): void {
    this.#socket.write(text, 'latin1', done)
  }

  drained(): Promise<void> | null {
    const socket = this.#socket
    if (socket.writableLength <= unreadReplyBytes || socket.destroyed) return null
    return new Promise((resolve) => {
      socket.once('drain', resolve)
      socket.once('close', () => resolve())
    })
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  close(): Promise<{ isBroken: boolean }> {
    const socket = this.#socket
    // What the remote still sends is read and dropped: unread octets would turn our last reply into a reset.
    socket.resume()
    socket.end()
    const linger = setTimeout(() => socket.destroy(), lingerMs)
    void this.#closed.then(() => clearTimeout(linger))
    return this.#closed
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #listen(): void {
    const socket = this.#socket
    const session = this.#session!
    socket.setTimeout(this.#options.idleMs, () => session.timedOut())
    socket.on('data', (chunk: Buffer) => session.receive(chunk))
    socket.on('end', () => session.remoteEnded())
    socket.on('error', () => session.connectionLost())
    socket.on('close', (hadError) => {
      this.#resolveClosed({ isBroken: hadError })
      if (hadError) session.connectionLost()
      else session.remoteEnded()
    })
  }
}

/** Everything said in the clear is on its way before TLS takes the socket over. */
function written(socket: Socket): Promise<void> | void {
  if (socket.writableLength === 0 || socket.destroyed) return
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', () => resolve())
  })
}

function handshake(socket: TLSSocket): Promise<Tls | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => settle(null), handshakeMs)
    const settle = (tls: Tls | null): void => {
      clearTimeout(timer)
      for (const event of ['secure', 'error', 'close'] as const) socket.removeAllListeners(event)
      socket.on('error', () => {})
      resolve(tls)
    }
    socket.once('secure', () => settle({ version: socket.getProtocol() ?? 'unknown', cipher: socket.getCipher().standardName }))
    socket.once('error', () => settle(null))
    socket.once('close', () => settle(null))
  })
}
