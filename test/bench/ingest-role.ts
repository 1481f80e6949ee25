/**
 * The ingest service as a process of its own, as it runs in reality: so its memory can be measured, and whoever watches
 * it is not held up by its work.
 *
 *     node ingest-role.js file URL FILE      takes in one file, then prints what it took and its largest memory
 *     node ingest-role.js follow URL FOLDER  follows FOLDER/events until SIGTERM; prints `ready` when it has begun
 */
import { once } from 'node:events'
import { openDatabase } from '../../services/database/open-database.ts'
import { ingestFile } from '../../services/ingest/ingest-file.ts'
import { startIngest } from '../../services/ingest/main.ts'
import { openOperatorLog } from '../../services/kit/operator-log.ts'

export type IngestedFile = { lineCount: number; seconds: number; maxRssBytes: number }

const [mode, url, target] = process.argv.slice(2) as [string, string, string]
const database = openDatabase(url, { applicationName: 'bench' })
if (mode === 'file') {
  const startMs = performance.now()
  const { lineCount } = await ingestFile({ database, tenantId: 'main', path: target })
  const seconds = (performance.now() - startMs) / 1_000
  const told: IngestedFile = { lineCount, seconds, maxRssBytes: process.resourceUsage().maxRSS * 1_024 }
  process.stdout.write(JSON.stringify(told))
} else {
  const service = await startIngest({ config: { tenant: 'main', data: target }, database, log: openOperatorLog('ingest', { level: 'warn' }) })
  process.stdout.write('ready\n')
  await once(process, 'SIGTERM')
  await service.stop()
}
await database.close()
