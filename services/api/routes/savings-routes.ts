/** What refusing early saved. */
import { PassThrough } from 'node:stream'
import { writeTable } from '../../billing/exports/write-table.ts'
import { savingsRange } from '../../billing/savings/savings-range.ts'
import { savingsReport } from '../../billing/savings/savings-report.ts'
import { savingsTable } from '../../billing/savings/savings-table.ts'
import { ApiError } from '../../contracts/api.ts'
import { SavingsQuery, SavingsReport } from '../../contracts/savings.ts'
import { logCompleteness } from '../../database/log-completeness.ts'
import { recordAudit } from '../access/audit.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { tenantSettings } from '../tenant-settings.ts'
import { asked } from './tariff-routes.ts'

const contentTypes = {
  csv: 'text/csv; charset=utf-8; header=present',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  ndjson: 'application/x-ndjson; charset=utf-8',
} as const

export function addSavingsRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId, config, clock } = context

  server.get('/savings', {
    config: { roles: ['admin', 'operator', 'accountant', 'viewer'] },
    schema: { summary: 'What was not sent because it was refused early', querystring: SavingsQuery, response: { 200: SavingsReport, 400: ApiError } },
  }, async (request, reply) => {
    if (!(await tenantSettings(context)).isStored) throw new ApiFault('not-found', 'Nothing is metered yet: start the worker (tollgate worker or tollgate up) once')
    const { by = 'reason', format = 'json' } = request.query
    const report = await asked(async () => savingsReport({
      database, tenantId, ...(await savingsRange(database, tenantId, request.query)), by, now: new Date(clock.nowMs()),
      maxMessageBytes: config.smtp.limits.messageBytes, costPrice: config.billing.costPrice ?? null,
    }))
    if (format === 'json') return { ...report, completeness: await logCompleteness(database, tenantId) }
    await recordAudit(database, tenantId, { actor: loginOfRequest(request).name, action: 'usage.export', subject: 'savings', detail: { by, format, from: report.from, upto: report.upto } })
    reply.header('content-disposition', `attachment; filename="savings-${report.from.slice(0, 10)}-by-${by}.${format}"`)
    const output = new PassThrough()
    // Ends the answer without its last chunk: the reader sees that it is cut.
    writeTable(savingsTable(report, format), output).then(() => output.end(), (error: Error) => output.destroy(error))
    return await reply.type(contentTypes[format]).send(output as never)
  })
}
