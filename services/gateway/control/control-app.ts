/**
 * What the control interface answers: figures, queue, quarantine, reload (docs/quarantine.md).
 *
 * Owns    validation of what is asked, and the closed list of errors (contracts/control.ts).
 * Leaves  who may ask to the socket's owner and to the API; effects and their events to relay and quarantine.
 */
import { createReadStream } from 'node:fs'
import addFormats from 'ajv-formats'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify from 'fastify'
import {
  ControlActor,
  controlErrorCodes,
  controlPrefix,
  maxListedRecipients,
  QuarantineQuery,
  QueueIdParams,
  QueueQuery,
  ReleaseRequest,
  type ControlErrorCode,
  type GatewayFigures,
  type QueueList,
} from '../../contracts/control.ts'
import { visibleText } from '../../kit/visible-text.ts'
import type { Quarantine } from '../quarantine/quarantine.ts'
import { newestPage } from '../quarantine/newest-page.ts'
import type { Relay } from '../relay/relay-contract.ts'

export type ControlParts = {
  relay: Relay
  quarantine: Quarantine
  figures(): Promise<GatewayFigures>
  reload(): Promise<void>
  onFault(error: Error): void
}

class ControlFault extends Error {
  readonly code: ControlErrorCode

  constructor(code: ControlErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

export type ControlApp = Awaited<ReturnType<typeof buildControlApp>>

export async function buildControlApp({ relay, quarantine, figures, reload, onFault }: ControlParts) {
  const app = fastify({
    bodyLimit: 256 * 1024,
    routerOptions: { maxParamLength: 100 },
    // Octets as the query has them are text; nothing that the schemas do not name is let through.
    ajv: { customOptions: { coerceTypes: true, removeAdditional: false }, plugins: [addFormats.default as never] },
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  const fail = (code: ControlErrorCode, message: string) => ({ error: { code, message } })
  app.setErrorHandler((error: Error & { validation?: unknown; statusCode?: number }, _request, reply) => {
    if (error instanceof ControlFault) return reply.code(controlErrorCodes[error.code]).send(fail(error.code, error.message))
    if (error.statusCode === 413) return reply.code(413).send(fail('too-large', 'The body of a request has at most 256 KiB: name fewer recipients'))
    if (error.validation !== undefined || (error.statusCode ?? 500) < 500) return reply.code(400).send(fail('bad-request', error.message))
    onFault(error)
    return reply.code(503).send(fail('unavailable', 'The spool or the event log cannot be used at the moment; see the log of the gateway'))
  })
  app.setNotFoundHandler((_request, reply) => reply.code(404).send(fail('not-found', 'There is no such thing here')))

  await app.register(
    async (control) => {
      const server = control.withTypeProvider<TypeBoxTypeProvider>()
      server.get('/figures', () => figures())
      server.post('/reload', async () => {
        await reload()
        return { done: true }
      })

      server.get('/queue', { schema: { querystring: QueueQuery } }, ({ query }) => queuePage(relay, query))
      server.post('/queue/:id/retry', { schema: { params: QueueIdParams, body: ControlActor } }, async ({ params, body }) => {
        if (!relay.retryNow(params.id, body.by)) throw new ControlFault('busy', `${params.id} does not wait for a retry: it is unknown, held, or under way`)
        return { done: true }
      })
      server.delete('/queue/:id', { schema: { params: QueueIdParams, body: ControlActor } }, async ({ params, body }) => {
        const isRemoved = await relay.remove(params.id, body.by)
        if (!isRemoved) throw new ControlFault('busy', `${params.id} cannot be deleted: it is unknown, held, or under way`)
        return { done: true }
      })

      server.get('/quarantine', { schema: { querystring: QuarantineQuery } }, ({ query }) => quarantine.list(query))
      server.get('/quarantine/:id', { schema: { params: QueueIdParams } }, async ({ params }) => {
        const view = await quarantine.view(params.id)
        if (view === null) throw notHeld(params.id)
        return view
      })
      server.get('/quarantine/:id/raw', { schema: { params: QueueIdParams } }, async ({ params }, reply) => {
        const content = await quarantine.raw(params.id)
        if (content === null) throw notHeld(params.id)
        reply.header('content-type', 'application/octet-stream').header('x-content-type-options', 'nosniff')
        if ('octets' in content) return reply.send(content.octets)
        reply.header('content-length', content.sizeBytes)
        return reply.send(createReadStream(content.path))
      })
      server.post('/quarantine/:id/release', { schema: { params: QueueIdParams, body: ReleaseRequest } }, async ({ params, body }) => {
        const result = await quarantine.release(params.id, body.recipients ?? null, body.by)
        if (result.outcome === 'not-found') throw notHeld(params.id)
        if (result.outcome === 'not-held') {
          throw new ControlFault('bad-request', `It is not held from ${result.addresses.map(visibleText).join(', ')}: name recipients as the quarantine lists them`)
        }
        return { recipients: result.recipients }
      })
      server.delete('/quarantine/:id', { schema: { params: QueueIdParams, body: ControlActor } }, async ({ params, body }) => {
        const outcome = await quarantine.delete(params.id, body.by)
        if (outcome === 'not-found') throw notHeld(params.id)
        if (outcome === 'delivering') {
          throw new ControlFault('busy', `${params.id} is still being delivered to other recipients: delete it when that has ended, or delete it from the queue first`)
        }
        return { done: true }
      })
    },
    { prefix: controlPrefix },
  )
  await app.ready()
  return app
}

function notHeld(queueId: string): ControlFault {
  return new ControlFault('not-found', `${queueId} is not in quarantine`)
}

function queuePage(relay: Relay, query: QueueQuery): QueueList {
  const { items, nextCursor } = newestPage(relay.list(), ({ queueId }) => queueId, {
    limit: query.limit ?? 50,
    cursor: query.cursor,
    isWanted: ({ status }) => status !== 'held' && (query.status === undefined || status === query.status),
  })
  const messages = items.map((entry) => ({
    queueId: entry.queueId,
    sender: visibleText(entry.sender),
    sizeBytes: entry.sizeBytes,
    acceptedAt: new Date(entry.acceptedAtMs).toISOString(),
    status: entry.status === 'active' ? ('active' as const) : ('deferred' as const),
    recipientCount: entry.recipients.length,
    recipients: entry.recipients.slice(0, maxListedRecipients).map(({ address, lastError }) => ({
      address: visibleText(address),
      lastError: lastError === null ? null : visibleText(lastError),
    })),
    attemptCount: entry.attemptCount,
    nextTryAt: entry.nextTryAtMs === null ? null : new Date(entry.nextTryAtMs).toISOString(),
  }))
  return { messages, nextCursor }
}
