/** `tollgate report savings`: what was not sent because it was refused early. */
import { writeTable, writeTableFile } from '../billing/exports/write-table.ts'
import { savingsRange } from '../billing/savings/savings-range.ts'
import { savingsReport } from '../billing/savings/savings-report.ts'
import { savingsTable } from '../billing/savings/savings-table.ts'
import type { SavingsGrouping } from '../contracts/savings.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError } from './outcome.ts'
import { textTable } from './text-table.ts'

export type ReportSavingsOptions = { period: string; by: SavingsGrouping; format: 'table' | 'csv' | 'xlsx' | 'json' | 'ndjson'; output: string | null; isDemo: boolean }

export async function reportSavings(configured: Config, { period, by, format, output, isDemo }: ReportSavingsOptions): Promise<void> {
  await withCommandDatabase(configured, { isDemo }, async ({ database, config }) => {
    const range = await savingsRange(database, config.tenant, { period }).catch(usedWrongly)
    const report = await savingsReport({
      database, tenantId: config.tenant, ...range, by, now: new Date(), maxMessageBytes: config.smtp.limits.messageBytes, costPrice: config.billing.costPrice ?? null,
    }).catch(usedWrongly)
    if (format !== 'table') {
      const table = savingsTable(report, format)
      if (output === null) return void (await writeTable(table, process.stdout))
      const { rows } = await writeTableFile(table, output)
      return void process.stderr.write(`${output}: ${rows} rows, and ${output}.manifest.json beside it\n`)
    }
    if (output !== null) throw new UsageError('A table is for reading: name another format with --output, like csv.')
    const { total, estimate, pending, acceptedLater, tooLarge, receivedAndRefused, ifKnown, money, coverage, calibration } = report
    process.stdout.write(textTable([by, 'groups', 'attempts', 'declared', 'floor octets', 'no size'],
      report.rows.map((row) => [row.label ?? '-', String(row.groupCount), String(row.attemptCount), String(row.declaredCount), row.floorBytes, String(row.undeclaredCount)]), [32, 8, 8, 8, 16, 8]))
    const lines = [
      `Declared floor: ${total.floorBytes} octets of ${total.declaredCount} groups${coverage === null ? '' : ` (${percent(coverage)} of all declared a size)`}`,
      estimate.bytes === null
        ? `Estimate: not enough data for ${estimate.notEnoughDataCount} groups without a size`
        : `Estimate for ${estimate.estimatedCount} groups without a size: ${estimate.bytes} octets, 95 % between ${estimate.fromBytes} and ${estimate.uptoBytes}`,
      ...(calibration === null ? [] : [`Received over declared size of ${calibration.sampleCount} messages: median ${calibration.median}, 5-95 % ${calibration.p05} to ${calibration.p95}`]),
      `Pending: ${pending.groupCount}. Accepted later: ${acceptedLater.groupCount}. Too large: ${tooLarge.groupCount}. Recipients refused of messages that others received: ${report.deliveriesAvoided}`,
      `Refused after their content: ${receivedAndRefused.count} messages, ${receivedAndRefused.bytes} octets: saved nothing`,
      `Mode known would have refused ${ifKnown.messageCount} messages with ${ifKnown.bytes} octets`,
      ...(money === null ? [] : [`At ${money.costPrice} ${money.currency} a unit: floor ${money.floor}${money.estimate === null ? '' : `, estimate ${money.estimate}`}`]),
    ]
    process.stdout.write(lines.map((line) => `${line}.\n`).join(''))
  })
}

function percent(share: string): string {
  return `${(Number(share) * 100).toFixed(1)} %`
}

function usedWrongly(error: unknown): never {
  if (error instanceof RangeError) throw new UsageError(`${error.message}.`)
  throw error
}
