/**
 * Opens the spool and starts its relay: recovery first, so that what was acknowledged before goes out again.
 *
 * Fails   throws when the folder cannot be created, listed or read.
 */
import type { Logger } from 'pino'
import type { Clock } from '../../kit/clock.ts'
import type { Config } from '../../kit/config.ts'
import type { Resolver } from '../checks/resolver.ts'
import type { EventLog } from '../log/event-log-contract.ts'
import { Quarantine } from '../quarantine/quarantine.ts'
import type { Relay } from '../relay/relay-contract.ts'
import type { RelayLimits } from '../relay/relay-limits.ts'
import { DeliveryRelay } from '../relay/relay.ts'
import type { Timers } from '../relay/timers.ts'
import { nodeDisk, type Disk } from './disk.ts'
import type { journalLimits } from './journal.ts'
import { MessageStore, type StoreLimits } from './message-store.ts'
import { recoverSpool, type EventLogMemory } from './recover-spool.ts'
import type { Spool } from './spool-contract.ts'

export type SpoolOptions = EventLogMemory & {
  folder: string
  config: Pick<Config, 'routes' | 'delivery' | 'smtp' | 'quarantine' | 'marking'>
  clock: Clock
  log: Logger
  eventLog: EventLog
  disk?: Disk
  /** For routes that look up MX. */
  resolver?: Resolver
  timers?: Timers
  random?: () => number
  limits?: { relay?: Partial<RelayLimits>; store?: Partial<StoreLimits>; journal?: Partial<typeof journalLimits> }
}

/** `stop` ends deliveries under way and leaves everything else in the spool. */
export type OpenSpool = { spool: Spool; relay: Relay; quarantine: Quarantine; stop(): Promise<void> }

export async function openSpool(options: SpoolOptions): Promise<OpenSpool> {
  const { folder, config, clock, log, eventLog, disk = nodeDisk, limits = {} } = options
  const recovered = await recoverSpool(folder, disk, options, log)
  const store = new MessageStore({
    folder,
    log,
    disk,
    firstSegment: recovered.nextSegment,
    limits: limits.store ?? {},
    journalLimits: limits.journal ?? {},
  })
  const relay = new DeliveryRelay({
    config,
    clock,
    log,
    eventLog,
    store,
    limits: limits.relay ?? {},
    ...(options.resolver === undefined ? {} : { resolver: options.resolver }),
    ...(options.timers === undefined ? {} : { timers: options.timers }),
    ...(options.random === undefined ? {} : { random: options.random }),
  })
  store.onReleased = (message) => relay.take(message)
  store.adopt(recovered)
  for (const message of recovered.messages) relay.take(message)
  const quarantine = new Quarantine({
    relay,
    store,
    clock,
    log,
    keepDays: config.quarantine.keepDays,
    ...(options.timers === undefined ? {} : { timers: options.timers }),
  })
  let stopping: Promise<void> | null = null
  return {
    spool: store,
    relay,
    quarantine,
    stop() {
      quarantine.stop()
      return (stopping ??= relay.stop().then(() => store.close()))
    },
  }
}
