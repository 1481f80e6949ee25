/**
 * The relay: every released message, until nothing is left to do for it.
 *
 * Owns    which recipients go where, when they are tried again, what a message's end is, and the events that tell it.
 * Leaves  routes to route-table.ts, connections to route-queue.ts, octets and durability to the spool.
 * Why     a result is written to the spool at once and its event appended beside it; the spool forgets the message
 *         only after both are durable. A crash in between repeats an event, or at worst a delivery; it loses neither.
 * Fails   without an event log, finished messages wait here and their events are tried again.
 */
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import { domainOf, normalizedDomain } from '../../contracts/address.ts'
import type { DeliveryResult, EventBody } from '../../contracts/event.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Config } from '../../kit/config.ts'
import { noResolver, type Resolver } from '../checks/resolver.ts'
import type { EventLog } from '../log/event-log-contract.ts'
import type { MessageStore, StoredMessage } from '../spool/message-store.ts'
import { applyReported, type RecipientState, type RecordedFreeing } from '../spool/record.ts'
import { Agenda } from './agenda.ts'
import { deferredAll, failedAll, type AttemptResult } from './attempt-result.ts'
import type { DeliveryJob } from './deliver-message.ts'
import { composeReport } from './compose-report.ts'
import { reportedRecipients } from './delivery-report.ts'
import { deliveryAttempted, messageFinished } from './delivery-events.ts'
import type { QueueCounts, QueueEntry, Relay, RouteState } from './relay-contract.ts'
import { relayLimits, type RelayLimits } from './relay-limits.ts'
import { retryDelayMs } from './retry-delay.ts'
import type { RouteQueue } from './route-queue.ts'
import { RouteTable, type RoutePlace } from './route-table.ts'
import { systemTimers, type Timers } from './timers.ts'

export type RelayOptions = {
  config: Pick<Config, 'routes' | 'delivery' | 'smtp' | 'marking'>
  clock: Clock
  log: Logger
  eventLog: EventLog
  store: MessageStore
  /** For routes that look up MX. */
  resolver?: Resolver
  limits?: Partial<RelayLimits>
  timers?: Timers
  random?: () => number
}

/** A message in the queue: what of it is under way, and which writes its end waits for. */
type Tracked = {
  message: StoredMessage
  lastErrors: Map<number, string>
  /** Recipients that wait for a next hop that is down and were told so in an event. */
  heldUp: Set<number>
  /** Recipients for whom somebody asked for a try at once, and who: told with the next one. */
  requestedBy: Map<number, string>
  /** Recipients whose delivery an operator gave up: nobody wants to see them in quarantine. */
  removed: Set<number>
  /** Recipients of whom a report is being written. */
  reporting: Set<number>
  unfinishedWrites: Set<Promise<void>>
}

const noRoute: RoutePlace = { name: '', host: '', port: 0 }
const eventRetryMs = 1_000
const expirySweepMs = 60_000
const longestReplyLength = 1_000

export class DeliveryRelay implements Relay {
  readonly #options: RelayOptions
  readonly #store: MessageStore
  readonly #limits: RelayLimits
  readonly #timers: Timers
  readonly #random: () => number
  readonly #tracked = new Map<string, Tracked>()
  readonly #held = new Map<string, StoredMessage>()
  /** Held ones whose end is being written. */
  readonly #deleting = new Set<string>()
  readonly #routes: RouteTable
  readonly #agenda = new Agenda<DeliveryJob>()
  readonly #loggedDomains = new Set<string>()
  #alarm: { dueAtMs: number; cancel(): void } | null = null
  #expiryAlarm: { cancel(): void } | null = null
  #isStopping = false

