/**
 * A process that follows a folder of segments and kills itself at a named step of a named batch, for tests.
 *
 * Usage  node ingest-child.js URL DATA-FOLDER STEP COUNT: dies at the COUNT-th time that STEP is reached.
 */
import { openDatabase } from '../../services/database/open-database.ts'
import { startIngest } from '../../services/ingest/main.ts'
import { openOperatorLog } from '../../services/kit/operator-log.ts'

const [url, data, fatalStep, count] = process.argv.slice(2) as [string, string, string, string]
let left = Number(count)
await startIngest({
  config: { tenant: 'main', data },
  database: openDatabase(url, { applicationName: 'ingest child' }),
  log: openOperatorLog('ingest'),
  onStep: (step) => {
    if (step === fatalStep && --left === 0) process.kill(process.pid, 'SIGKILL')
  },
})
// Stays until it kills itself; the test ends it should the step never come.
setInterval(() => {}, 1_000)
