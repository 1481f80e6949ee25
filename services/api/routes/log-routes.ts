/** The event log as it is here: how complete, what was rejected, which gaps are accepted. */
import { AcceptGapRequest, ApiError, LogStatus, RejectedLineList, RejectedLineQuery } from '../../contracts/api.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { acceptGap } from '../log/accept-gap.ts'
import { logStatus } from '../log/log-status.ts'
import { listRejectedLines } from '../log/rejected-lines.ts'

export function addLogRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context

  server.get(
    '/log',
    {
      config: { roles: ['admin', 'operator'] },
      schema: { summary: 'How far the event log is ingested, and what is missing', response: { 200: LogStatus } },
    },
    async () => await logStatus(database, tenantId),
  )

  server.get(
    '/log/rejected',
    {
      config: { roles: ['admin', 'operator'] },
      schema: {
        summary: 'Lines that are no events, newest first',
        querystring: RejectedLineQuery,
        response: { 200: RejectedLineList, 400: ApiError },
      },
    },
    async (request) => {
      const { reason, cursor, limit } = request.query
      return await listRejectedLines({ database, tenantId, reason: reason ?? null, cursor: cursor ?? null, limit: limit ?? 50 })
    },
  )

  server.post(
    '/log/gaps',
    {
      config: { roles: ['admin'] },
      schema: {
        summary: 'Declare events lost for good: their gap counts as none',
        body: AcceptGapRequest,
        response: { 200: LogStatus, 400: ApiError },
      },
    },
    async (request) => {
      const by = loginOfRequest(request).name
      await acceptGap(database, tenantId, { ...request.body, by }).catch((error: unknown) => {
        if (error instanceof RangeError) throw new ApiFault('bad-request', error.message)
        throw error
      })
      return await logStatus(database, tenantId)
    },
  )
}
