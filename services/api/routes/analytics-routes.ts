/** Traffic and rules over time. */
import { ApiError, RuleAnalytics, RuleAnalyticsQuery, Traffic, TrafficQuery } from '../../contracts/api.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { ruleRows, trafficRows, unrolledBatchCount } from '../overview/analytics.ts'
import { rolledRange, type RolledRange } from '../overview/rolled-range.ts'

const hourMs = 3_600_000
const defaultMs = 7 * 24 * hourMs
/** An answer by the hour has at most so many hours. */
const mostHours = 24 * 92

export function addAnalyticsRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context

  server.get(
    '/analytics/traffic',
    {
      config: { roles: ['admin', 'operator', 'accountant', 'viewer'] },
      schema: { summary: 'Transactions, recipients and octets over time', querystring: TrafficQuery, response: { 200: Traffic, 400: ApiError } },
    },
    async (request) => {
      const { by = 'day', group = 'outcome' } = request.query
      const range = wholeRange(context, request.query)
      return { ...named(range), rows: await trafficRows(database, range, by, group), unrolledBatchCount: await unrolledBatchCount(database, tenantId) }
    },
  )

  server.get(
    '/analytics/rules',
    {
      config: { roles: ['admin', 'operator', 'viewer'] },
      schema: { summary: 'What each rule did over time', querystring: RuleAnalyticsQuery, response: { 200: RuleAnalytics, 400: ApiError } },
    },
    async (request) => {
      const { by = 'day', rule } = request.query
      const range = wholeRange(context, request.query)
      return { ...named(range), rows: await ruleRows(database, range, by, rule), unrolledBatchCount: await unrolledBatchCount(database, tenantId) }
    },
  )
}

function wholeRange(context: ApiContext, query: { from?: string; upto?: string; by?: string }): RolledRange {
  const uptoMs = query.upto === undefined ? Math.ceil(context.clock.nowMs() / hourMs) * hourMs : Date.parse(query.upto)
  const fromMs = query.from === undefined ? uptoMs - defaultMs : Date.parse(query.from)
  if (fromMs % hourMs !== 0 || uptoMs % hourMs !== 0) throw new ApiFault('bad-request', 'from and upto are whole hours in UTC, like 2026-11-01T00:00:00Z')
  if (fromMs >= uptoMs) throw new ApiFault('bad-request', 'upto is not after from')
  if (query.by === 'hour' && uptoMs - fromMs > mostHours * hourMs) {
    throw new ApiFault('bad-request', 'by=hour answers at most 92 days: shorten the range, or use by=day')
  }
  return rolledRange(context.tenantId, { fromMs, uptoMs }, true)
}

function named({ fromMs, uptoMs }: RolledRange): { from: string; upto: string } {
  return { from: new Date(fromMs).toISOString(), upto: new Date(uptoMs).toISOString() }
}
