/** Figures in the text format of Prometheus: requests by route and status, the database pool, the log's age. */
import { sql } from 'kysely'
import type { ApiContext, ApiServer } from './api-server.ts'

type RequestMetric = { count: number; seconds: number }
export type RequestMetrics = Map<string, RequestMetric>

/** Counts every answer by the route's pattern, never by the path asked for: the number of series stays small. */
export function addRequestMetrics(server: ApiServer): RequestMetrics {
  const metrics: RequestMetrics = new Map()
  server.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    const key = `method="${request.method}",route="${route}",status="${reply.statusCode}"`
    const metric = metrics.get(key) ?? { count: 0, seconds: 0 }
    metric.count += 1
    metric.seconds += reply.elapsedTime / 1_000
    metrics.set(key, metric)
  })
  return metrics
}

export async function metricsText(
  context: ApiContext,
  requests: RequestMetrics,
  isDatabaseUp: boolean,
): Promise<string> {
  const { pool } = context.database
  const lines = [
    ...metric(
      'tollgate_http_requests_total',
      'counter',
      'Answers by route and status.',
      [...requests].map(([labels, { count }]) => [labels, count]),
    ),
    ...metric(
      'tollgate_http_request_seconds_total',
      'counter',
      'Time spent on them.',
      [...requests].map(([labels, { seconds }]) => [labels, seconds]),
    ),
    ...metric('tollgate_database_up', 'gauge', 'Whether Postgres answers.', [['', isDatabaseUp ? 1 : 0]]),
    ...metric('tollgate_database_connections', 'gauge', 'Connections of this process.', [
      ['state="all"', pool.totalCount],
      ['state="idle"', pool.idleCount],
      ['state="waiting"', pool.waitingCount],
    ]),
    ...metric('process_resident_memory_bytes', 'gauge', 'Resident memory.', [['', process.memoryUsage.rss()]]),
  ]
  if (isDatabaseUp) lines.push(...(await logMetrics(context)))
  return `${lines.join('\n')}\n`
}

async function logMetrics(context: ApiContext): Promise<string[]> {
  const { rows } = await sql<{ node: string; newest: Date | null }>`
    select node, max(newest_at) as newest from log_boot
    where tenant_id = ${context.tenantId} group by node order by node
  `.execute(context.database.kysely)
  const ages: [string, number][] = rows.flatMap((row) =>
    row.newest === null ? [] : [[`node="${row.node}"`, row.newest.getTime() / 1_000]],
  )
  return metric(
    'tollgate_log_newest_seconds',
    'gauge',
    'Time of the newest ingested line of a gateway, in seconds since the epoch.',
    ages,
  )
}

function metric(name: string, type: 'counter' | 'gauge', help: string, samples: [string, number][]): string[] {
  const values = samples.map(([labels, value]) => `${name}${labels === '' ? '' : `{${labels}}`} ${value}`)
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...values]
}
