/**
 * Starts the api on the configured address.
 *
 * Fails  an address that cannot be listened on is one sentence naming the setting; a database that is away is not a
 *        failure: requests answer 503 until it is back.
 */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import type { Database } from '../database/open-database.ts'
import { systemClock } from '../kit/clock.ts'
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import { packageRoot } from '../kit/package-root.ts'
import type { RunningService } from '../kit/running-service.ts'
import { parseSocketAddress, socketAddressText } from '../kit/socket-address.ts'
import { buildApp } from './app.ts'

export type ApiOptions = { config: Config; database: Database; log: Logger; isDemo: boolean }

export async function startApi(options: ApiOptions): Promise<RunningService & { url: string }> {
  const { config, database, log, isDemo } = options
  const address = parseSocketAddress(config.http.listen)
  if (address === null)
    throw new Error(`http.listen: "${config.http.listen}" is no address: write one like 127.0.0.1:8080`)
  const context = { config, database, tenantId: config.tenant, isDemo, version: productVersion(), clock: systemClock }
  const { server, snapshots } = await buildApp(context, { log, webFolder: path.join(packageRoot, 'dist', 'web') })
  try {
    await server.listen({ host: address.host, port: address.port })
  } catch (error) {
    await server.close()
    throw listenFailure(error, config.http.listen)
  }
  snapshots.start()
  const host = isAnyAddress(address.host) ? '127.0.0.1' : address.host
  const url = `http://${socketAddressText({ host, port: boundPort(server.server.address()) ?? address.port })}`
  log.info({ url }, 'The web interface is ready')
  let stopped: Promise<void> | null = null
  return { url, stop: () => (stopped ??= server.close()) }
}

function listenFailure(error: unknown, setting: string): Error {
  const code = (error as { code?: unknown }).code
  const remedy = 'set http.listen (or TOLLGATE_HTTP_LISTEN) to another one'
  if (code === 'EADDRINUSE')
    return new Error(`http.listen: ${setting} is in use by another program: stop it, or ${remedy}`, { cause: error })
  if (code === 'EACCES')
    return new Error(
      `http.listen: this user may not listen on ${setting}: ports below 1024 need more rights; ${remedy}`,
      { cause: error },
    )
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return new Error(`http.listen: ${setting} is no address of this machine: ${remedy}`, { cause: error })
  return new Error(`http.listen: cannot listen on ${setting}: ${(error as Error).message}`, { cause: error })
}

function boundPort(bound: string | AddressInfo | null): number | null {
  return bound === null || typeof bound === 'string' ? null : bound.port
}

function isAnyAddress(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

function productVersion(): string {
  const { version } = JSON.parse(readFileSync(path.join(packageRoot, 'package.json'), 'utf8')) as { version: string }
  return version
}
