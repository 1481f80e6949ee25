/** `tollgate up [--demo]`: settles whose configuration holds, then grows the tree. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeFirstSnapshot } from '../api/policy/first-rules.ts'
import { demoConfig, demoFolder, demoMark, demoRules } from '../demo/demo-config.ts'
import type { Config } from '../kit/config.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { RoleFailed } from '../kit/supervisor.ts'
import { demoDatabase, makeDemoDatabase } from './demo-database.ts'
import { makeFolder } from '../kit/writable-folder.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { up } from './up.ts'

export async function startUp(configured: Config, isDemo: boolean): Promise<void> {
  if (isDemo) {
    takeDemoFolder(demoFolder(process.env))
    await makeDemoDatabase(configured.database)
  }
  const config = isDemo ? demoConfig(configured, demoFolder(process.env), demoDatabase(configured.database)) : configured
  if (isDemo) await writeFirstSnapshot(config.data, config.tenant, demoRules())
  const log = openOperatorLog('tollgate')
  try {
    await up({ config, isDemo, log, print: (text) => process.stdout.write(text) })
  } catch (error) {
    if (!(error instanceof RoleFailed)) throw error
    if (error.exitCode === 2) throw new UsageError(error.message)
    throw new WorldFailure(error.message, { cause: error })
  }
}

function takeDemoFolder(folder: string): void {
  makeFolder(folder)
  const mark = join(folder, demoMark)
  if (existsSync(mark)) return
  if (readdirSync(folder).length > 0) {
    throw new UsageError(`${folder} holds something else than a demo, so the demo does not use it: set TOLLGATE_DEMO_DATA to another folder.`)
  }
  writeFileSync(mark, 'This folder belongs to the demo: `tollgate demo clear` removes it.\n')
}
