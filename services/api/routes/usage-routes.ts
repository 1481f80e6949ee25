/** The usage report as JSON, CSV or NDJSON: rows flow from the database to the network, never all in memory. */
import { PassThrough, Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { usagePeriods } from '../../billing/usage-periods.ts'
import { usageReport, type UsageReport as OpenReport } from '../../billing/usage-report.ts'
import { writeUsage } from '../../billing/write-usage.ts'
import { ApiError, UsagePeriods, UsageQuery, UsageReport, type Completeness } from '../../contracts/api.ts'
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
  ndjson: 'application/x-ndjson; charset=utf-8',
} as const

export function addUsageRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context

  server.get(
    '/usage',
    {
      config: { roles: billingRoles },
      schema: {
        summary: 'What a month adds up to; csv and ndjson are downloads',
        querystring: UsageQuery,
        response: { 200: UsageReport, 400: ApiError },
      },
    },
    async (request, reply) => {
      const login = loginOfRequest(request)
      const { period, by = 'client', mode, format = 'json' } = request.query
      refuseBadPeriod(period)
      const clientId = usageClient(login, request.query.client)
      const completeness = await logCompleteness(database, tenantId)
      const report = await openReport(context, { period, by, mode, clientId })
      try {
        if (format === 'json')
          return await sendStream(
            reply,
            Readable.from(reportJson(report, completeness)),
            'application/json; charset=utf-8',
            report,
          )
        await recordAudit(database, tenantId, {
          actor: login.name,
          action: 'usage.export',
          subject: period,
          detail: { by, format, client: clientId ?? null },
        })
        reply.header(
          'content-disposition',
          `attachment; filename="usage-${period}-by-${by}-${report.mode}.${format}"`,
        )
        const output = new PassThrough()
        // Ends the answer without its last chunk: the reader sees that it is cut.
        writeUsage(report, format, output).then(
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

/** The shape of `UsageReport` in contracts, row by row. */
async function* reportJson(report: OpenReport, completeness: Completeness): AsyncGenerator<string> {
  const { period, by, mode, unitBytes, totals, unmeteredBatchCount } = report
  const head: Omit<UsageReport, 'rows'> = {
    period: {
      label: period.label,
      from: period.from.toISOString(),
      upto: period.upto.toISOString(),
      timeZone: period.timeZone,
    },
    by,
    mode,
    unitBytes,
    totals,
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
