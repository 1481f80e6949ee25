/**
 * The SMTP listeners: sockets in, sessions out.
 *
 * Owns    accepting, who a proxy speaks for, the number of connections in all and per network, idle time-outs, early
 *         talkers.
 * Leaves  everything that is said to the session.
 * Limits  limits.sessions, limits.sessionsPerNetwork, limits.idleSeconds, limits.greetingDelayMs.
 * Fails   a listener that cannot be opened throws Node's error, with address and port in it.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { Reason } from '../contracts/vocabulary.ts'
import type { Config } from '../kit/config.ts'
import { parseSocketAddress, socketAddressText } from '../kit/socket-address.ts'
import { IpPrefixSet, parseIpAddress, parseIpPrefix } from '../rules/ip-prefix-set.ts'
import * as limit from './limits.ts'
import { neighbourhoodOf, plainIp } from './policy/network-table.ts'
import { proxyGreeting } from './proxy/proxied-socket.ts'
import type { Reply } from './session/reply.ts'
import { Session, type SessionDeps } from './session/session.ts'
import { SocketConnection, type SocketConnectionOptions } from './socket-connection.ts'
import type { ServerTls } from './tls/server-tls.ts'

export type ListenerSettings = {
  /** Address and port; port 0: one that the system chooses. */
  address: string
  /** TLS comes before the first octet of SMTP (RFC 8314). */
  isSecured?: boolean
  /** People log in here to send mail (RFC 6409). */
  isSubmission?: boolean
  /** Who must begin with a PROXY header, and is not the remote. */
  proxyFrom?: readonly string[]
}

export function listenersOf({ listen, listenTls, submission, proxyFrom }: Config['smtp']): ListenerSettings[] {
  const listeners: ListenerSettings[] = [
    ...listen.map((address) => ({ address })),
    ...listenTls.map((address) => ({ address, isSecured: true })),
    ...submission.listen.map((address) => ({ address, isSubmission: true })),
    ...submission.listenTls.map((address) => ({ address, isSecured: true, isSubmission: true })),
  ]
  return listeners.map((settings) => ({
    ...settings,
    proxyFrom: proxyFrom.filter(({ listener }) => listener === settings.address).flatMap(({ cidrs }) => cidrs),
  }))
}

export class SmtpListeners {
  readonly #deps: SessionDeps
  readonly #tls: ServerTls | null
  readonly #servers: Server[] = []
  /** Connections whose PROXY header or handshake is under way. */
  readonly #opening = new Set<{ destroy(): void }>()
  readonly #sessions = new Map<Session, SocketConnection>()
  readonly #perNetwork = new Map<string, number>()
  #isStopping = false

  /** `tls`: offered by STARTTLS, and spoken at once on secured listeners; `null`: in the clear only. */
  constructor(deps: SessionDeps, tls: ServerTls | null = null) {
    this.#deps = deps
    this.#tls = tls
  }

  get sessionCount(): number {
    return this.#sessions.size
  }

  /** Addresses that are listened on; with the port that the system chose where the configuration says 0. */
  get addresses(): string[] {
    return this.#servers.map((server) => listenerText(server))
  }

