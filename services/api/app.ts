/**
 * The HTTP application: everything but listening.
 *
 * Owns    the order in which hooks and routes are put together.
 * Why     answers are written by JSON.stringify, not by their schema: an event of a newer gateway keeps the fields
 *         that this version does not know. That answers match the schemas is held by types and by a test.
 */
import cookie from '@fastify/cookie'
import swagger from '@fastify/swagger'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { LogController, type FastifyBaseLogger } from 'fastify'
import type { Logger } from '../kit/operator-log.ts'
import { addRouteAccess, type RouteListEntry } from './access/route-access.ts'
import { ApiFault } from './api-fault.ts'
import type { ApiContext, ApiServer } from './api-server.ts'
import { BacktestJobs } from './backtest/backtest-jobs.ts'
import { addErrorReplies, sendFault } from './error-replies.ts'
import type { LiveLimits } from './live/live-hub.ts'
import { addRequestMetrics } from './metrics.ts'
import { SnapshotPublisher } from './policy/snapshot-publisher.ts'
import { addBacktestRoutes } from './routes/backtest-routes.ts'
import { addAnalyticsRoutes } from './routes/analytics-routes.ts'
import { addClientRoutes } from './routes/client-routes.ts'
import { addErasureRoutes } from './routes/erasure-routes.ts'
import { addGatewayRoutes } from './routes/gateway-routes.ts'
import { addHealthRoutes } from './routes/health-routes.ts'
import { addLiveRoutes } from './routes/live-routes.ts'
import { addLogRoutes } from './routes/log-routes.ts'
import { addMessageRoutes } from './routes/message-routes.ts'
import { addOverviewRoutes } from './routes/overview-routes.ts'
import { addRulesRoutes } from './routes/rules-routes.ts'
import { addRulesetRoutes } from './routes/ruleset-routes.ts'
import { addPeriodRoutes } from './routes/period-routes.ts'
import { addSavingsRoutes } from './routes/savings-routes.ts'
import { addSessionRoutes } from './routes/session-routes.ts'
import { addSnapshotRoutes } from './routes/snapshot-routes.ts'
import { addStatementRoutes } from './routes/statement-routes.ts'
import { addTariffRoutes } from './routes/tariff-routes.ts'
import { addUsageRoutes } from './routes/usage-routes.ts'
import { addWebRoutes } from './routes/web-routes.ts'
import { refuseNul } from './refuse-nul.ts'
import { addSecurityHeaders } from './security-headers.ts'

export const apiPrefix = '/api/v1'
/** At the end, answers that are under way have so long. */
const closeGraceMs = 2_000

export type ApiApp = { server: ApiServer; routes: RouteListEntry[]; snapshots: SnapshotPublisher }

/** `webFolder` holds the built web application. */
export async function buildApp(context: ApiContext, options: { log: Logger; webFolder: string; liveLimits?: LiveLimits }): Promise<ApiApp> {
  const server: ApiServer = fastify({
    loggerInstance: options.log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true }),
    // Behind a proxy on this machine the address of the browser and its https come in headers.
    trustProxy: 'loopback',
    bodyLimit: 1_048_576,
    // Before any route is found: an address that cannot be decoded.
    frameworkErrors: (error, _request, reply) => sendFault(reply, new ApiFault('bad-request', error.message)),
    routerOptions: { maxParamLength: 200 },
    ajv: { customOptions: { coerceTypes: true, removeAdditional: false, allErrors: false } },
  }).withTypeProvider<TypeBoxTypeProvider>()
  server.setSerializerCompiler(() => (value) => JSON.stringify(value))
  addErrorReplies(server)
  const metrics = addRequestMetrics(server)
  addSecurityHeaders(server)
  refuseNul(server)
  // A browser opens connections before it needs them; Node counts one without a request as busy and waits for it.
  server.addHook(
    'preClose',
    async () => void setTimeout(() => server.server.closeAllConnections(), closeGraceMs).unref(),
  )
  await server.register(cookie)
  const routes = addRouteAccess(server, context)
  await server.register(swagger, {
    openapi: {
      info: {
        title: 'Tollgate',
        version: context.version,
        description: 'Trace mail, read usage, see what the gateway does.',
      },
      components: { securitySchemes: { session: { type: 'apiKey', in: 'cookie', name: 'tollgate_session' } } },
    },
  })
  const backtests = new BacktestJobs({
    ...context,
    onFailure: (error) => options.log.error({ err: error }, 'A backtest failed'),
  })
  server.addHook('onClose', () => backtests.close())
  const snapshots = new SnapshotPublisher({ ...context, dataFolder: context.config.data }, options.log)
  server.addHook('onClose', () => snapshots.close())
  await server.register(
    async (api: ApiServer) => {
      addSessionRoutes(api, context)
      addMessageRoutes(api, context)
      addLogRoutes(api, context)
      addLiveRoutes(api, context, options.liveLimits)
      addUsageRoutes(api, context)
      addSavingsRoutes(api, context)
      addClientRoutes(api, context)
      addTariffRoutes(api, context)
      addPeriodRoutes(api, context)
      addStatementRoutes(api, context)
      addOverviewRoutes(api, context)
      addAnalyticsRoutes(api, context)
      addErasureRoutes(api, context)
      addGatewayRoutes(api, context)
      addBacktestRoutes(api, context, backtests)
      addRulesRoutes(api, context)
      addRulesetRoutes(api, context, snapshots)
      addSnapshotRoutes(api, context, snapshots)
      api.get('/openapi.json', { config: { roles: 'public' }, schema: { hide: true } }, () => server.swagger())
    },
    { prefix: apiPrefix },
  )
  addHealthRoutes(server, context, metrics)
  await addWebRoutes(server, options.webFolder)
  return { server, routes, snapshots }
}
