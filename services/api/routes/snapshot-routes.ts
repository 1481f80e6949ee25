/**
 * The policy snapshot for gateways on other machines.
 *
 * Why    its own secret and no login: a gateway is nobody who looks at mail. Where the setting `policy.token` is not
 *        set there is no such route, so that nothing is open by default.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import type { SnapshotPublisher } from '../policy/snapshot-publisher.ts'

export function addSnapshotRoutes(server: ApiServer, { config }: ApiContext, snapshots: SnapshotPublisher): void {
  server.get(
    '/policy/snapshot',
    { config: { roles: 'public' }, schema: { summary: 'The published policy, for gateways on other machines (bearer token)' } },
    async (request, reply) => {
      const { token } = config.policy
      if (token === undefined) throw new ApiFault('not-found', 'The setting policy.token is not set here')
      if (!isBearerOf(request.headers.authorization, token))
        throw new ApiFault('not-logged-in', 'Send the token of the setting policy.token: "Authorization: Bearer …"')
      const snapshot = await snapshots.pass()
      if (snapshot === null)
        throw new ApiFault('database-unavailable', 'The policy cannot be read now; keep the one you have', { retryAfterSeconds: 5 })
      const etag = `"${snapshot.hash}"`
      reply.header('etag', etag).header('cache-control', 'no-cache, private')
      if (request.headers['if-none-match'] === etag) return await reply.code(304).send()
      return await reply.type('application/json; charset=utf-8').serializer(String).send(snapshot.text)
    },
  )
}

/** Hashed first, so that the time taken tells neither the length nor a beginning. */
function isBearerOf(given: string | undefined, token: string): boolean {
  return timingSafeEqual(digestOf(given ?? ''), digestOf(`Bearer ${token}`))
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
