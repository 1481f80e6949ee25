/**
 * Exports that the worker writes to a folder by itself (`billing.exports`).
 *
 * Owns    the files `<name>-<month or day>.<format>` of each schedule. Their manifests are the state: what has one is
 *         done, and the next run comes after the newest. A manifest is written last and whole, so a crash leaves a
 *         run that is done or one that is made again, with the same octets.
 * Leaves  which runs are due to due-runs.ts; any number of workers may run: a lock in the database lets one write.
 * Limits  a run waits up to a day for mail that is not metered yet; then it is written, and its manifest tells it.
 * Fails   a folder or report that fails is logged with the remedy and tried again at the next look; the other
 *         schedules go on. Postgres away is thrown.
 */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import type { Database } from '../../database/open-database.ts'
import { isDatabaseUnavailable } from '../../database/open-database.ts'
import type { Config } from '../../kit/config.ts'
import type { Logger } from '../../kit/operator-log.ts'
import { makeFolder } from '../../kit/writable-folder.ts'
import { billingPolicies } from '../billing-policy.ts'
import { billingPeriod, billingPeriodAt } from '../billing-period.ts'
import { inTransaction } from '../in-transaction.ts'
import { usageReport } from '../usage-report.ts'
import { writeUsageFile } from '../write-usage.ts'
import { dueRuns, type ExportRun } from './due-runs.ts'

export type ExportSchedule = Config['billing']['exports'][number]

const longestWaitMs = 24 * 3_600_000

/** Writes what is due. Returns the files, in the order in which they were written. */
export async function writeDueExports(
  options: { config: Config; database: Database; log: Logger },
  now: Date = new Date(),
): Promise<string[]> {
  const { config, database, log } = options
  const files: string[] = []
  for (const schedule of config.billing.exports) {
    try {
      files.push(...(await writeSchedule(database, config.tenant, schedule, now)))
    } catch (error) {
      if (isDatabaseUnavailable(error)) throw error
      log.error(
        { err: error },
        `billing.exports: "${schedule.name}" could not be written to ${schedule.folder}, and is tried again in a ` +
          'minute. See that the folder exists, that Tollgate may write to it, and that its disk is not full',
      )
    }
  }
  for (const file of files) log.info({ file }, 'wrote a scheduled export')
  return files
}

async function writeSchedule(
  database: Database,
  tenantId: string,
  schedule: ExportSchedule,
  now: Date,
): Promise<string[]> {
  const policies = await billingPolicies(database, tenantId)
  const periods = {
    periodOf: (label: string) => billingPeriod(policies, label),
    periodAt: (time: Date) => billingPeriodAt(policies, time),
  }
  const [hours, minutes] = schedule.at.split(':').map(Number) as [number, number]
  const afterMidnightMs = (hours * 60 + minutes) * 60_000
  return await inTransaction(database, async (transaction) => {
    const lock = await transaction.query<{ locked: boolean }>(
      `select pg_try_advisory_xact_lock(hashtextextended('tollgate export ' || $1::text || ' ' || $2::text, 0)) as locked`,
      [tenantId, schedule.name],
    )
    if (lock.rows[0]?.locked !== true) return []
    makeFolder(schedule.folder)
    const files: string[] = []
    for (const run of dueRuns(schedule.every, newestDone(schedule), now, afterMidnightMs, periods)) {
      if (!(await writeRun(database, tenantId, schedule, run, now))) break
      files.push(fileOf(schedule, run.key))
    }
    return files
  })
}

/** `false`: it waits for mail that is not metered yet. */
async function writeRun(
  database: Database,
  tenantId: string,
  schedule: ExportSchedule,
  run: ExportRun,
  now: Date,
): Promise<boolean> {
  const { by, mode, client, compare, format, profile, locale } = schedule
  const report = await usageReport({ database, tenantId, period: run.period, by, mode, clientId: client, compare })
  if (report.unmeteredBatchCount > 0 && now.getTime() < run.dueAt.getTime() + longestWaitMs) {
    await report.close()
    return false
  }
  const shape = profile === undefined ? undefined : { name: profile, locale }
  await writeUsageFile(report, format, fileOf(schedule, run.key), shape)
  return true
}

const endOf = ({ format }: ExportSchedule): string => (format === 'focus' ? '-focus.csv' : `.${format}`)
const fileOf = (schedule: ExportSchedule, key: string): string =>
  path.join(schedule.folder, `${schedule.name}-${key}${endOf(schedule)}`)

function newestDone(schedule: ExportSchedule): string | null {
  const key = schedule.every === 'month' ? /^\d{4}-\d\d$/ : /^\d{4}-\d\d-\d\d$/
  const [start, end] = [`${schedule.name}-`, `${endOf(schedule)}.manifest.json`]
  const keys = readdirSync(schedule.folder)
    .filter((name) => name.startsWith(start) && name.endsWith(end))
    .map((name) => name.slice(start.length, -end.length))
    .filter((text) => key.test(text))
  return keys.sort().at(-1) ?? null
}
