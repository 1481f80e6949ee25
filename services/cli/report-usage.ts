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
  profile?: 'excel'
  locale: string
  compare?: 'previous'
  isDemo: boolean
}

export async function reportUsage(configured: Config, options: ReportUsageOptions): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const { period, by, mode, format, output, client, compare } = options
    const profile = options.profile === undefined ? undefined : { name: options.profile, locale: options.locale }
    if (format === 'xlsx' && output === undefined && process.stdout.isTTY) {
      throw new UsageError('A workbook is no text: name a file with --output, or send it on with a pipe.')
    }
    const report = await usageReport({ database, tenantId: config.tenant, period, by, mode, clientId: client, compare }).catch(usedWrongly)
    const waiting = report.unmeteredBatchCount
    if (output === undefined) await writeUsage(report, format, process.stdout, profile).catch(usedWrongly)
    else {
      const manifest = await writeUsageFile(report, format, output, profile).catch(usedWrongly)
      process.stderr.write(`${output}: ${manifest.rows} rows, and ${output}.manifest.json beside it\n`)
    }
    if (waiting > 0) process.stderr.write(`Note: ${waiting} batches of mail are not metered yet and not in the report.\n`)
  })
}

/** What cannot be asked for is a RangeError with the remedy in it. */
function usedWrongly(error: unknown): never {
  if (error instanceof RangeError) throw new UsageError(`${error.message}.`)
  throw error
}
