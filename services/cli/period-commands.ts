/** `tollgate period …`, `tollgate correction …` and `tollgate report statement`. */
import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { recordAudit } from '../api/access/audit.ts'
import { CorrectionRefusal, enterCorrection, listCorrections } from '../billing/corrections/enter-correction.ts'
import { writeTable, writeTableFile } from '../billing/exports/write-table.ts'
import { CloseRefusal, closePeriod } from '../billing/periods/close-period.ts'
import { periodDetail } from '../billing/periods/period-detail.ts'
import { openPeriods } from '../billing/periods/period-store.ts'
import { listStatements, readStatement } from '../billing/statements/read-statements.ts'
import { statementPage } from '../billing/statements/statement-page.ts'
import { statementTable } from '../billing/statements/statement-table.ts'
import type { CorrectionRequest, Statement } from '../contracts/statement.ts'
import type { Config } from '../kit/config.ts'
import { withCommandDatabase } from './command-database.ts'
import { UsageError, WorldFailure } from './outcome.ts'
import { textTable } from './text-table.ts'

type Common = { isDemo: boolean }
type Format = 'table' | 'json'

const byMe = (): string => `command:${userInfo().username}`

export async function listPeriods(configured: Config, { format, ...options }: Common & { format: Format }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const periods = await openPeriods(database, config.tenant, new Date())
    if (format === 'json') return void process.stdout.write(`${JSON.stringify(periods.map(({ plan: _, ...period }) => period))}\n`)
    if (periods.length === 0) return void process.stdout.write('Nothing is metered yet.\n')
    const rows = periods.map(({ label, state, from, upto, timeZone, currency }) => [label, state, from.toISOString().slice(0, 16), upto.toISOString().slice(0, 16), timeZone, currency])
    process.stdout.write(textTable(['period', 'state', 'from (UTC)', 'upto (UTC)', 'zone', 'currency'], rows, [8, 8, 16, 16, 24, 8]))
  })
}

export async function showPeriod(configured: Config, { label, ...options }: Common & { label: string }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const detail = await periodDetail({ database, tenantId: config.tenant, label, graceHours: config.billing.graceHours, now: new Date() })
    if (detail === null) throw new UsageError(`There is no period ${label}: tollgate period list shows them.`)
    process.stdout.write(`${label} is ${detail.period.state}.\n`)
    for (const { name, text, remedy } of detail.blockers) process.stdout.write(`  ${name}: ${text}. ${remedy}.\n`)
    if (detail.period.state === 'open' && detail.blockers.length === 0) process.stdout.write(`  Nothing is in the way: tollgate period close ${label}\n`)
    for (const { period, entryCount } of detail.late) process.stdout.write(`  ${entryCount} late entries of ${period} will be shown in it.\n`)
    for (const { statementId, clientId, total, currency } of await listStatements(database, config.tenant, { period: label, clientId: null })) {
      process.stdout.write(`  ${statementId}  ${clientId}  ${total} ${currency}\n`)
    }
  })
}

export async function close(configured: Config, { label, accepted, ...options }: Common & { label: string; accepted: string[] }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const asked = { database, tenantId: config.tenant, label, accepted, by: byMe(), graceHours: config.billing.graceHours, now: new Date() }
    const { hash } = await closePeriod(asked).catch((error: unknown) => {
      if (!(error instanceof CloseRefusal)) throw error
      throw new WorldFailure([`${error.message}.`, ...error.blockers.map(({ name, text, remedy, isAcceptable }) => `  ${name}: ${text}. ${remedy}${isAcceptable ? ` (--accept ${name})` : ''}.`)].join('\n'))
    })
    await recordAudit(database, config.tenant, { actor: asked.by, action: 'period.closed', subject: label, detail: { hash, accepted } })
    const statements = await listStatements(database, config.tenant, { period: label, clientId: null })
    process.stdout.write(`${label} is closed with ${statements.length} statements (${hash!.slice(0, 16)}).\n`)
  })
}

export type ReportStatementOptions = Common & { period: string; client: string | null; format: 'csv' | 'xlsx' | 'json' | 'ndjson' | 'html'; output: string | null }

export async function reportStatement(configured: Config, { period, client, format, output, ...options }: ReportStatementOptions): Promise<void> {
  if (format === 'xlsx' && output === null && process.stdout.isTTY) throw new UsageError('A workbook is no text: name a file with --output, or send it on with a pipe.')
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const heads = await listStatements(database, config.tenant, { period, clientId: client })
    if (heads.length === 0) throw new UsageError(`There is no statement of ${client ?? 'anybody'} for ${period}: tollgate period show ${period} says how it stands.`)
    const statements: Statement[] = []
    for (const { statementId } of heads) statements.push((await readStatement(database, config.tenant, statementId, null))!)
    if (format === 'html') {
      if (statements.length > 1) throw new UsageError('A page holds one statement: name a client with --client.')
      const page = statementPage(statements[0]!)
      return void (output === null ? process.stdout.write(page) : writeFileSync(output, page))
    }
    const table = statementTable(statements, format)
    if (output === null) return void (await writeTable(table, process.stdout))
    const { rows } = await writeTableFile(table, output)
    process.stderr.write(`${output}: ${rows} rows, and ${output}.manifest.json beside it\n`)
  })
}

export async function addCorrection(configured: Config, { request, ...options }: Common & { request: CorrectionRequest }): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const { correctionId, entryCount, shownIn } = await enterCorrection(database, config.tenant, { ...request, by: byMe() }, new Date()).catch((error: unknown) => {
      if (error instanceof CorrectionRefusal) throw new UsageError(`${error.message}.`)
      throw error
    })
    if (correctionId !== null) {
      await recordAudit(database, config.tenant, { actor: byMe(), action: 'correction.entered', subject: String(correctionId), detail: { kind: request.kind, why: request.why } })
    }
    const later = Object.entries(shownIn).map(([of, shown]) => ` ${of} is closed: it will be shown in the statements of ${shown}.`).join('')
    process.stdout.write(correctionId === null ? `${entryCount} entries would be corrected.${later} Nothing was changed.\n` : `Correction ${correctionId} corrects ${entryCount} entries.${later}\n`)
  })
}

export async function showCorrections(configured: Config, options: Common): Promise<void> {
  await withCommandDatabase(configured, options, async ({ database, config }) => {
    const rows = (await listCorrections(database, config.tenant)).map(({ correctionId, at, by, kind, entryCount, why }) => [String(correctionId), at!.toISOString().slice(0, 16), by, kind, String(entryCount), why])
    process.stdout.write(rows.length === 0 ? 'Nothing was corrected.\n' : textTable(['no.', 'at (UTC)', 'by', 'kind', 'entries', 'why'], rows, [6, 16, 20, 8, 8, 60]))
  })
}
