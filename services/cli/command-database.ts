/**
 * The database of a command: that of the running instance, which the data folder tells, else the configured one.
 *
 * An embedded database that does not run is started for the command, and stopped after it.
 */
import { existsSync } from 'node:fs'
import { openDatabase, type Database } from '../database/open-database.ts'
import { demoConfig, demoFolder } from '../demo/demo-config.ts'
import type { Config } from '../kit/config.ts'
import { claimDataFolder, removeInstance, runningInstance, startTicksOf } from '../kit/instance-file.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { demoDatabase } from './demo-database.ts'
import { hasEmbeddedDatabase, startDatabaseServer } from './database-server.ts'
import { UsageError, WorldFailure } from './outcome.ts'

export type CommandDatabase = { database: Database; config: Config }

/** The work gets the configuration of what it works on: its tenant may be the demo's. */
export async function withCommandDatabase<Result>(
  config: Config,
  options: { isDemo: boolean },
  work: (opened: CommandDatabase) => Promise<Result>,
): Promise<Result> {
  const wanted = wantedConfig(config, options.isDemo)
  const instance = runningInstance(wanted.data)
  if (instance !== null && instance.databaseUrl !== 'embedded') {
    return await withDatabase({ ...wanted, database: instance.databaseUrl, tenant: instance.tenant }, work)
  }
  if (wanted.database !== 'embedded') return await withDatabase(wanted, work)
  if (instance !== null) throw new WorldFailure(`Tollgate is starting on ${wanted.data}: try again in a moment.`)
  if (!hasEmbeddedDatabase(wanted)) {
    const setting = wanted.data === demoFolder(process.env) ? 'TOLLGATE_DEMO_DATA' : 'data (or TOLLGATE_DATA)'
    throw new UsageError(`There is no database in ${wanted.data} yet: start Tollgate there first, or name another folder with ${setting}.`)
  }
  return await withOwnServer(wanted, work)
}

/** `--demo`, or nothing is set up here but the demo: then that is what the command means. */
export function wantedConfig(config: Config, isDemo: boolean): Config {
  const folder = demoFolder(process.env)
  const isOnlyDemo = config.database === 'embedded' && !existsSync(config.data) && runningInstance(folder) !== null
  if (!isDemo && !isOnlyDemo) return config
  if (!isDemo) process.stderr.write(`Using the demo, which runs on ${folder}.\n`)
  return demoConfig(config, folder, demoDatabase(config.database))
}

async function withDatabase<Result>(config: Config, work: (opened: CommandDatabase) => Promise<Result>): Promise<Result> {
  const database = openDatabase(config.database, { applicationName: 'tollgate command' })
  try {
    return await work({ database, config })
  } finally {
    await database.close()
  }
}

/** Takes the folder for the time, so that no start finds the database going away under it. */
async function withOwnServer<Result>(config: Config, work: (opened: CommandDatabase) => Promise<Result>): Promise<Result> {
  const other = claimDataFolder(config.data, {
    pid: process.pid,
    processStartTicks: startTicksOf(process.pid),
    startedAt: new Date().toISOString(),
    isDemo: false,
    tenant: config.tenant,
    databaseUrl: 'embedded',
    httpUrl: null,
    smtpAddresses: [],
    roles: {},
  })
  if (other !== null) throw new WorldFailure(`Process ${other.pid} uses ${config.data}: try again when it has ended.`)
  try {
    const server = await startDatabaseServer(config, openOperatorLog('database', { level: 'warn' }))
    try {
      return await withDatabase({ ...config, database: server.url() }, work)
    } finally {
      await server.stop()
    }
  } finally {
    removeInstance(config.data)
  }
}
