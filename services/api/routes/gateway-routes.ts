/** The gateway's figures, queue and quarantine. What changes something, and each look at a message, is recorded. */
import { Type } from 'typebox'
import { ApiError } from '../../contracts/api.ts'
import {
  Done,
  GatewayFigures,
  HeldMessageView,
  QuarantineList,
  QuarantineQuery,
  QueueId,
  QueueList,
  QueueQuery,
  ReleaseReport,
  ReleaseRequest,
} from '../../contracts/control.ts'
import { recordAudit, type AuditAction } from '../access/audit.ts'
import { loginOfRequest } from '../access/route-access.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { GatewayConnection } from '../gateway-connection.ts'

const config = { roles: ['admin', 'operator'] as const }
const node = Type.String({ pattern: '^[a-z0-9][a-z0-9-]{0,62}$' })
const nodeParams = Type.Object({ node })
const messageParams = Type.Object({ node, id: QueueId })
const failures = { 400: ApiError, 404: ApiError, 409: ApiError, 503: ApiError }

export function addGatewayRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId } = context
  const gateway = new GatewayConnection(context.config.data)
  const record = (actor: string, action: AuditAction, { node: at, id }: { node: string; id: string }, detail = {}) =>
    recordAudit(database, tenantId, { actor, action, subject: id, detail: { node: at, ...detail } })

  server.get(
    '/gateways',
    { config, schema: { summary: 'The gateway of this machine, where one runs', response: { 200: Type.Object({ gateways: Type.Array(GatewayFigures) }) } } },
    async () => {
      const figures = await gateway.figures()
      return { gateways: figures === null ? [] : [figures] }
    },
  )
  server.get(
    '/gateways/:node/queue',
    { config, schema: { summary: 'What waits for delivery, newest first', params: nodeParams, querystring: QueueQuery, response: { 200: QueueList, ...failures } } },
    ({ params, query }) => gateway.ask<QueueList>(params.node, { method: 'GET', path: `/queue${queryText(query)}` }),
  )
  server.post(
    '/gateways/:node/queue/:id/retry',
    { config, schema: { summary: 'Try all of a message that waits at once', params: messageParams, response: { 200: Done, ...failures } } },
    async (request) => {
      const { name } = loginOfRequest(request)
      await record(name, 'queue.retried', request.params)
      return await gateway.ask<{ done: true }>(request.params.node, { method: 'POST', path: `/queue/${request.params.id}/retry`, body: { by: name } })
    },
  )
  server.delete(
    '/gateways/:node/queue/:id',
    { config, schema: { summary: 'Give up what waits of a message', params: messageParams, response: { 200: Done, ...failures } } },
    async (request) => {
      const { name } = loginOfRequest(request)
      await record(name, 'queue.deleted', request.params)
      return await gateway.ask<{ done: true }>(request.params.node, { method: 'DELETE', path: `/queue/${request.params.id}`, body: { by: name } })
    },
  )

  server.get(
    '/gateways/:node/quarantine',
    { config, schema: { summary: 'What is held, newest first', params: nodeParams, querystring: QuarantineQuery, response: { 200: QuarantineList, ...failures } } },
    ({ params, query }) => gateway.ask<QuarantineList>(params.node, { method: 'GET', path: `/quarantine${queryText(query)}` }),
  )
  server.get(
    '/gateways/:node/quarantine/:id',
    { config, schema: { summary: 'A held message, safe to show', params: messageParams, response: { 200: HeldMessageView, ...failures } } },
    async (request) => {
      const { node: at, id } = request.params
      await record(loginOfRequest(request).name, 'quarantine.read', request.params)
      return await gateway.ask<HeldMessageView>(at, { method: 'GET', path: `/quarantine/${id}` })
    },
  )
  server.get(
    '/gateways/:node/quarantine/:id/raw',
    { config, schema: { summary: 'A held message as it was received, as a file', params: messageParams } },
    async (request, reply) => {
      const { node: at, id } = request.params
      await record(loginOfRequest(request).name, 'quarantine.downloaded', request.params)
      const octets = await gateway.open(at, { method: 'GET', path: `/quarantine/${id}/raw` })
      // No type that a browser would show: what is in it was held for a reason.
      reply.header('content-type', 'application/octet-stream').header('content-disposition', `attachment; filename="${id}.eml"`)
      return await reply.header('x-content-type-options', 'nosniff').send(octets)
    },
  )
  server.post(
    '/gateways/:node/quarantine/:id/release',
    {
      config,
      schema: {
        summary: 'Deliver a held message as it was received, to all or to some of its recipients',
        params: messageParams,
        body: Type.Object({ recipients: ReleaseRequest.properties.recipients }, { additionalProperties: false }),
        response: { 200: ReleaseReport, ...failures },
      },
    },
    async (request) => {
      const { node: at, id } = request.params
      const { name } = loginOfRequest(request)
      await record(name, 'quarantine.released', request.params, request.body)
      return await gateway.ask<ReleaseReport>(at, { method: 'POST', path: `/quarantine/${id}/release`, body: { ...request.body, by: name } })
    },
  )
  server.delete(
    '/gateways/:node/quarantine/:id',
    { config, schema: { summary: 'Delete a held message for good', params: messageParams, response: { 200: Done, ...failures } } },
    async (request) => {
      const { node: at, id } = request.params
      const { name } = loginOfRequest(request)
      await record(name, 'quarantine.deleted', request.params)
      return await gateway.ask<{ done: true }>(at, { method: 'DELETE', path: `/quarantine/${id}`, body: { by: name } })
    },
  )
}

function queryText(query: Record<string, string | number | undefined>): string {
  const text = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined) text.set(name, String(value))
  return `?${text}`
}
