/**
 * Turns whatever a route threw into an answer of the closed list.
 *
 * Why    three kinds are told apart: a client's mistake (4xx as it is), a database that is away (503, worth trying
 *        again), and our own bug (500; the operator log has the stack, the answer only the request's number).
 */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { isDatabaseUnavailable } from '../database/open-database.ts'
import { ApiFault } from './api-fault.ts'
import type { ApiServer } from './api-server.ts'

export function addErrorReplies(server: ApiServer): void {
  server.setErrorHandler((error: FastifyError, request, reply) => {
    const fault = faultOf(error, request)
    if (fault.code === 'internal') request.log.error({ err: error }, 'A request failed by a mistake of ours')
    else if (fault.code === 'database-unavailable') request.log.warn({ err: error }, 'The database cannot be reached')
    sendFault(reply, fault)
  })
}

export function sendFault(reply: FastifyReply, fault: ApiFault): void {
  if (fault.retryAfterSeconds !== null) reply.header('retry-after', String(fault.retryAfterSeconds))
  reply.code(fault.statusCode).header('content-type', 'application/json; charset=utf-8').send(fault.body)
}

/** Postgres codes: a statement ended by its time limit, or by an administrator. */
const queryCancelled = '57014'

function faultOf(error: FastifyError, request: FastifyRequest): ApiFault {
  if (error instanceof ApiFault) return error
  if (isDatabaseUnavailable(error)) {
    return new ApiFault(
      'database-unavailable',
      'The database cannot be reached. Mail is still accepted; try again in a moment',
      { retryAfterSeconds: 5 },
    )
  }
  if (error.code === queryCancelled) {
    return new ApiFault(
      'query-timeout',
      'The search took too long and was ended. Narrow it with after: and before:, or with a whole address',
    )
  }
  if (error.validation?.[0]?.instancePath === '/period')
    return new ApiFault('bad-period', 'A period is a year and a month, like 2026-11')
  if (Array.isArray(error.validation)) return new ApiFault('bad-request', validationSentence(error))
  // Everything else that Fastify itself refuses: a body that is no JSON, too large, of another content type.
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500)
    return new ApiFault('bad-request', error.message)
  return new ApiFault(
    'internal',
    `Something went wrong here; the operator log tells more under request ${request.id}`,
  )
}

function validationSentence(error: FastifyError): string {
  const first = error.validation?.[0]
  const place = `${error.validationContext ?? 'request'}${(first?.instancePath ?? '').replaceAll('/', '.')}`
  const missing = first?.params?.['missingProperty']
  if (typeof missing === 'string') return `${place}.${missing} is missing`
  const allowed = first?.params?.['allowedValues']
  return `${place} ${first?.message ?? 'is not valid'}${Array.isArray(allowed) ? `: ${allowed.join(', ')}` : ''}`
}
