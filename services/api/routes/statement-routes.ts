/** Statements: a list, one as JSON, CSV, workbook or a page to print, and the messages behind each line. */
import { PassThrough } from 'node:stream'
import { Type } from 'typebox'
import { writeTable } from '../../billing/exports/write-table.ts'
import { linesOfMessage } from '../../billing/statements/lines-of-message.ts'
import { listStatements, messagesOfLine, readStatement } from '../../billing/statements/read-statements.ts'
import { statementPage, statementPageCsp } from '../../billing/statements/statement-page.ts'
import { statementTable } from '../../billing/statements/statement-table.ts'
import { ApiError } from '../../contracts/api.ts'
import { PeriodLabel, Statement, statementFormats, StatementList, StatementMessages, MessageStatementLines } from '../../contracts/statement.ts'
import { recordAudit } from '../access/audit.ts'
import type { LoginSession } from '../access/login-session.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'

/** A client sees its own. */
const readers = ['admin', 'accountant', 'viewer', 'client'] as const
const contentTypes = { csv: 'text/csv; charset=utf-8; header=present', xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet' } as const

export function addStatementRoutes(server: ApiServer, { database, tenantId }: ApiContext): void {
  server.get('/statements', {
    config: { roles: readers },
    schema: {
      summary: 'Statements, newest period first',
      querystring: Type.Object({ period: Type.Optional(PeriodLabel), client: Type.Optional(Type.String()) }),
      response: { 200: StatementList },
    },
  }, async (request) => {
    const own = ownClient(loginOfRequest(request))
    const { period = null, client = null } = request.query
    if (own !== null && client !== null && client !== own) throw new ApiFault('not-allowed', 'A client sees its own statements only')
    return { statements: await listStatements(database, tenantId, { period, clientId: own ?? client }) }
  })

  server.get('/statements/:id', {
    config: { roles: readers },
    schema: {
      summary: 'One statement; csv, xlsx and html are files, html is made for printing',
      params: Type.Object({ id: Type.String({ maxLength: 50 }) }),
      querystring: Type.Object({ format: Type.Optional(Type.Enum([...statementFormats], { default: 'json' })) }),
      response: { 200: Statement, 404: ApiError },
    },
  }, async (request, reply) => {
    const login = loginOfRequest(request)
    const { id } = request.params
    const { format = 'json' } = request.query
    refuseNoStatement(id)
    const statement = await readStatement(database, tenantId, id, ownClient(login))
    if (statement === null) throw new ApiFault('not-found', `There is no statement ${id}`)
    if (format === 'json') return statement
    await recordAudit(database, tenantId, { actor: login.name, action: 'statement.export', subject: id, detail: { format } })
    if (format === 'html') {
      return await reply.header('content-security-policy', statementPageCsp).type('text/html; charset=utf-8').send(statementPage(statement) as never)
    }
    reply.header('content-disposition', `attachment; filename="statement-${id}.${format}"`)
    const output = new PassThrough()
    // Ends the answer without its last chunk: the reader sees that it is cut.
    writeTable(statementTable([statement], format), output).then(() => output.end(), (error: Error) => output.destroy(error))
    return await reply.type(contentTypes[format]).send(output as never)
  })

  server.get('/statements/:id/lines/:line/messages', {
    config: { roles: readers },
    schema: {
      summary: 'The entries that a line was rated from, oldest first',
      params: Type.Object({ id: Type.String({ maxLength: 50 }), line: Type.Integer({ minimum: 1 }) }),
      querystring: Type.Object({ cursor: Type.Optional(Type.String({ maxLength: 200, pattern: '^[0-9TZ:.-]+_[0-9a-f-]{36}_[0-9a-f-]{36}_\\d+$' })) }),
      response: { 200: StatementMessages, 404: ApiError },
    },
  }, async (request) => {
    const { id, line } = request.params
    refuseNoStatement(id)
    const clientId = ownClient(loginOfRequest(request))
    const page = await messagesOfLine(database, tenantId, { statementId: id, line, clientId, cursor: request.query.cursor ?? null })
    if (page === null) throw new ApiFault('not-found', `There is no line ${line} of a statement ${id}`)
    return page
  })

  server.get('/messages/:id/statement-lines', {
    config: { roles: readers },
    schema: {
      summary: 'The lines of statements that a message is in',
      params: Type.Object({ id: Type.String({ pattern: '^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$' }) }),
      response: { 200: MessageStatementLines },
    },
  }, async (request) => ({ lines: await linesOfMessage(database, tenantId, request.params.id, ownClient(loginOfRequest(request))) }))
}

/** A number like 2026-10-0001; Postgres would take offence at a NUL in anything else. */
function refuseNoStatement(id: string): void {
  if (!/^[\d-]+$/.test(id)) throw new ApiFault('not-found', 'There is no such statement: numbers are like 2026-10-0001')
}

function ownClient(login: LoginSession): string | null {
  return login.role === 'client' ? login.clientId : null
}
