/** Login, logout and who is logged in. */
import { Type } from 'typebox'
import { ApiError, LoginRequest, Session } from '../../contracts/api.ts'
import { roles, type Role } from '../../contracts/vocabulary.ts'
import { recordAudit } from '../access/audit.ts'
import { HashQueue } from '../access/hash-queue.ts'
import { LoginLimiter } from '../access/login-limiter.ts'
import { createLoginSession, deleteLoginSession } from '../access/login-session.ts'
import { verifyPassword } from '../../kit/password.ts'
import { clearSessionCookie, loginOfRequest, setSessionCookie } from '../access/route-access.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { tenantSettings } from '../tenant-settings.ts'

export function addSessionRoutes(server: ApiServer, context: ApiContext): void {
  const { database, tenantId, clock } = context
  const limiter = new LoginLimiter()
  const hashes = new HashQueue()

  server.post(
    '/session',
    {
      config: { roles: 'public' },
      schema: { summary: 'Log in', body: LoginRequest, response: { 200: Session, 401: ApiError, 429: ApiError } },
    },
    async (request, reply) => {
      const { name, password } = request.body
      const waitSeconds = limiter.begin(name, request.ip, clock.nowMs())
      if (waitSeconds !== null) {
        const minutes = Math.ceil(waitSeconds / 60)
        throw new ApiFault(
          'too-many-attempts',
          `Too many failed logins: try again in ${minutes} minute${minutes === 1 ? '' : 's'}`,
          { retryAfterSeconds: waitSeconds },
        )
      }
      const account = await database.kysely
        .selectFrom('user_account')
        .select(['name', 'role', 'client_id', 'password_hash'])
        .where('tenant_id', '=', tenantId)
        .where('name', '=', name)
        .executeTakeFirst()
      const isRight = await hashes.run(() => verifyPassword(account?.password_hash ?? null, password))
      if (isRight === null) {
        throw new ApiFault('too-many-attempts', 'Too many logins at once: try again in a moment', {
          retryAfterSeconds: 5,
        })
      }
      if (!isRight || account === undefined) {
        await recordAudit(database, tenantId, {
          actor: name,
          action: 'session.login-failed',
          detail: { ip: request.ip },
        })
        throw new ApiFault('wrong-login', 'Name or password is wrong')
      }
      limiter.succeeded(name, request.ip)
      const { token, csrfToken, expiresAt } = await createLoginSession(
        database,
        tenantId,
        account.name,
        clock.nowMs(),
      )
      await recordAudit(database, tenantId, {
        actor: account.name,
        action: 'session.login',
        detail: { ip: request.ip },
      })
      setSessionCookie(request, reply, token, expiresAt)
      return await sessionOf(context, {
        name: account.name,
        role: account.role,
        clientId: account.client_id,
        csrfToken,
      })
    },
  )

  server.get(
    '/session',
    {
      config: { roles },
      schema: { summary: 'Who is logged in', response: { 200: Session, 401: ApiError } },
    },
    async (request) => await sessionOf(context, loginOfRequest(request)),
  )

  server.delete(
    '/session',
    {
      config: { roles },
      schema: { summary: 'Log out', response: { 204: Type.Null(), 401: ApiError } },
    },
    async (request, reply) => {
      const login = loginOfRequest(request)
      await deleteLoginSession(database, login)
      await recordAudit(database, tenantId, { actor: login.name, action: 'session.logout' })
      clearSessionCookie(request, reply)
      return await reply.code(204).send(null)
    },
  )
}

type Who = { name: string; role: Role; clientId: string | null; csrfToken: string }

async function sessionOf(context: ApiContext, who: Who): Promise<Session> {
  const settings = await tenantSettings(context)
  return {
    name: who.name,
    role: who.role,
    clientId: who.clientId,
    tenantId: context.tenantId,
    csrfToken: who.csrfToken,
    timeZone: settings.timeZone,
    unitBytes: settings.unitBytes,
    currency: settings.currency,
    isDemo: context.isDemo,
    version: context.version,
  }
}
