/** For tests: a spool with its relay in a folder of its own, an event log in memory, and messages to put in. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { pino, type Logger } from 'pino'
import type { EventBody, EventKind } from '../services/contracts/event.ts'
import { transactionIdOf } from '../services/contracts/transaction-id.ts'
import { systemClock } from '../services/kit/clock.ts'
import type { Config } from '../services/kit/config.ts'
import { openSpool, type OpenSpool, type SpoolOptions } from '../services/gateway/spool/open-spool.ts'
import type { Envelope, Spool } from '../services/gateway/spool/spool-contract.ts'

export const silentLog: Logger = pino({ level: 'silent' })

/** Remembers what was appended, as the real one does for recovery; `fail` makes the next appends reject. */
export class MemoryEventLog {
  readonly bodies: EventBody[] = []
  readonly logged = new Set<string>()
  failNext = 0

  async append(body: EventBody): Promise<void> {
    await null
    if (this.failNext > 0) {
      this.failNext -= 1
      throw new Error('no space left on device')
    }
    this.bodies.push(body)
  }

  of<Kind extends EventKind>(kind: Kind): Extract<EventBody, { kind: Kind }>[] {
    return this.bodies.filter((body): body is Extract<EventBody, { kind: Kind }> => body.kind === kind)
  }

  wasLogged = (queueId: string): boolean => this.logged.has(queueId)
  wasFinished = (queueId: string): boolean => {
    const ends = this.bodies.filter((body) => 'transactionId' in body && body.transactionId === queueId)
    return ends.findLast(({ kind }) => kind === 'message.finished' || kind === 'quarantine.released')?.kind === 'message.finished'
  }
  wasDeleted = (queueId: string): boolean => this.of('quarantine.deleted').some((body) => body.transactionId === queueId)
  wasReleaseLogged = (queueId: string, serial: number): boolean =>
    this.of('quarantine.released').some((body) => body.transactionId === queueId && body.serial === serial)
}

export type RouteSetting = Partial<Config['routes'][number]> & { port: number }

export function relayConfig(routes: RouteSetting[], delivery: Partial<Config['delivery']> = {}): SpoolOptions['config'] {
  return {
    routes: routes.map((route) => ({ domain: '*', mx: false, tls: 'off', ...(route.mx === true ? {} : { host: '127.0.0.1' }), ...route })),
    delivery: {
      connectionsPerRoute: 10,
      messagesPerConnection: 1_000,
      firstRetrySeconds: 60,
      lastRetrySeconds: 3_600,
      expireHours: 120,
      ...delivery,
    },
    quarantine: { keepDays: 30 },
    marking: { subject: 'always' },
    smtp: {
      hostname: 'gateway.test',
      listen: [], listenTls: [],
      submission: { listen: [], listenTls: [] },
      greetingDelayMs: 0,
      proxyFrom: [],
      limits: {} as Config['smtp']['limits'],
    },
  }
}

export async function temporaryFolder(): Promise<{ folder: string; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'tollgate-spool-'))
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) }
}

export function openTestSpool(
  folder: string,
  eventLog: MemoryEventLog,
  options: Partial<SpoolOptions> & { routes?: RouteSetting[]; delivery?: Partial<Config['delivery']> } = {},
): Promise<OpenSpool> {
  const { routes = [], delivery = {}, ...rest } = options
  return openSpool({
    folder,
    config: relayConfig(routes, delivery),
    clock: systemClock,
    log: silentLog,
    eventLog,
    wasLogged: eventLog.wasLogged,
    wasFinished: eventLog.wasFinished,
    wasDeleted: eventLog.wasDeleted,
    wasReleaseLogged: eventLog.wasReleaseLogged,
    ...rest,
  })
}

export function newQueueId(): string {
  return transactionIdOf(Date.now(), randomBytes(10))
}

export function envelopeTo(recipients: string[], settings: Partial<Envelope> = {}): Envelope {
  return {
    queueId: newQueueId(),
    sender: 'sender@example.com',
    recipients: recipients.map((address) => ({ address, normalized: address.toLowerCase() })),
    acceptedAtMs: Date.now(),
    is8BitMime: false,
    isSmtpUtf8: false,
    mayNotifySender: false,
    prependedHeaders: '',
    subjectTag: null,
    disposition: 'deliver',
    ...settings,
  }
}

/** What a session does between the last octet and 250. */
export async function acceptMessage(spool: Spool, log: MemoryEventLog, envelope: Envelope, octets: Uint8Array | string): Promise<void> {
  const message = spool.begin(envelope.queueId)
  await message.write(Buffer.from(octets))
  await message.commit(envelope)
  log.logged.add(envelope.queueId)
  message.release()
}

/** Looks again until it is so; the test's own time limit ends a wait that is in vain. */
export async function eventually(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5))
}
