/**
 * The gateway as a service: opens log, spool, relay, policy and listeners in this order, and closes them in reverse.
 *
 * Why    nothing listens before what was acknowledged earlier is safe and can be delivered; nothing is lost at a stop.
 * Fails  throws what keeps it from running: a folder that cannot be written, a rule set with faults, an address
 *        that cannot be listened on. What was opened before is closed again.
 */
import { hostname } from 'node:os'
import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from 'pino'
import type { GatewayFigures } from '../contracts/control.ts'
import { systemClock } from '../kit/clock.ts'
import type { Config } from '../kit/config.ts'
import { packageRoot } from '../kit/package-root.ts'
import { gatewaySocketPath } from '../kit/socket-request.ts'
import type { RunningService } from '../kit/running-service.ts'
import { DnsResolver } from './checks/dns-resolver.ts'
import { openChecks } from './checks/open-checks.ts'
import { buildControlApp } from './control/control-app.ts'
import { openControlSocket, refuseSecondGateway } from './control/control-socket.ts'
import { limitsOf } from './limits.ts'
import { listenersOf, SmtpListeners } from './listener.ts'
import { openEventLog } from './log/event-log-writer.ts'
import { readRecentEvents } from './log/recent-events.ts'
import { openPlugins } from './plugins/open-plugins.ts'
import { PolicySource } from './policy/policy-source.ts'
import { createIds } from './session/ids.ts'
import { SubmissionUsers } from './submission/submission-users.ts'
import { openSpool } from './spool/open-spool.ts'
import { ServerTls } from './tls/server-tls.ts'

const aliveMs = 60_000
/** Certificates are renewed every few weeks by programs that tell nobody. */
const certificateLookMs = 60_000
const usersLookMs = 2_000

export type RunningGateway = RunningService & {
  /** What it listens on, with the ports that the system chose. */
  addresses: string[]
  /** Reads rules, directory, certificate and users again, changed or not. */
  reload(): Promise<void>
}

export async function startGateway({ config, log }: { config: Config; log: Logger }): Promise<RunningGateway> {
  const closers: (() => Promise<void>)[] = []
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close()
  }
  try {
    return await open(config, log, closers, closeAll)
  } catch (error) {
    await closeAll().catch((closing: unknown) => log.error(closing, 'Something could not be closed'))
    throw error
  }
}

async function open(
  config: Config,
  log: Logger,
  closers: (() => Promise<void>)[],
  closeAll: () => Promise<void>,
): Promise<RunningGateway> {
  const clock = systemClock
  await refuseSecondGateway(gatewaySocketPath(config.data))
  let stopReason = 'the start failed'
  const eventLog = await openEventLog({
    folder: path.join(config.data, 'events'),
    tenantId: config.tenant,
    node: config.node,
    version: version(),
    clock,
    onFailure: (error) =>
      log.error(error, 'Events cannot be written: mail is deferred until the disk takes them again'),
  })
  closers.push(() => eventLog.close(stopReason))

  const recent = await readRecentEvents(eventLog.olderSegments, clock.nowMs())
  const resolver = config.routes.some(({ mx }) => mx) ? new DnsResolver(config.checks.dns, clock) : null
  closers.push(async () => resolver?.close())
  const { spool, relay, quarantine, stop } = await openSpool({
    ...(resolver === null ? {} : { resolver }),
    folder: path.join(config.data, 'spool'),
    config,
    clock,
    log,
    eventLog,
    wasLogged: recent.wasLogged,
    wasFinished: recent.wasFinished,
    wasDeleted: recent.wasDeleted,
    wasReleaseLogged: recent.wasReleaseLogged,
  })
  closers.push(stop)

  const policy = new PolicySource({ config, eventLog, log })
  closers.push(() => policy.close())
  await policy.open()

  const gatewayName = config.smtp.hostname ?? hostname()
  const { checks, close: closeChecks } = await openChecks({ config, hostname: gatewayName, clock, log })
  closers.push(closeChecks)

  const { plugins, close: closePlugins } = await openPlugins(config, gatewayName, { clock, log })
  closers.push(closePlugins)

  const tls = config.smtp.tls === undefined ? null : new ServerTls(config.smtp.tls, log)
  await tls?.open(clock.nowMs())
  const renewal = setInterval(() => void tls?.reload(clock.nowMs()), certificateLookMs)
  closers.push(async () => clearInterval(renewal))

  const users = new SubmissionUsers(config.smtp.users ?? null, {
    nowMs: () => clock.nowMs(),
    onLost: (sentence) => log.error(sentence),
  })
  await users.open()
  const usersLook = setInterval(() => void users.refresh(), usersLookMs)
  closers.push(async () => clearInterval(usersLook))

  const listeners = new SmtpListeners(
    {
      clock,
      eventLog,
      spool,
      policy: () => policy.current,
      checks,
      plugins,
      limits: limitsOf(config),
      hostname: gatewayName,
      ids: createIds(),
      duplicates: recent.duplicates,
      users,
      onFault: (error, what) => log.error(error, what),
    },
    tls,
  )
  closers.push(() => listeners.stop())
  await listeners.listen(listenersOf(config.smtp))

  const alive = setInterval(() => {
    if (clock.nowMs() - eventLog.lastLineAtMs < aliveMs) return
    // A disk that fails here fails everywhere; the writer has said so.
    eventLog.append({ kind: 'gateway.alive', queuedCount: relay.counts().queuedCount }).catch(() => {})
  }, aliveMs / 4)
  closers.push(async () => clearInterval(alive))

  const reload = async (): Promise<void> => {
    await policy.reload(true)
    await tls?.reload(clock.nowMs())
    await users.refresh(true)
  }
  const onHangUp = (): void => void reload()
  process.on('SIGHUP', onHangUp)
  closers.push(async () => void process.off('SIGHUP', onHangUp))

  const startedAt = new Date(clock.nowMs()).toISOString()
  const figures = async (): Promise<GatewayFigures> => {
    const { bavail, blocks, bsize } = await statfs(config.data)
    return {
      node: config.node,
      tenantId: config.tenant,
      version: version(),
      startedAt,
      pid: process.pid,
      sessionCount: listeners.sessionCount,
      queue: relay.counts(),
      routes: relay.routes(),
      disk: { freeBytes: bavail * bsize, totalBytes: blocks * bsize },
    }
  }
  const onFault = (error: Error): void => log.error(error, 'A request to the control interface failed')
  const control = await buildControlApp({ relay, quarantine, figures, reload, onFault })
  closers.push(await openControlSocket(gatewaySocketPath(config.data), control, log))

  log.info({ addresses: listeners.addresses, mode: config.recipients.mode }, 'The gateway listens')
  let stopping: Promise<void> | null = null
  return {
    addresses: listeners.addresses,
    reload,
    stop() {
      stopReason = 'stopped in an orderly way'
      return (stopping ??= closeAll())
    },
  }
}

function version(): string {
  const text = readFileSync(path.join(packageRoot, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
