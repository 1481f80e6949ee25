/** `tollgate rules backtest FILE --days N`: what the rules of a file would have changed over stored mail. */
import { runBacktest, type FinishedBacktest } from '../api/backtest/run-backtest.ts'
import type { BacktestResult, BacktestTotals } from '../contracts/backtest.ts'
import { systemClock } from '../kit/clock.ts'
import type { Config } from '../kit/config.ts'
import { compileRuleset } from '../rules/compile-ruleset.ts'
import { withCommandDatabase } from './command-database.ts'
import { progressBar } from './progress-bar.ts'
import { readRules } from './read-rules.ts'
import { textTable } from './text-table.ts'

export type BacktestRulesOptions = { days: number; format: 'table' | 'json'; isDemo: boolean }

const dayMs = 86_400_000

export async function backtestRules(configured: Config, file: string, options: BacktestRulesOptions): Promise<void> {
  const rules = compileRuleset(await readRules(file))
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const uptoMs = systemClock.nowMs()
    const fromMs = uptoMs - options.days * dayMs
    const abort = new AbortController()
    const cancel = (): void => abort.abort()
    process.once('SIGINT', cancel)
    const bar = progressBar(`Replaying ${options.days} days`)
    let finished: FinishedBacktest
    try {
      finished = await runBacktest({
        database,
        tenantId: config.tenant,
        rules,
        fromMs,
        uptoMs,
        signal: abort.signal,
        onProgress: ({ doneCount, totalCount }) => bar.show(doneCount, totalCount),
      })
    } finally {
      bar.end()
      process.removeListener('SIGINT', cancel)
    }
    const { result, watermark } = finished
    if (result === null) {
      process.stderr.write('Cancelled.\n')
      process.exitCode = 130
      return
    }
    const head = {
      from: new Date(fromMs).toISOString(),
      upto: new Date(uptoMs).toISOString(),
      rulesetHash: rules.hash,
      watermark: watermark === null ? null : String(watermark),
    }
    process.stdout.write(
      options.format === 'json' ? `${JSON.stringify({ ...head, ...result })}\n` : resultText(result),
    )
    if (options.format === 'table')
      process.stderr.write(`Rules ${rules.hash.slice(0, 16)}, mail up to batch ${head.watermark ?? 'none'}\n`)
  })
}

function resultText(result: BacktestResult): string {
  const { transactionCount, removedCount, counts, cells, undecidable, rules, curve } = result
  const parts = [
    `${transactionCount} transactions: ${counts.same} as before\n`,
    removedCount === 0 ? '' : `${removedCount} more could not be tried: retention has removed their details\n`,
    section(
      'What changes',
      textTable(
        ['change', 'before', 'after', 'count', 'for example'],
        cells
          .filter(({ difference }) => difference !== 'same')
          .map((cell) => [
            cell.difference,
            cell.before,
            cell.after ?? '?',
            String(cell.transactionCount),
            cell.sampleIds[0] ?? '',
          ]),
        [22, 11, 11, 9, 36],
      ),
      counts.same < transactionCount,
    ),
    section(
      'Not decidable',
      textTable(
        ['because', 'of', 'count'],
        undecidable.map(({ reason, of, transactionCount: count }) => [
          reason === 'ended-before' ? 'it had ended before' : 'nobody looked up',
          of,
          String(count),
        ]),
        [20, 34, 9],
      ),
      undecidable.length > 0,
    ),
    section(
      'Of what is decidable',
      textTable(['', 'before', 'after'], totalsRows(result.before, result.after), [36, 16, 16]),
      true,
    ),
    section(
      'Rules',
      textTable(
        ['rule', 'stage', 'mode', 'hits', 'sole', 'perhaps', 'none'],
        rules.map((rule) => [
          rule.ruleId,
          rule.stage,
          rule.mode,
          String(rule.hitCount),
          String(rule.soleCauseCount),
          String(rule.perhapsSoleCauseCount),
          String(rule.redundantCount),
        ]),
        [34, 8, 7, 9, 9, 9, 9],
      ),
      rules.length > 0,
    ),
    section(
      'Refused by weight, were the threshold',
      textTable(
        ['rejectAt', 'count', 'octets'],
        curve.map((point) => [String(point.rejectAt), String(point.refusedCount), String(point.refusedBytes)]),
        [9, 9, 14],
      ),
      curve.length > 0,
    ),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

function section(title: string, table: string, isShown: boolean): string {
  return isShown ? `${title}\n${table}` : ''
}

function totalsRows(before: BacktestTotals, after: BacktestTotals): string[][] {
  const row = (name: string, of: (totals: BacktestTotals) => number): string[] => [
    name,
    String(of(before)),
    String(of(after)),
  ]
  return [
    row('accepted', (totals) => totals.acceptedCount),
    row('of these marked', (totals) => totals.markedCount),
    row('refused', (totals) => totals.refusedCount),
    row('deferred', (totals) => totals.deferredCount),
    row('octets accepted', (totals) => totals.acceptedBytes),
    row('billed recipients', (totals) => totals.billedRecipientCount),
    row('refused before data', (totals) => totals.refusedBeforeData.transactionCount),
    row('  octets saved, known', (totals) => totals.refusedBeforeData.knownBytes),
    row('  octets saved, declared (a floor)', (totals) => totals.refusedBeforeData.declaredFloorBytes),
    row('  size unknown', (totals) => totals.refusedBeforeData.unknownCount),
    row('  refused for their size', (totals) => totals.refusedBeforeData.sizeLimitCount),
    row('refused after data', (totals) => totals.refusedAfterData.transactionCount),
  ]
}
