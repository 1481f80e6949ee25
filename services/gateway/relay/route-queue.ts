/**
 * What waits for one next hop, and the connections that take it there.
 *
 * Owns    the pool, and whether the next hop counts as down.
 * Leaves  outcomes, retries and events to relay.ts.
 * Limits  config.delivery.connectionsPerRoute and messagesPerConnection.
 * Why     a next hop that is down costs one probe at a time: the messages wait in line here, untried, and all of
 *         them go as soon as one probe succeeds.
 */
import type { Logger } from 'pino'
import type { Clock } from '../../kit/clock.ts'
import type { MessageOctets, StoredMessage } from '../spool/message-store.ts'
import type { DeliveryJob, TransactionResult } from './deliver-message.ts'
import { JobLine } from './job-line.ts'
import { runConnection, type ConnectionEnd, type ConnectionHost } from './next-hop-connection.ts'
import type { NextHopDialog } from './next-hop-dialog.ts'
import type { NextHops } from './next-hops.ts'
import type { Marking } from './mark-message.ts'
import type { RelayLimits } from './relay-limits.ts'
import { retryDelayMs } from './retry-delay.ts'
import type { Timers } from './timers.ts'

export type RouteOptions = {
  /** The route as the configuration names it. */
  name: string
  host: string
  port: number
  tls: 'off' | 'may' | 'must'
  helloName: string
  connections: number
  messagesPerConnection: number
  limits: RelayLimits
  clock: Clock
  timers: Timers
  random: () => number
  log: Logger
  octetsOf(message: StoredMessage): Promise<MessageOctets>
  markingOf(job: DeliveryJob): Marking
  nextHops(): Promise<NextHops>
  onAttempted(job: DeliveryJob, result: TransactionResult, startedAtUs: number, dialog: Pick<NextHopDialog, 'tls' | 'peer'>): void
  /** No server will ever take it. */
  onUnroutable(job: DeliveryJob, error: string): void
  /** The next hop is down and the job waits for its return. */
  onHeldUp(job: DeliveryJob, reason: string): void
}

type Waiter = { dialog: NextHopDialog; resolve(job: DeliveryJob | null): void; timer: NodeJS.Timeout }

export class RouteQueue implements ConnectionHost {
  readonly options: RouteOptions
  readonly #line = new JobLine()
  readonly #dialogs = new Set<NextHopDialog>()
  #waiters: Waiter[] = []
  #connectionCount = 0
  #openingCount = 0
  #down: { reason: string; failedProbes: number; nextProbeAtMs: number } | null = null
  #probe: { cancel(): void } | null = null
  #noMoreUntilMs = 0
  #plainUntilMs = 0
  #isTlsJustFailed = false
  #isStopping = false
  #onEmpty: () => void = () => {}

  constructor(options: RouteOptions) {
    this.options = options
  }

  get tls(): 'off' | 'may' | 'must' {
    return this.options.tls
  }
  get helloName(): string {
    return this.options.helloName
  }
  get messagesPerConnection(): number {
    return this.options.messagesPerConnection
  }
  get limits(): RelayLimits {
    return this.options.limits
  }

  get waiting(): Iterable<DeliveryJob> {
    return this.#line
  }
  get waitingCount(): number {
    return this.#line.length
  }
  get connectionCount(): number {
    return this.#connectionCount
  }
  /** Nothing would be lost if it were forgotten. */
  get isIdle(): boolean {
    return this.#line.length === 0 && this.#connectionCount === 0 && this.#down === null
  }
  /** Why nothing goes there at present and when it is tried again, or `null`. */
  get down(): { reason: string; nextProbeAtMs: number } | null {
    return this.#down
  }

