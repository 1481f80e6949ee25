/** `/healthz`: the process lives. `/readyz`: it can answer. `/metrics`: figures for Prometheus. */
import { Health } from '../../contracts/api.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { metricsText, type RequestMetrics } from '../metrics.ts'

const probeMs = 2_000

export function addHealthRoutes(server: ApiServer, context: ApiContext, metrics: RequestMetrics): void {
  const open = { config: { roles: 'public' } } as const

  server.get('/healthz', { ...open, schema: { response: { 200: Health } } }, async () => await healthOf(context))

  server.get('/readyz', { ...open, schema: { response: { 200: Health, 503: Health } } }, async (_request, reply) => {
    const health = await healthOf(context)
    return await reply.code(health.status === 'ok' ? 200 : 503).send(health)
  })

  server.get('/metrics', { ...open, schema: { hide: true } }, async (_request, reply) => {
    const isDatabaseUp = await answers(context)
    return await reply
      .type('text/plain; version=0.0.4; charset=utf-8')
      .send(await metricsText(context, metrics, isDatabaseUp))
  })
}

async function healthOf(context: ApiContext): Promise<Health> {
  const isUp = await answers(context)
  return { status: isUp ? 'ok' : 'degraded', version: context.version, database: isUp ? 'up' : 'down' }
}

/** Whether the database answers soon: one that hangs counts as away. */
async function answers(context: ApiContext): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), probeMs)
  })
  const probe = context.database.pool.query('select 1').then(
    () => true,
    () => false,
  )
  return await Promise.race([probe, late]).finally(() => clearTimeout(timer))
}