  async listen(listeners: readonly ListenerSettings[]): Promise<void> {
    try {
      for (const settings of listeners) {
        const address = parseSocketAddress(settings.address)
        if (address === null) throw new Error(`"${settings.address}" is no address and port to listen on`)
        await this.#listenOn(address.host, address.port, settings)
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
    for (const connection of this.#opening) connection.destroy()
    for (const session of this.#sessions.keys()) session.stop()
    const wait = setTimeout(() => {
      for (const session of this.#sessions.keys()) session.abandon()
    }, this.#deps.limits.stopSeconds * 1_000)
    const lastWait = setTimeout(() => {
      for (const connection of this.#sessions.values()) connection.destroy()
    }, this.#deps.limits.stopSeconds * 1_500)
    await Promise.all([...this.#sessions.keys()].map((session) => session.closed))
    clearTimeout(wait)
    clearTimeout(lastWait)
    await serversClosed
  }

  #listenOn(host: string, port: number, settings: ListenerSettings): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: 511 }, () => {
        server.off('error', reject)
        // Running out of file descriptors is told by the operator log; the listener goes on when there are some.
        server.on('error', (error) => this.#deps.onFault(error, 'A connection could not be accepted'))
        const listener = listenerText(server)
        const proxies = proxySet(settings.proxyFrom ?? [])
        server.on('connection', (socket) => this.#accept(socket, listener, settings, proxies))
        this.#servers.push(server)
        resolve()
      })
    })
  }

  #accept(socket: Socket, listener: string, settings: ListenerSettings, proxies: IpPrefixSet): void {
    const ip = socket.remoteAddress === undefined ? null : plainIp(socket.remoteAddress)
    if (ip === null || this.#isStopping) {
      socket.destroy()
      return
    }
    const address = parseIpAddress(ip)
    if (address === null || !proxies.has(address)) return this.#greet(this.#connectionOf({ socket, ip, listener, settings }), settings)
    socket.on('error', () => {})
    if (this.#sessions.size + this.#opening.size >= this.#deps.limits.sessions) return void socket.destroy()
    this.#opening.add(socket)
    void proxyGreeting(socket).then((greeting) => {
      this.#opening.delete(socket)
      if (greeting === 'gone' || this.#isStopping) return socket.destroy()
      if ('refusal' in greeting) {
        this.#deps.onFault(new Error(greeting.refusal), `The proxy ${ip} did not say whom it speaks for, and was refused`)
        return socket.destroy()
      }
      const { source, headerBytes } = greeting
      const told = source === 'proxy' ? { ip, port: socket.remotePort ?? null } : source === 'unknown' ? { ip: null, port: null } : source
      const proxied = { ip: told.ip === null ? null : plainIp(told.ip), port: told.port, headerBytes }
      this.#greet(this.#connectionOf({ socket, ip, listener, settings, proxied }), settings)
    })
  }

  #greet(connection: SocketConnection, { isSecured = false }: ListenerSettings): void {
    const network = networkKeyOf(connection)
    if (!isSecured) return this.#openSession(connection, this.#turnedAway(network))
    // Counted from the beginning: a handshake that is never finished costs a place as well.
    if (this.#turnedAway(network) !== null) return connection.destroy()
    this.#count(network, 1)
    this.#opening.add(connection)
    void connection.startTls().then((tls) => {
      this.#opening.delete(connection)
      this.#count(network, -1)
      if (tls === null) return
      if (this.#isStopping) connection.destroy()
      else this.#openSession(connection, null)
    })
  }

  #connectionOf(accepted: Accepted): SocketConnection {
    const { socket, ip, listener, settings, proxied } = accepted
    const tls = this.#tls
    const { minTls } = this.#deps.policy().networks.networkOf(proxied === undefined ? ip : proxied.ip)
    return new SocketConnection({
      socket,
      ip,
      listener,
      isSubmission: settings.isSubmission ?? false,
      ...(proxied === undefined ? {} : { proxied }),
      idleMs: this.#deps.limits.idleSeconds * 1_000,
      secureContext: tls === null ? null : () => tls.context(minTls),
    })
  }

  #openSession(connection: SocketConnection, turnedAway: { reply: Reply; reason: Reason } | null): void {
    const network = networkKeyOf(connection)
    this.#count(network, 1)
    const session = new Session(this.#deps, connection)
    this.#sessions.set(session, connection)
    void session.closed.then(() => {
      this.#sessions.delete(session)
      this.#count(network, -1)
    })
    connection.attach(session)
    const { greetingDelayMs } = this.#deps.limits
    if (turnedAway !== null) session.open(turnedAway)
    else if (greetingDelayMs === 0 || session.networkClass !== 'public' || connection.tls !== null) session.open()
    else this.#openLater(session, connection, greetingDelayMs)
  }

  /** Who talks before the greeting does not listen to replies either. */
  #openLater(session: Session, connection: SocketConnection, delayMs: number): void {
    connection.pause()
    const timer = setTimeout(() => {
      // Paused streams still take in what arrived: a look into the buffer is all that is needed.
      const isEarly = connection.hasUnread
      session.open(isEarly ? { reply: limit.talkedTooEarly(), reason: 'early-talker' } : null)
      if (!isEarly) connection.resume()
    }, delayMs)
    void session.closed.then(() => clearTimeout(timer))
  }

  #turnedAway(network: string): { reply: Reply; reason: Reason } | null {
    const { sessions, sessionsPerNetwork } = this.#deps.limits
    if (this.#sessions.size + this.#opening.size >= sessions) return { reply: limit.tooManySessions(), reason: 'connection-limit' }
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

type Accepted = Pick<SocketConnectionOptions, 'socket' | 'ip' | 'listener' | 'proxied'> & { settings: ListenerSettings }

/** Throws for a network that is none: the configuration was checked before. */
function proxySet(cidrs: readonly string[]): IpPrefixSet {
  const prefixes = cidrs.map((cidr) => {
    const prefix = parseIpPrefix(cidr)
    if (prefix === null) throw new RangeError(`${cidr} is no network`)
    return prefix
  })
  return new IpPrefixSet(prefixes)
}

/** Those of whom a proxy does not know who they are share one place. */
function networkKeyOf({ remoteIp }: SocketConnection): string {
  return remoteIp === null ? 'unknown' : neighbourhoodOf(remoteIp)
}

function listenerText(server: Server): string {
  const address = server.address()
  return address === null || typeof address === 'string'
    ? ''
    : socketAddressText({ host: address.address, port: address.port })
}