  push(job: DeliveryJob): void {
    const waiter = this.#waiters.pop()
    if (waiter !== undefined) return this.#wake(waiter, job)
    this.#line.push(job)
    if (this.#down !== null) this.options.onHeldUp(job, this.#down.reason)
    else this.#openConnections()
  }

  takeWhere(isWanted: (job: DeliveryJob) => boolean): DeliveryJob[] {
    return this.#line.takeWhere(isWanted)
  }

  /** Tries a next hop that is down at once. */
  probeNow(): void {
    if (this.#probe === null) return
    this.#probe.cancel()
    this.#tryAgain()
  }

  /** Deliveries under way may end until `stopMs` is over; what waits stays where it is. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#probe?.cancel()
    for (const waiter of this.#waiters.splice(0)) this.#wake(waiter, null)
    if (this.#connectionCount === 0) return
    const timer = setTimeout(() => {
      for (const dialog of this.#dialogs) dialog.destroy('was still busy when the gateway stopped')
    }, this.limits.stopMs)
    const giveUp = setTimeout(() => this.#onEmpty(), this.limits.stopMs + 1_000)
    await new Promise<void>((resolve) => (this.#onEmpty = resolve))
    clearTimeout(timer)
    clearTimeout(giveUp)
  }

  octetsOf(message: StoredMessage): Promise<MessageOctets> {
    return this.options.octetsOf(message)
  }

  markingOf(job: DeliveryJob): Marking {
    return this.options.markingOf(job)
  }

  monotonicUs(): number {
    return this.options.clock.monotonicUs()
  }

  isPlainPreferred(): boolean {
    return this.options.clock.nowMs() < this.#plainUntilMs
  }

  tlsFailed(reason: string): void {
    this.#plainUntilMs = this.options.clock.nowMs() + this.limits.plainMs
    this.#isTlsJustFailed = true
    this.options.log.warn({ route: this.options.name, reason }, 'TLS with the next hop failed: plain text for a while')
  }

  ready(dialog: NextHopDialog): void {
    this.#openingCount -= 1
    this.#dialogs.add(dialog)
    if (this.#isStopping) return
    if (this.#down !== null) {
      this.options.log.info({ route: this.options.name, waitingCount: this.#line.length }, 'The next hop is back')
      this.#down = null
      this.#probe?.cancel()
      this.#probe = null
    }
    // After this connection took its first job: what is left then is for another one.
    queueMicrotask(() => this.#openConnections())
  }

  nextJob(dialog: NextHopDialog): Promise<DeliveryJob | null> {
    if (this.#isStopping || dialog.isOver) return Promise.resolve(null)
    const job = this.#line.shift()
    if (job !== null) return Promise.resolve(job)
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#release(waiter), this.limits.idleMs)
      const waiter: Waiter = { dialog, resolve, timer }
      dialog.onIdleEnd = () => this.#release(waiter)
      this.#waiters.push(waiter)
    })
  }

  /** Only when every connection is busy and no more may be opened: else another one would be faster. */
  nextAnnounced(): DeliveryJob | null {
    if (this.#isStopping || this.#connectionCount < this.options.connections || this.#waiters.length > 0) return null
    return this.#line.peek()?.message.octets ? this.#line.shift() : null
  }

  putBack(job: DeliveryJob): void {
    this.#line.unshift(job)
    if (this.#down !== null) this.options.onHeldUp(job, this.#down.reason)
  }

  attempted(job: DeliveryJob, result: TransactionResult, startedAtUs: number, dialog: NextHopDialog): void {
    this.options.onAttempted(job, result, startedAtUs, dialog)
  }

  nextHops(): Promise<NextHops> {
    return this.options.nextHops()
  }

  unroutable(error: string): void {
    this.#down = null
    for (const job of this.#line.takeWhere(() => true)) this.options.onUnroutable(job, error)
  }

  #wake(waiter: Waiter, job: DeliveryJob | null): void {
    clearTimeout(waiter.timer)
    waiter.dialog.onIdleEnd = () => {}
    waiter.resolve(job)
  }

  #release(waiter: Waiter): void {
    const index = this.#waiters.indexOf(waiter)
    if (index < 0) return
    this.#waiters.splice(index, 1)
    this.#wake(waiter, null)
  }

  #openConnections(): void {
    if (this.#isStopping || this.#down !== null) return
    if (this.#connectionCount > 0 && this.options.clock.nowMs() < this.#noMoreUntilMs) return
    while (this.#connectionCount < this.options.connections && this.#openingCount < this.#line.length) this.#open()
  }

  #open(): void {
    this.#connectionCount += 1
    this.#openingCount += 1
    void runConnection(this).then((end) => this.#ended(end))
  }

  #ended(end: ConnectionEnd): void {
    this.#connectionCount -= 1
    if (!end.isReady) this.#openingCount -= 1
    for (const dialog of this.#dialogs) if (dialog.isOver) this.#dialogs.delete(dialog)
    if (this.#isStopping) {
      if (this.#connectionCount === 0) this.#onEmpty()
      return
    }
    const isAnotherTryDue = this.#isTlsJustFailed
    this.#isTlsJustFailed = false
    if (end.fault !== null && !end.isUsed && !isAnotherTryDue) {
      if (this.#dialogs.size === 0) return this.#goDown(end.fault)
      this.#noMoreUntilMs = this.options.clock.nowMs() + this.limits.noMoreConnectionsMs
    }
    if (this.#down !== null && this.#probe === null && this.#openingCount === 0) this.#tryAgain()
    else this.#openConnections()
  }

  #goDown(reason: string): void {
    // Several connections may fail at once: that is one failure, and one probe.
    if (this.#probe !== null) return
    const { clock, timers, random, log, name } = this.options
    const failedProbes = (this.#down?.failedProbes ?? 0) + 1
    const delayMs = retryDelayMs(failedProbes, this.limits.firstProbeMs, this.limits.lastProbeMs, random())
    const isNew = this.#down === null
    this.#down = { reason, failedProbes, nextProbeAtMs: clock.nowMs() + delayMs }
    this.#probe = timers.after(delayMs, () => this.#tryAgain())
    if (!isNew) return
    log.warn({ route: name, reason, waitingCount: this.#line.length }, 'The next hop is down: its mail waits')
    for (const job of this.#line) this.options.onHeldUp(job, reason)
  }

  #tryAgain(): void {
    this.#probe = null
    if (this.#isStopping) return
    if (this.#line.length > 0) this.#open()
    else this.#down = null
  }
}
