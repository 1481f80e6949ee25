/** `GET live`: messages as they are ingested, as server-sent events. */
import { PassThrough } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { ApiError, LiveQuery } from '../../contracts/api.ts'
import { roles } from '../../contracts/vocabulary.ts'
import { loginOfRequest } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { LiveHub, type LiveLimits } from '../live/live-hub.ts'
import { parsePosition } from '../live/live-position.ts'
import { searchOf } from './message-routes.ts'

export function addLiveRoutes(server: ApiServer, context: ApiContext, limits?: LiveLimits): void {
  const hub = new LiveHub(context, (error, text) => server.log.warn({ err: error }, text), limits)
  server.addHook('preClose', async () => await hub.stop())

  server.get(
    '/live',
    {
      // A HEAD would open a stream that nobody reads.
      exposeHeadRoute: false,
      config: { roles },
      schema: {
        summary: 'Messages that match a query as they are ingested (server-sent events)',
        querystring: LiveQuery,
        response: { 400: ApiError, 429: ApiError },
      },
    },
    async (request, reply) => {
      const login = loginOfRequest(request)
      const asked = request.query
      const { nowMs: _nowMs, ...search } = await searchOf(context, login, asked)
      const header = request.headers['last-event-id']
      const last = (typeof header === 'string' && header !== '' ? header : asked.lastEventId) ?? null
      const resumeFrom = last === null ? null : parsePosition(last)
      if (last !== null && resumeFrom === null)
        throw new ApiFault('bad-request', 'The last event id is not one of ours: begin without it')
      const output = new PassThrough()
      const queryKey = JSON.stringify([asked.q ?? '', search.timeZone, search.scope.clientId])
      // Also where the reader goes away before anything is sent.
      reply.raw.once('close', () => output.destroy())
      hub.add({ login, search, queryKey, output, resumeFrom })
      return await sendEvents(reply, output)
    },
  )
}

async function sendEvents(reply: FastifyReply, output: PassThrough): Promise<FastifyReply> {
  return await reply
    .type('text/event-stream; charset=utf-8')
    // Proxies that pack or collect an answer would hold events back.
    .header('cache-control', 'no-store, no-transform')
    .header('x-accel-buffering', 'no')
    .send(output)
}
