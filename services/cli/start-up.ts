/** `tollgate up [--demo]`: settles whose configuration holds, then grows the tree. */
import { demoConfig, demoFolder } from '../demo/demo-config.ts'
import type { Config } from '../kit/config.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { RoleFailed } from '../kit/supervisor.ts'
import { demoDatabase, makeDemoDatabase } from './demo-database.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { up } from './up.ts'

export async function startUp(configured: Config, isDemo: boolean): Promise<void> {
  if (isDemo) await makeDemoDatabase(configured.database)
  const config = isDemo ? demoConfig(configured, demoFolder(process.env), demoDatabase(configured.database)) : configured
  const log = openOperatorLog('tollgate')
  try {
    await up({ config, isDemo, log, print: (text) => process.stdout.write(text) })
  } catch (error) {
    if (!(error instanceof RoleFailed)) throw error
    if (error.exitCode === 2) throw new UsageError(error.message)
    throw new WorldFailure(error.message, { cause: error })
  }
}
