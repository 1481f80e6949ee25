/**
 * The SMTP listeners: sockets in, sessions out.
 *
 * Owns    accepting, the number of connections in all and per network, idle time-outs, early talkers.
 * Leaves  everything that is said to the session.
 * Limits  limits.sessions, limits.sessionsPerNetwork, limits.idleSeconds, limits.greetingDelayMs.
 * Fails   a listener that cannot be opened throws Node's error, with address and port in it.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Reason } from '../contracts/vocabulary.ts'
import { parseSocketAddress, socketAddressText } from '../kit/socket-address.ts'
import * as limit from './limits.ts'
import { neighbourhoodOf, plainIp } from './policy/network-table.ts'
import type { Connection } from './session/connection.ts'
import type { Reply } from './session/reply.ts'
import { Session, type SessionDeps } from './session/session.ts'

/** Replies that a remote does not read, before no more of its commands are. */
const unreadReplyBytes = 64 * 1024

export class SmtpListeners {
  readonly #deps: SessionDeps
  readonly #servers: Server[] = []
  readonly #sessions = new Map<Session, Socket>()
  readonly #perNetwork = new Map<string, number>()
  #isStopping = false

  constructor(deps: SessionDeps) {
    this.#deps = deps
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /** Addresses that are listened on; with the port that the system chose where the configuration says 0. */
  get addresses(): string[] {
    return this.#servers.map((server) => listenerText(server))
  }

  async listen(addresses: readonly string[]): Promise<void> {
    try {
      for (const text of addresses) {
        const address = parseSocketAddress(text)
        if (address === null) throw new Error(`smtp.listen: "${text}" is no address and port`)
        await this.#listenOn(address.host, address.port)
      }
    } catch (error) {
      await this.#closeServers()
      throw error
    }
  }

  /** No new connections; open transactions may end within limits.stopSeconds. Resolves when every session is over. */
  async stop(): Promise<void> {
    this.#isStopping = true
    const serversClosed = this.#closeServers()
    for (const session of this.#sessions.keys()) session.stop()
    const wait = setTimeout(() => {
      for (const session of this.#sessions.keys()) session.abandon()
    }, this.#deps.limits.stopSeconds * 1_000)
    const lastWait = setTimeout(() => {
      for (const socket of this.#sessions.values()) socket.destroy()
    }, this.#deps.limits.stopSeconds * 1_500)
    await Promise.all([...this.#sessions.keys()].map((session) => session.closed))
    clearTimeout(wait)
    clearTimeout(lastWait)
    await serversClosed
  }

  #listenOn(host: string, port: number): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 511 }, () => {
        server.off('error', reject)
        // Running out of file descriptors is told by the operator log; the listener goes on when there are some.
        server.on('error', (error) => this.#deps.onFault(error, 'A connection could not be accepted'))
        const listener = listenerText(server)
        server.on('connection', (socket) => this.#accept(socket, listener))
        this.#servers.push(server)
        resolve()
      })
    })
  }

  #accept(socket: Socket, listener: string): void {
    const ip = socket.remoteAddress === undefined ? null : plainIp(socket.remoteAddress)
    if (ip === null || this.#isStopping) {
      socket.destroy()
      return
    }
    const network = neighbourhoodOf(ip)
    const turnedAway = this.#turnedAway(network)
    this.#count(network, 1)
    const { session, connection } = this.#openSession(socket, ip, listener)
    this.#sessions.set(session, socket)
    void session.closed.then(() => {
      this.#sessions.delete(session)
      this.#count(network, -1)
    })
    const { greetingDelayMs } = this.#deps.limits
    if (turnedAway !== null) session.open(turnedAway)
    else if (greetingDelayMs === 0 || session.networkClass !== 'public') session.open()
    else this.#openLater(session, socket, connection, greetingDelayMs)
  }

  /** Who talks before the greeting does not listen to replies either. */
  #openLater(session: Session, socket: Socket, connection: Connection, delayMs: number): void {
    connection.pause()
    const timer = setTimeout(() => {
      // Paused streams still take in what arrived: a look into the buffer is all that is needed.
      const isEarly = socket.bytesRead > 0 || socket.readableLength > 0
      session.open(isEarly ? { reply: limit.talkedTooEarly(), reason: 'early-talker' } : null)
      if (!isEarly) connection.resume()
    }, delayMs)
    socket.once('close', () => clearTimeout(timer))
  }

  #openSession(socket: Socket, ip: string, listener: string): { session: Session; connection: Connection } {
    const connection = socketConnection(socket, ip, listener)
    const session = new Session(this.#deps, connection)
    socket.setTimeout(this.#deps.limits.idleSeconds * 1_000, () => session.timedOut())
    socket.on('data', (chunk: Buffer) => session.receive(chunk))
    socket.on('end', () => session.remoteEnded())
    socket.on('error', () => session.connectionLost())
    socket.on('close', (hadError) => (hadError ? session.connectionLost() : session.remoteEnded()))
    return { session, connection }
  }

  #turnedAway(network: string): { reply: Reply; reason: Reason } | null {
    const { sessions, sessionsPerNetwork } = this.#deps.limits
    if (this.#sessions.size >= sessions) return { reply: limit.tooManySessions(), reason: 'connection-limit' }
    const isCrowded = (this.#perNetwork.get(network) ?? 0) >= sessionsPerNetwork
    return isCrowded ? { reply: limit.tooManySessionsOfNetwork(), reason: 'connection-limit' } : null
  }

  #count(network: string, change: number): void {
    const count = (this.#perNetwork.get(network) ?? 0) + change
    if (count > 0) this.#perNetwork.set(network, count)
    else this.#perNetwork.delete(network)
  }

  async #closeServers(): Promise<void> {
    await Promise.all(this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))))
  }
}

function listenerText(server: Server): string {
  const address = server.address()
  return address === null || typeof address === 'string'
    ? ''
    : socketAddressText({ host: address.address, port: address.port })
}

function socketConnection(socket: Socket, ip: string, listener: string): Connection {
  const closed = new Promise<{ isBroken: boolean }>((resolve) =>
    socket.once('close', (hadError) => resolve({ isBroken: hadError })),
  )
  return {
    remoteIp: ip,
    remotePort: socket.remotePort ?? null,
    listener,
    // Replies are ASCII.
    write: (text, done) => void socket.write(text, 'latin1', done),
    drained() {
      if (socket.writableLength <= unreadReplyBytes || socket.destroyed) return null
      return new Promise((resolve) => {
        socket.once('drain', resolve)
        socket.once('close', resolve)
      })
    },
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    close() {
      // What the remote still sends is read and dropped: unread octets would turn our last reply into a reset.
      socket.resume()
      socket.end()
      const linger = setTimeout(() => socket.destroy(), lingerMs)
      void closed.then(() => clearTimeout(linger))
      return closed
    },
  }
}

/** How long a remote may leave the connection half-open behind our end of it. */
const lingerMs = 5_000