  constructor(options: RelayOptions) {
    this.#options = options
    this.#store = options.store
    this.#limits = { ...relayLimits, ...options.limits }
    this.#timers = options.timers ?? systemTimers
    this.#random = options.random ?? Math.random
    const { config, clock, log, resolver = noResolver } = options
    this.#routes = new RouteTable({
      config,
      clock,
      log,
      resolver,
      limits: this.#limits,
      timers: this.#timers,
      random: this.#random,
      octetsOf: (message) => this.#store.octetsOf(message),
      onResult: (job, route, result) => this.#settle(job, route, result),
      onHeldUp: (job, route, reason) => this.#holdUp(job, route, reason),
    })
    this.#watchExpiry()
  }

  /** A message that was released, or that recovery found. */
  take(message: StoredMessage): void {
    if (message.state.isHeld) {
      this.#store.forgetOctets(message)
      this.#held.set(message.queueId, message)
      return
    }
    const tracked = this.#track(message)
    for (const attempt of message.state.unlogged) {
      this.#follow(tracked, this.#append(attempt.body).then(() => this.#store.recordLogged(message, attempt.serial)))
    }
    const waiting = message.state.recipients.flatMap((state, position) => (state === 'waiting' ? [position] : []))
    if (waiting.length === 0) return void this.#complete(tracked)
    const freeings = message.state.untoldFreeings ?? []
    if (freeings.length === 0) return this.#dispatch(message, waiting)
    const told = Promise.all(freeings.map((freeing) => this.#tellFreed(tracked, freeing)))
    void told.then(
      () => this.#dispatch(message, waiting),
      // The gateway stops: the next start goes on from here.
      () => {},
    )
  }

  counts(): QueueCounts {
    let deferredCount = this.#agenda.size
    let connectionCount = 0
    for (const route of this.#routes.all) {
      if (route.down !== null) deferredCount += route.waitingCount
      connectionCount += route.connectionCount
    }
    return { queuedCount: this.#tracked.size, deferredCount, heldCount: this.#held.size, connectionCount }
  }

  *list(): Iterable<QueueEntry> {
    const nextTries = new Map<string, number>()
    for (const { dueAtMs, item } of this.#agenda.entries()) nextTries.set(item.message.queueId, dueAtMs)
    for (const route of this.#routes.all) {
      if (route.down === null) continue
      for (const job of route.waiting) nextTries.set(job.message.queueId, route.down.nextProbeAtMs)
    }
    for (const { message, lastErrors } of this.#tracked.values()) {
      const nextTryAtMs = nextTries.get(message.queueId) ?? null
      yield { ...entryOf(message, lastErrors), status: nextTryAtMs === null ? 'active' : 'deferred', nextTryAtMs }
    }
    for (const message of this.#held.values()) {
      yield { ...entryOf(message, new Map()), status: 'held', nextTryAtMs: null }
    }
  }

  routes(): RouteState[] {
    return this.#routes.all.map((route) => ({
      name: route.options.name,
      host: route.options.host,
      port: route.options.port,
      waitingCount: route.waitingCount,
      connectionCount: route.connectionCount,
      downBecause: route.down?.reason ?? null,
    }))
  }

  retryNow(queueId: string, by: string): boolean {
    const isWanted = (job: DeliveryJob) => job.message.queueId === queueId
    const due = this.#agenda.takeWhere(isWanted)
    const tracked = this.#tracked.get(queueId)
    const noteRequest = (job: DeliveryJob) => job.recipients.forEach((position) => tracked?.requestedBy.set(position, by))
    due.forEach(noteRequest)
    for (const job of due) this.#dispatch(job.message, job.recipients)
    let isWaiting = due.length > 0
    for (const route of this.#routes.all) {
      const held = route.down === null ? [] : [...route.waiting].filter(isWanted)
      if (held.length === 0) continue
      held.forEach(noteRequest)
      route.probeNow()
      isWaiting = true
    }
    return isWaiting
  }

  /** Whole messages that are held, and those of which a rule keeps a recipient back while others are delivered. */
  *heldMessages(): Iterable<StoredMessage> {
    yield* this.#held.values()
    for (const { message } of this.#tracked.values()) {
      if (!message.state.isHeld && message.state.recipients.includes('held')) yield message
    }
  }

  /** `undefined` where nothing of it is held, or where that is about to change. */
  heldMessage(queueId: string): StoredMessage | undefined {
    const held = this.#held.get(queueId)
    if (held !== undefined) return this.#deleting.has(queueId) ? undefined : held
    const message = this.#tracked.get(queueId)?.message
    return message?.state.isHeld === false && message.state.recipients.includes('held') ? message : undefined
  }

  /**
   * Sends held recipients on their way; `message` comes from `heldMessage` in the same turn. Resolves when the spool
   * and the event log have it: from then on it is delivered whatever happens.
   */
  async freeHeld(message: StoredMessage, positions: readonly number[], by: string): Promise<void> {
    const tracked = this.#tracked.get(message.queueId) ?? this.#track(message)
    this.#held.delete(message.queueId)
    const freeing = { serial: message.state.lastSerial + 1, recipients: [...positions], by, atMs: this.#options.clock.nowMs() }
    const written = this.#store.recordFreed(message, freeing)
    this.#follow(tracked, written)
    await written
    await this.#tellFreed(tracked, freeing)
    if (!this.#isStopping) this.#dispatch(message, positions)
  }

  /** Ends a message that is held as a whole, for good. Rejects, and nothing has happened, where the log cannot be written. */
  async deleteHeld(message: StoredMessage, by: string): Promise<void> {
    const { queueId, envelope, state } = message
    this.#deleting.add(queueId)
    try {
      const recipients = envelope.recipients.flatMap(({ address }, position) => (state.recipients[position] === 'delivered' ? [] : [address]))
      await this.#options.eventLog.append({ kind: 'quarantine.deleted', transactionId: queueId, by, recipients })
      this.#held.delete(queueId)
      this.#store.finish(message)
    } finally {
      this.#deleting.delete(queueId)
    }
  }

  async remove(queueId: string, by: string): Promise<boolean> {
    const jobs = this.#takeWaiting((job) => job.message.queueId === queueId)
    if (jobs.length === 0) return false
    for (const position of jobs.flatMap((job) => job.recipients)) this.#tracked.get(queueId)?.removed.add(position)
    const tracked = this.#tracked.get(queueId)
    for (const job of jobs) this.#settle(job, noRoute, failedAll(job, `removed from the queue by ${by}`))
    if (tracked !== undefined) await this.#written(tracked)
    return true
  }

  /** Deliveries under way may end; everything else stays in the spool. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#alarm?.cancel()
    this.#expiryAlarm?.cancel()
    await Promise.all(this.#routes.all.map((route) => route.stop()))
    const writes = [...this.#tracked.values()].flatMap((tracked) => [...tracked.unfinishedWrites])
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise((resolve) => (timer = setTimeout(resolve, this.#limits.stopMs)))
    await Promise.race([Promise.allSettled(writes), tooLate])
    clearTimeout(timer)
  }

  /** Sends the recipients on their ways: one job per next hop and hundred recipients. */
  #dispatch(message: StoredMessage, positions: readonly number[]): void {
    // Mail that an operator let go is sent without our marks, so it never shares a transaction with the others'.
    const isFreed = (position: number): boolean => message.state.freed?.includes(position) ?? false
    if (message.state.freed !== undefined && positions.some(isFreed) && !positions.every(isFreed)) {
      this.#dispatch(message, positions.filter(isFreed))
      return this.#dispatch(message, positions.filter((position) => !isFreed(position)))
    }
    const byRoute = new Map<RouteQueue | null, number[]>()
    for (const position of positions) {
      const domain = normalizedDomain(domainOf(message.envelope.recipients[position]!.normalized))
      const route = this.#routes.routeOf(domain)
      const together = byRoute.get(route)
      if (together === undefined) byRoute.set(route, [position])
      else together.push(position)
    }
    for (const [route, recipients] of byRoute) {
      const size = this.#limits.recipientsPerTransaction
      for (let from = 0; from < recipients.length; from += size) {
        const job = { message, recipients: recipients.slice(from, from + size) }
        if (route === null) this.#deferWithoutRoute(job)
        else route.push(job)
      }
    }
  }

  #deferWithoutRoute(job: DeliveryJob): void {
    const domains = new Set(job.recipients.map((position) => domainOf(job.message.envelope.recipients[position]!.normalized)))
    const named = [...domains].join(', ')
    for (const domain of domains) {
      if (this.#loggedDomains.has(domain)) continue
      this.#loggedDomains.add(domain)
      const text = `No route for ${domain}: its mail waits. Add { domain: ${domain}, host: … } to routes in tollgate.yaml`
      this.#options.log.warn({ domain, queueId: job.message.queueId }, text)
    }
    this.#settle(job, noRoute, deferredAll(job, `no route for ${named}: add one to routes in tollgate.yaml`))
  }

  /** Told once per message, so that the trace says why it waits; the next hop's state itself is one log line. */
  #holdUp(job: DeliveryJob, route: RoutePlace, reason: string): void {
    const tracked = this.#tracked.get(job.message.queueId)
    if (tracked === undefined) return
    this.#store.forgetOctets(job.message)
    const untold = job.recipients.filter((position) => !tracked.heldUp.has(position) || tracked.requestedBy.has(position))
    if (untold.length === 0) return
    for (const position of untold) tracked.heldUp.add(position)
    this.#record(tracked, { message: job.message, recipients: untold }, route, deferredAll({ ...job, recipients: untold }, reason))
  }

  #settle(job: DeliveryJob, route: RoutePlace, result: AttemptResult): void {
    const tracked = this.#tracked.get(job.message.queueId)
    if (tracked === undefined) return
    for (const position of job.recipients) tracked.heldUp.delete(position)
    this.#record(tracked, job, route, result)
    const { recipients } = job.message.state
    const waiting = job.recipients.filter((position) => recipients[position] === 'waiting')
    if (waiting.length > 0) this.#schedule({ message: job.message, recipients: waiting }, route.name)
    else if (recipients.every((state) => state !== 'waiting')) void this.#complete(tracked)
  }

  #schedule(job: DeliveryJob, routeName: string): void {
    const { delivery } = this.#options.config
    const tries = job.message.state.attemptCounts[routeName] ?? 1
    const delayMs = retryDelayMs(tries, delivery.firstRetrySeconds * 1_000, delivery.lastRetrySeconds * 1_000, this.#random())
    this.#store.forgetOctets(job.message)
    this.#agenda.add(this.#options.clock.nowMs() + delayMs, job)
    this.#setAlarm()
  }

  #setAlarm(): void {
    const dueAtMs = this.#agenda.nextDueAtMs
    if (this.#isStopping || dueAtMs === null) return
    if (this.#alarm !== null && this.#alarm.dueAtMs <= dueAtMs) return
    this.#alarm?.cancel()
    const timer = this.#timers.after(dueAtMs - this.#options.clock.nowMs(), () => {
      this.#alarm = null
      for (const job of this.#agenda.takeDue(this.#options.clock.nowMs())) this.#dispatch(job.message, job.recipients)
      this.#setAlarm()
    })
    this.#alarm = { dueAtMs, cancel: () => timer.cancel() }
  }

  /** What waits behind a next hop that is down expires too. */
  #watchExpiry(): void {
    this.#expiryAlarm = this.#timers.after(expirySweepMs, () => {
      const nowMs = this.#options.clock.nowMs()
      for (const route of this.#routes.all) {
        for (const job of route.takeWhere((waiting) => this.#isExpired(waiting.message, nowMs))) {
          const { name, host, port } = route.options
          this.#settle(job, { name, host, port }, deferredAll(job, route.down?.reason ?? 'the next hop took nothing'))
        }
      }
      this.#routes.forgetIdleQueues()
      this.#watchExpiry()
    })
  }

  #isExpired(message: StoredMessage, nowMs: number): boolean {
    const sinceMs = Math.max(message.envelope.acceptedAtMs, message.state.freedAtMs ?? 0)
    return nowMs - sinceMs >= this.#options.config.delivery.expireHours * 3_600_000
  }

  #takeWaiting(isWanted: (job: DeliveryJob) => boolean): DeliveryJob[] {
    return [...this.#agenda.takeWhere(isWanted), ...this.#routes.all.flatMap((route) => route.takeWhere(isWanted))]
  }

  /** Spool and event log, side by side; the message remembers that both are not yet durable. */
  #record(tracked: Tracked, job: DeliveryJob, route: RoutePlace, result: AttemptResult): void {
    const { message } = tracked
    const { clock, config } = this.#options
    const nowMs = clock.nowMs()
    const durationUs = result.startedAtUs === null ? 0 : Math.max(0, clock.monotonicUs() - result.startedAtUs)
    const isOver = this.#isExpired(message, nowMs)
    const expired: number[] = []
    const results = job.recipients.map((position, index): DeliveryResult => {
      const { outcome, reply, error } = result.results[index]!
      const { address } = message.envelope.recipients[position]!
      const shortReply = reply === null ? null : { ...reply, text: reply.text.slice(0, longestReplyLength) }
      if (outcome === 'deferred') tracked.lastErrors.set(position, reply === null ? (error ?? '') : `${reply.code} ${reply.text}`)
      if (outcome !== 'deferred' || !isOver) return { address, outcome, reply: shortReply, error }
      expired.push(position)
      const why = `not delivered within ${config.delivery.expireHours} hours`
      return { address, outcome: 'failed', reply: shortReply, error: error === null ? why : `${why}; last: ${error}` }
    })
    const body = deliveryAttempted({
      queueId: message.queueId,
      attempt: (message.state.attemptCounts[route.name] ?? 0) + 1,
      startedAtMs: nowMs - Math.round(durationUs / 1_000),
      durationUs,
      nextHop: { route: route.name, host: route.host, port: route.port },
      tls: result.tls,
      recipients: results,
      sentBytes: result.sentBytes,
      ...requestOf(tracked, job),
    })
    const serial = message.state.lastSerial + 1
    const unreported = job.recipients.filter((position, index) => {
      const { outcome, isReportPassedOn } = result.results[index]!
      return outcome === 'delivered' && isReportPassedOn !== true && message.envelope.recipients[position]!.named?.notify?.includes('success') === true
    })
    const attempt = { serial, recipients: job.recipients, expired, body, ...(unreported.length > 0 ? { unreported } : {}) }
    this.#follow(tracked, this.#store.recordAttempt(message, attempt))
    const logged = this.#append(body)
    const isLast = message.state.recipients.every((state) => state !== 'waiting')
    this.#follow(tracked, isLast ? logged : logged.then(() => this.#store.recordLogged(message, serial)))
  }

  /** Every recipient has an end: say so, and let the spool forget the message, or keep it for an operator. */
  async #complete(tracked: Tracked): Promise<void> {
    const { message } = tracked
    const { recipients } = message.envelope
    const count = (wanted: RecipientState) =>
      message.state.recipients.filter((state, position) => state === wanted && recipients[position]!.isClone !== true).length
    if (!(await this.#report(tracked))) return
    // While the report was made durable an operator may have let somebody go.
    if (message.state.recipients.includes('waiting')) return
    const failedCount = count('failed')
    const expiredCount = count('expired')
    const isUndeliverable = message.state.recipients.some((state, position) => {
      const isTold = tracked.removed.has(position) || (message.state.reported ?? []).includes(position)
      return (state === 'failed' || state === 'expired') && recipients[position]!.isClone !== true && !isTold
    })
    // A rule keeps a recipient back: something is left to do, as for a message that is held whole.
    const isHeld = count('held') > 0
    if (isUndeliverable || isHeld) {
      this.#follow(tracked, this.#store.hold(message, this.#options.clock.nowMs()))
      if (!(await this.#written(tracked))) return
    }
    if (!isHeld) {
      const finished = messageFinished({
        queueId: message.queueId,
        acceptedAtMs: message.envelope.acceptedAtMs,
        finishedAtMs: this.#options.clock.nowMs(),
        deliveredCount: count('delivered'),
        failedCount,
        expiredCount,
        reportId: message.state.reportId,
      })
      this.#follow(tracked, this.#append(finished))
      if (!(await this.#written(tracked))) return
    }
    this.#tracked.delete(message.queueId)
    if (!isUndeliverable && !isHeld) return this.#store.finish(message)
    for (const { serial } of message.state.unlogged) this.#store.recordLogged(message, serial)
    this.#held.set(message.queueId, message)
    const { queueId } = message
    if (isUndeliverable) this.#options.log.warn({ queueId, failedCount, expiredCount }, 'Mail could not be delivered: it is kept in quarantine as undeliverable')
  }

  /**
   * Tells the sender, where it may be told. One record makes the report durable and says that it was made: a crash
   * leaves both or neither. False where the gateway stops before.
   */
  async #report({ message, removed, reporting }: Tracked): Promise<boolean> {
    const { clock, config, log } = this.#options
    const due = reportedRecipients(message).filter(
      ({ position }) => !(removed.has(position) || reporting.has(position) || (message.state.reported ?? []).includes(position)),
    )
    if (due.length === 0) return true
    for (const { position } of due) reporting.add(position)
    const { envelope, octets } = await composeReport(this.#store, message, due, {
      hostname: config.smtp.hostname ?? hostname(),
      nowMs: clock.nowMs(),
      log,
    })
    const reportId = envelope.queueId
    const report = await this.#untilWritten('A report to a sender', () => this.#store.add(envelope, octets, true))
    if (report === null) return false
    applyReported(message.state, reportId, due.map(({ position }) => position))
    log.info({ queueId: message.queueId, reportId, recipientCount: due.length }, 'The sender is told what became of the message')
    this.take(report)
    return true
  }

  /** `null` where the gateway stops meanwhile. */
  async #untilWritten<Value>(what: string, write: () => Promise<Value>): Promise<Value | null> {
    for (;;) {
      try {
        return await write()
      } catch (error) {
        if (this.#isStopping) return null
        this.#options.log.error({ err: error }, `${what} cannot be written: tried again`)
        await new Promise<void>((resolve) => void this.#timers.after(eventRetryMs, resolve))
      }
    }
  }

  #track(message: StoredMessage): Tracked {
    const tracked: Tracked = {
      message,
      lastErrors: new Map(),
      heldUp: new Set(),
      requestedBy: new Map(),
      removed: new Set(),
      reporting: new Set(),
      unfinishedWrites: new Set(),
    }
    this.#tracked.set(message.queueId, tracked)
    return tracked
  }

  async #tellFreed({ message }: Tracked, { serial, recipients, by }: RecordedFreeing): Promise<void> {
    const { queueId, envelope } = message
    const addresses = recipients.map((position) => envelope.recipients[position]!.address)
    await this.#append({ kind: 'quarantine.released', transactionId: queueId, by, serial, recipients: addresses })
    this.#store.recordLogged(message, serial)
  }

  #follow(tracked: Tracked, write: Promise<void>): void {
    tracked.unfinishedWrites.add(write)
    write.then(
      () => tracked.unfinishedWrites.delete(write),
      () => {},
    )
  }

  /** False when a write was given up because the gateway stops: recovery goes on from there. */
  async #written(tracked: Tracked): Promise<boolean> {
    const writes = await Promise.allSettled(tracked.unfinishedWrites)
    return writes.every((write) => write.status === 'fulfilled')
  }

  async #append(body: EventBody): Promise<void> {
    for (;;) {
      try {
        return await this.#options.eventLog.append(body)
      } catch (error) {
        if (this.#isStopping) throw error
        this.#options.log.error({ err: error, kind: body.kind }, 'An event of a delivery cannot be written: tried again')
        await new Promise<void>((resolve) => void this.#timers.after(eventRetryMs, resolve))
      }
    }
  }
}

function entryOf(message: StoredMessage, lastErrors: Map<number, string>): Omit<QueueEntry, 'status' | 'nextTryAtMs'> {
  const { envelope, state, queueId, sizeBytes } = message
  return {
    queueId,
    sender: envelope.sender,
    sizeBytes,
    acceptedAtMs: envelope.acceptedAtMs,
    recipients: envelope.recipients.flatMap(({ address }, position) =>
      state.recipients[position] === 'delivered' ? [] : [{ address, lastError: lastErrors.get(position) ?? null }],
    ),
    attemptCount: Math.max(0, ...Object.values(state.attemptCounts)),
  }
}

/** Each request is told once. */
function requestOf({ requestedBy }: Tracked, { recipients }: DeliveryJob): { requestedBy?: string } {
  const [by] = recipients.flatMap((position) => requestedBy.get(position) ?? [])
  for (const position of recipients) requestedBy.delete(position)
  return by === undefined ? {} : { requestedBy: by }
}
