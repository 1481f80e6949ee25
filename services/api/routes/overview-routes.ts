/** What happened lately, and what needs somebody's attention. */
import { ApiError, Overview, OverviewQuery } from '../../contracts/api.ts'
import { logCompleteness } from '../../database/log-completeness.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { overviewFigures } from '../overview/overview-figures.ts'
import { overviewWarnings } from '../overview/overview-warnings.ts'

const hourMs = 3_600_000

export function addOverviewRoutes(server: ApiServer, context: ApiContext): void {
  server.get(
    '/overview',
    {
      config: { roles: ['admin', 'operator', 'accountant', 'viewer'] },
      schema: {
        summary: 'Mail by outcome, top lists and warnings',
        querystring: OverviewQuery,
        response: { 200: Overview, 400: ApiError },
      },
    },
    async (request) => {
      const uptoMs = context.clock.nowMs()
      const range = { fromMs: uptoMs - (request.query.hours ?? 24) * hourMs, uptoMs }
      const completeness = await logCompleteness(context.database, context.tenantId)
      const [figures, warnings] = await Promise.all([
        overviewFigures(context.database, context.tenantId, range),
        overviewWarnings(context.database, context.tenantId, completeness, uptoMs),
      ])
      return {
        from: new Date(range.fromMs).toISOString(),
        upto: new Date(uptoMs).toISOString(),
        ...figures,
        completeness,
        warnings,
      }
    },
  )
}
