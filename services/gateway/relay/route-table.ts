/**
 * The routes of the configuration as queues: which of them takes mail for a domain.
 *
 * Owns    one queue for each next hop, however many domains go there; of a route without a host, one for each domain
 *         while there is mail for it.
 * Leaves  outcomes and retries to relay.ts, connections to route-queue.ts.
 */
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { normalizedDomain } from '../../contracts/address.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Config } from '../../kit/config.ts'
import type { Resolver } from '../checks/resolver.ts'
import type { MessageOctets, StoredMessage } from '../spool/message-store.ts'
import { failedAll, type AttemptResult } from './attempt-result.ts'
import type { DeliveryJob } from './deliver-message.ts'
import { markingOf } from './mark-message.ts'
import { mailExchangers, ourselvesOf, type Ourselves } from './next-hops.ts'
import type { RelayLimits } from './relay-limits.ts'
import { RouteQueue } from './route-queue.ts'
import type { Timers } from './timers.ts'

/** As events name it: the route, and the server that was talked to, or would have been. */
export type RoutePlace = { name: string; host: string; port: number }

export type RouteTableOptions = {
  config: Pick<Config, 'routes' | 'delivery' | 'smtp' | 'marking'>
  clock: Clock
  log: Logger
  resolver: Resolver
  limits: RelayLimits
  timers: Timers
  random: () => number
  octetsOf(message: StoredMessage): Promise<MessageOctets>
  onResult(job: DeliveryJob, route: RoutePlace, result: AttemptResult): void
  onHeldUp(job: DeliveryJob, route: RoutePlace, reason: string): void
}

type RouteSetting = Config['routes'][number]

export class RouteTable {
  readonly #options: RouteTableOptions
  readonly #ourselves: Ourselves
  readonly #byDomain = new Map<string, RouteQueue | RouteSetting>()
  /** Of routes without a host. */
  readonly #queuesByDomain = new Map<string, RouteQueue>()
  #all: RouteQueue[] = []

  constructor(options: RouteTableOptions) {
    this.#options = options
    const { listen, listenTls, submission, hostname: name } = options.config.smtp
    this.#ourselves = ourselvesOf(name ?? hostname(), [...listen, ...listenTls, ...submission.listen, ...submission.listenTls])
    const byNextHop = new Map<string, RouteQueue>()
    for (const setting of options.config.routes) {
      const { domain, host, port, tls, mx } = setting
      const place = domain === '*' ? '*' : normalizedDomain(domain)
      if (host === undefined) {
        this.#byDomain.set(place, setting)
        continue
      }
      const key = `${host.toLowerCase()}:${port}/${tls}/${mx}`
      const route = byNextHop.get(key) ?? this.#openQueue(domain, host, setting)
      byNextHop.set(key, route)
      this.#byDomain.set(place, route)
    }
  }

  get all(): readonly RouteQueue[] {
    return this.#all
  }

  /** `domain` normalised. `null`: the configuration names no way there. */
  routeOf(domain: string): RouteQueue | null {
    const route = this.#byDomain.get(domain) ?? this.#byDomain.get('*') ?? null
    if (route === null || route instanceof RouteQueue) return route
    const known = this.#queuesByDomain.get(domain)
    if (known !== undefined) return known
    const queue = this.#openQueue(domain, domain, route)
    this.#queuesByDomain.set(domain, queue)
    return queue
  }

  /** Else every domain that was ever written to would be remembered. */
  forgetIdleQueues(): void {
    for (const [domain, queue] of this.#queuesByDomain) {
      if (!queue.isIdle) continue
      this.#queuesByDomain.delete(domain)
      this.#all = this.#all.filter((route) => route !== queue)
    }
  }

  #openQueue(name: string, host: string, { port, tls, mx }: RouteSetting): RouteQueue {
    const { config, clock, log, resolver, limits, timers, random, octetsOf, onResult, onHeldUp } = this.#options
    const route = new RouteQueue({
      name,
      host,
      port,
      tls,
      helloName: config.smtp.hostname ?? hostname(),
      connections: config.delivery.connectionsPerRoute,
      messagesPerConnection: config.delivery.messagesPerConnection,
      limits,
      clock,
      timers,
      random,
      log,
      nextHops: async () =>
        mx
          ? mailExchangers(resolver, { domain: host, port }, this.#ourselves, random)
          : { status: 'found', hops: [{ host, address: null, port }] },
      octetsOf,
      markingOf: (job) => markingOf(job.message, job.recipients, config.marking.subject),
      onAttempted: (job, result, startedAtUs, { tls: secured, peer }) =>
        onResult(job, { name, ...peer }, { ...result, startedAtUs, tls: secured }),
      onUnroutable: (job, error) => onResult(job, { name, host, port }, failedAll(job, error)),
      onHeldUp: (job, reason) => onHeldUp(job, { name, host, port }, reason),
    })
    this.#all.push(route)
    return route
  }
}
