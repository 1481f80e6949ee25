/** `tollgate demo clear`: drops the demo's data folder and its database, never another. */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { demoConfig, demoFolder, demoMark } from '../demo/demo-config.ts'
import type { Config } from '../kit/config.ts'
import { runningInstance } from '../kit/instance-file.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { startDatabaseServer } from './database-server.ts'
import { dropDemoDatabase } from './demo-database.ts'
import { UsageError, WorldFailure } from './outcome.ts'

export async function clearDemo(config: Config): Promise<void> {
  const folder = demoFolder(process.env)
  const instance = runningInstance(folder)
  if (instance !== null) {
    throw new WorldFailure(`The demo runs (process ${instance.pid}): stop it with Ctrl-C or \`kill ${instance.pid}\`, then clear it.`)
  }
  // TOLLGATE_DEMO_DATA may name anything; what is removed must be ours.
  if (existsSync(folder) && !existsSync(join(folder, demoMark))) {
    throw new UsageError(`${folder} is no data folder of the demo, so it is left alone; TOLLGATE_DEMO_DATA names the right one.`)
  }
  await stopLeftServer(config, folder)
  await dropDemoDatabase(config.database)
  const isThere = existsSync(folder)
  rmSync(folder, { recursive: true, force: true })
  process.stdout.write(isThere ? `Removed ${folder}.\n` : 'There was no demo to remove.\n')
}

/** An embedded server outlives a supervisor that was killed; it must not have its files taken away while it runs. */
async function stopLeftServer(config: Config, folder: string): Promise<void> {
  if (!existsSync(join(folder, 'postgres', 'cluster', 'postmaster.pid'))) return
  const log = openOperatorLog('database', { level: 'warn' })
  const server = await startDatabaseServer(demoConfig(config, folder, 'embedded'), log)
  await server.stop()
}
