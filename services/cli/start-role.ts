/** Which service each role is. The services are loaded by need, so that each process holds only its own. */
import type { Config } from '../kit/config.ts'
import type { Logger } from '../kit/operator-log.ts'
import { ensureWritableFolder } from '../kit/writable-folder.ts'
import type { RoleSettings, StartedRole } from './run-role.ts'

export const roleNames = ['gateway', 'ingest', 'worker', 'api', 'demo'] as const
export type RoleName = (typeof roleNames)[number]

export async function startRole(role: RoleName, settings: RoleSettings, log: Logger): Promise<StartedRole> {
  const { config, isDemo } = settings
  if (role === 'gateway') {
    ensureWritableFolder(config.data)
    const { startGateway } = await import('../gateway/main.ts')
    const service = await startGateway({ config, log })
    return { details: { smtpAddresses: service.addresses }, stop: () => service.stop() }
  }
  if (role === 'demo') {
    const { startDemo } = await import('../demo/main.ts')
    return await startDemo({ config, log, sinkPort: settings.sinkPort })
  }
  return await startWithDatabase(role, config, isDemo, log)
}

async function startWithDatabase(role: 'ingest' | 'worker' | 'api', config: Config, isDemo: boolean, log: Logger): Promise<StartedRole> {
  const { openDatabase } = await import('../database/open-database.ts')
  // A search that nobody waits for any more ends; what runs in the background may take its time.
  const statementTimeoutMs = role === 'api' ? 120_000 : 0
  const database = openDatabase(config.database, { applicationName: `tollgate ${role}`, statementTimeoutMs })
  try {
    // Unreachable at the start is told at once; later the services wait for its return by themselves.
    await database.pool.query('select 1')
    const service = await startService(role, { config, database, log, isDemo })
    return {
      details: service.details,
      stop: async () => {
        await service.stop()
        await database.close()
      },
    }
  } catch (error) {
    await database.close()
    throw error
  }
}

type DatabaseRole = {
  config: Config
  database: import('../database/open-database.ts').Database
  log: Logger
  isDemo: boolean
}

async function startService(role: 'ingest' | 'worker' | 'api', options: DatabaseRole): Promise<StartedRole> {
  if (role === 'ingest') {
    const { startIngest } = await import('../ingest/main.ts')
    const service = await startIngest(options)
    return { details: {}, stop: () => service.stop() }
  }
  if (role === 'worker') return await startWorker(options)
  const { startApi } = await import('../api/main.ts')
  const service = await startApi(options)
  return { details: { httpUrl: service.url }, stop: () => service.stop() }
}

/** Metering, rollups, retention, and the clients that are metered for. */
async function startWorker(options: DatabaseRole): Promise<StartedRole> {
  const { config, database, isDemo } = options
  const { ensureTenant } = await import('../database/ensure-tenant.ts')
  const { ensureBillingPolicy } = await import('../billing/billing-policy.ts')
  const { startBilling } = await import('../billing/main.ts')
  const { startRollup } = await import('../rollup/main.ts')
  const { startRetention } = await import('../database/retention/start-retention.ts')
  const { followDirectory } = await import('./follow-directory.ts')
  // The directory is read in the form that the policy says, so that one comes first.
  await ensureTenant(database, config.tenant, { isDemo })
  await ensureBillingPolicy(database, config.tenant, config)
  const { giveDemoTariffs } = await import('./demo-tariffs.ts')
  const tariffs = isDemo ? [giveDemoTariffs(database, config.tenant, options.log)] : []
  const services = [followDirectory(options), ...tariffs, await startBilling(options), await startRollup(options), startRetention(options)]
  return {
    details: {},
    stop: async () => {
      for (const service of services) await service.stop()
    },
  }
}
