/** `tollgate report usage`: to standard output, or to a file that is whole or not there. */
import { usageReport, type UsageGrouping } from '../billing/usage-report.ts'
import { writeUsage, writeUsageFile, type UsageFormat } from '../billing/write-usage.ts'
import type { MeteringMode } from '../contracts/vocabulary.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'

export type ReportUsageOptions = {
  period: string
  by: UsageGrouping
  mode?: MeteringMode
  client?: string
  format: UsageFormat
  output?: string
  isDemo: boolean
}

export async function reportUsage(configured: Config, options: ReportUsageOptions): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const { period, by, mode, format, output, client } = options
    const report = await usageReport({ database, tenantId: config.tenant, period, by, mode, clientId: client }).catch((error: unknown) => {
      if (error instanceof RangeError) throw new UsageError(`${error.message}.`)
      throw error
    })
    const waiting = report.unmeteredBatchCount
    if (output === undefined) await writeUsage(report, format, process.stdout)
    else {
      const manifest = await writeUsageFile(report, format, output)
      process.stderr.write(`${output}: ${manifest.rows} rows, and ${output}.manifest.json beside it\n`)
    }
    if (waiting > 0) process.stderr.write(`Note: ${waiting} batches of mail are not metered yet and not in the report.\n`)
  })
}
