/** Trace: the list, its histogram, one message. */
import { Type } from 'typebox'
import {
  ApiError,
  MessageDetail,
  MessageHistogram,
  MessageHistogramQuery,
  MessageList,
  MessageListQuery,
} from '../../contracts/api.ts'
import { isTimeZone } from '../../contracts/period.ts'
import { parseTraceQuery, type TraceQuery } from '../../contracts/trace-query.ts'
import { roles } from '../../contracts/vocabulary.ts'
import { logCompleteness } from '../../database/log-completeness.ts'
import { recordAudit } from '../access/audit.ts'
import type { LoginSession } from '../access/login-session.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { tenantSettings } from '../tenant-settings.ts'
import { messageDetail } from '../trace/message-detail.ts'
import { messageHistogram } from '../trace/message-histogram.ts'
import { BadCursor, searchMessages } from '../trace/search-messages.ts'
import type { TraceScope } from '../trace/trace-scope.ts'

export function addMessageRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId, clock } = context

  server.get(
    '/messages',
    {
      config: { roles },
      schema: {
        summary: 'Messages that match a query, newest first',
        querystring: MessageListQuery,
        response: { 200: MessageList, 400: ApiError },
      },
    },
    async (request) => {
      const startedUs = clock.monotonicUs()
      const { cursor, limit } = request.query
      const search = await searchOf(context, loginOfRequest(request), request.query)
      const [page, completeness] = await Promise.all([
        searchMessages({ ...search, cursor: cursor ?? null, limit: limit ?? 100 }).catch(asFault),
        logCompleteness(database, tenantId),
      ])
      return { ...page, completeness, tookMs: (clock.monotonicUs() - startedUs) / 1_000 }
    },
  )

  server.get(
    '/messages/histogram',
    {
      config: { roles },
      schema: {
        summary: 'What a query matches, by outcome over time',
        querystring: MessageHistogramQuery,
        response: { 200: MessageHistogram, 400: ApiError },
      },
    },
    async (request) => await messageHistogram(await searchOf(context, loginOfRequest(request), request.query)),
  )

  server.get(
    '/messages/:id',
    {
      config: { roles },
      schema: {
        summary: 'Everything about one message',
        params: Type.Object({ id: Type.String({ maxLength: 100 }) }),
        response: { 200: MessageDetail, 404: ApiError },
      },
    },
    async (request) => {
      const login = loginOfRequest(request)
      const transactionId = request.params.id.toLowerCase()
      const { query: _query, ...search } = await searchOf(context, login, {})
      const detail = await messageDetail({ ...search, transactionId })
      if (detail === null)
        throw new ApiFault('not-found', 'There is no such message, or its log was not ingested yet')
      await recordAudit(database, tenantId, { actor: login.name, action: 'message.read', subject: transactionId })
      return detail
    },
  )
}

/** What somebody may see. */
export function scopeOf(login: LoginSession): TraceScope {
  return { clientId: login.role === 'client' ? login.clientId : null }
}

/** What a query means for the one who asks; a mistake in it is an ApiFault. */
export async function searchOf(context: ApiContext, login: LoginSession, asked: { q?: string; zone?: string }) {
  const timeZone = asked.zone ?? (await tenantSettings(context)).timeZone
  if (!isTimeZone(timeZone))
    throw new ApiFault('bad-request', `zone: "${timeZone}" is no IANA time zone: write one like Europe/Berlin`)
  return {
    database: context.database,
    tenantId: context.tenantId,
    scope: scopeOf(login),
    query: parsedQuery(asked.q ?? ''),
    timeZone,
    nowMs: context.clock.nowMs(),
    lowersLocalPart: context.config.recipients.lowerCaseLocalPart,
  }
}

function parsedQuery(text: string): TraceQuery {
  const parsed = parseTraceQuery(text)
  if ('query' in parsed) return parsed.query
  const first = parsed.faults[0]!
  const { from, upto, message, suggestion } = first
  throw new ApiFault('bad-query', message, {
    position: { from, upto },
    ...(suggestion === undefined ? {} : { suggestion }),
  })
}

function asFault(error: unknown): never {
  if (error instanceof BadCursor) throw new ApiFault('bad-request', error.message)
  throw error
}
