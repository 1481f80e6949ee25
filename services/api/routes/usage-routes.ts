/** The usage report as JSON, CSV, XLSX, NDJSON or FOCUS: rows flow from the database to the network, never all in memory. */
import { PassThrough, Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { usagePeriods } from '../../billing/usage-periods.ts'
import { usageReport, type UsageReport as OpenReport } from '../../billing/usage-report.ts'
import { decimalPointOf, refuseFocus, writeUsage, type ExcelProfile } from '../../billing/write-usage.ts'
import { ApiError, UsagePeriods, UsageQuery, UsageReport, type Completeness } from '../../contracts/api.ts'
import type { ExportFormat } from '../../contracts/export.ts'
import { calendarMonth } from '../../contracts/period.ts'
import { logCompleteness } from '../../database/log-completeness.ts'
import { recordAudit } from '../access/audit.ts'
import type { LoginSession } from '../access/login-session.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { tenantSettings } from '../tenant-settings.ts'

/** Who sees what is billed; a client sees its own. */
const billingRoles = ['admin', 'accountant', 'viewer', 'client'] as const
const contentTypes = {
  csv: 'text/csv; charset=utf-8; header=present',
  focus: 'text/csv; charset=utf-8; header=present',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  ndjson: 'application/x-ndjson; charset=utf-8',
} as const

export function addUsageRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context

  server.get(
    '/usage',
    {
      config: { roles: billingRoles },
      schema: {
        summary: 'What a month adds up to; all formats but json are downloads',
        querystring: UsageQuery,
        response: { 200: UsageReport, 400: ApiError },
      },
    },
    async (request, reply) => {
      const login = loginOfRequest(request)
      const { period, by = 'client', mode, format = 'json', compare } = request.query
      refuseBadPeriod(period)
      const profile = profileOf(request.query)
      const clientId = usageClient(login, request.query.client)
      const completeness = await logCompleteness(database, tenantId)
      const report = await openReport(context, { period, by, mode, clientId, compare })
      try {
        if (format === 'json')
          return await sendStream(
            reply,
            Readable.from(reportJson(report, completeness)),
            'application/json; charset=utf-8',
            report,
          )
        if (format === 'focus') askable(() => refuseFocus(report))
        await recordAudit(database, tenantId, {
          actor: login.name,
          action: 'usage.export',
          subject: period,
          detail: { by, format, client: clientId ?? null },
        })
        reply.header(
          'content-disposition',
          `attachment; filename="usage-${period}-by-${by}-${report.mode}${fileEnd(format, compare)}"`,
        )
        const output = new PassThrough()
        // Ends the answer without its last chunk: the reader sees that it is cut.
        writeUsage(report, format, output, profile).then(
          () => output.end(),
          (error: Error) => output.destroy(error),
        )
        return await sendStream(reply, output, contentTypes[format], report)
      } catch (error) {
        await report.close()
        throw error
      }
    },
  )

  server.get(
    '/usage/periods',
    {
      config: { roles: billingRoles },
      schema: { summary: 'The months that hold entries', response: { 200: UsagePeriods } },
    },
    async () => {
      const settings = await tenantSettings(context)
      return settings.isStored ? await usagePeriods(database, tenantId) : { labels: [], timeZone: settings.timeZone }
    },
  )
}

async function sendStream(
  reply: FastifyReply,
  stream: Readable,
  contentType: string,
  report: OpenReport,
): Promise<FastifyReply> {
  // Also when the reader goes away: the report holds a connection until then.
  stream.once('close', () => void report.close())
  return await reply.type(contentType).send(stream)
}

function refuseBadPeriod(label: string): void {
  try {
    calendarMonth(label, 'UTC')
  } catch (error) {
    if (error instanceof RangeError) throw new ApiFault('bad-period', error.message)
    throw error
  }
}

function usageClient(login: LoginSession, asked: string | undefined): string | undefined {
  if (login.role !== 'client') return asked
  if (asked !== undefined && asked !== login.clientId)
    throw new ApiFault('not-allowed', 'A client sees its own usage only')
  return login.clientId ?? undefined
}

type ReportAsked = {
  period: string
  by: OpenReport['by']
  mode: 'full' | 'split' | undefined
  clientId: string | undefined
  compare: 'previous' | undefined
}

async function openReport(context: ApiContext, asked: ReportAsked): Promise<OpenReport> {
  const { database, tenantId } = context
  if (!(await tenantSettings(context)).isStored)
    throw new ApiFault('not-found', 'Nothing is metered yet: start the worker (tollgate worker or tollgate up) once')
  try {
    return await usageReport({ database, tenantId, ...asked })
  } catch (error) {
    if (error instanceof RangeError) throw new ApiFault('bad-request', error.message)
    throw error
  }
}

const periodText = ({ label, from, upto, timeZone }: OpenReport['period']): UsageReport['period'] => ({
  label,
  from: from.toISOString(),
  upto: upto.toISOString(),
  timeZone,
})

function profileOf({ format, profile, locale = 'en' }: UsageQuery): ExcelProfile | undefined {
  if (profile === undefined) return undefined
  if (format !== 'csv' && format !== 'focus') {
    throw new ApiFault('bad-request', 'profile shapes CSV: ask for it with format=csv or format=focus')
  }
  askable(() => decimalPointOf(locale))
  return { name: profile, locale }
}

function fileEnd(format: ExportFormat, compare: 'previous' | undefined): string {
  return `${compare === undefined ? '' : '-compared'}${format === 'focus' ? '-focus.csv' : `.${format}`}`
}

/** What cannot be asked for is a RangeError with the remedy in it. */
function askable(check: () => void): void {
  try {
    check()
  } catch (error) {
    if (error instanceof RangeError) throw new ApiFault('bad-request', error.message)
    throw error
  }
}

/** The shape of `UsageReport` in contracts, row by row. */
async function* reportJson(report: OpenReport, completeness: Completeness): AsyncGenerator<string> {
  const { period, by, mode, unitBytes, totals, previous, unmeteredBatchCount } = report
  const head: Omit<UsageReport, 'rows'> = {
    period: periodText(period),
    by,
    mode,
    unitBytes,
    totals,
    ...(previous === null ? {} : { previous: { period: periodText(previous.period), totals: previous.totals } }),
    unmeteredBatchCount,
    completeness,
  }
  yield `${JSON.stringify(head).slice(0, -1)},"rows":[`
  let separator = ''
  for await (const rows of report.batches) {
    yield separator + rows.map((row) => JSON.stringify(row)).join(',')
    separator = ','
  }
  yield ']}'
}
