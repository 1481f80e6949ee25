/**
 * Who may call a route: every route declares `config.roles`, and one that does not cannot be registered.
 *
 * Owns    the session cookie, the check of role and CSRF token before every handler.
 * Why     declared beside the route and enforced in one place, so that a new route cannot forget it; a test walks
 *         the list with every role.
 */
import { timingSafeEqual } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Role } from '../../contracts/vocabulary.ts'
import { ApiFault } from '../api-fault.ts'
import type { ApiContext, ApiServer } from '../api-server.ts'
import { findLoginSession, renewLoginSession, type LoginSession } from './login-session.ts'

/** `public`: without a login. */
export type RouteRoles = readonly Role[] | 'public'

declare module 'fastify' {
  interface FastifyContextConfig {
    roles?: RouteRoles
  }
  interface FastifyRequest {
    /** `null` only on public routes. */
    login: LoginSession | null
  }
}

export const sessionCookie = 'tollgate_session'

export type RouteListEntry = { method: string; url: string; roles: RouteRoles }

/** Must be called before any route is registered. The returned list fills as routes are. */
export function addRouteAccess(server: ApiServer, context: ApiContext): RouteListEntry[] {
  const list: RouteListEntry[] = []
  server.decorateRequest('login', null)
  server.addHook('onRoute', (route) => {
    const roles = route.config?.roles
    if (roles === undefined)
      throw new Error(
        `Route ${String(route.method)} ${route.url} declares no roles: say who may call it in config.roles`,
      )
    for (const method of [route.method].flat()) list.push({ method, url: route.url, roles })
  })
  server.addHook('onRequest', async (request, reply) => {
    // Where no route matches, the answer is the same for everybody.
    const roles = request.routeOptions.config.roles ?? 'public'
    if (isChanging(request) && request.headers['sec-fetch-site'] === 'cross-site') {
      throw new ApiFault('csrf-rejected', 'This request was made by another site')
    }
    if (roles === 'public') return
    const login = await loginOf(request, reply, context)
    if (login === null) throw new ApiFault('not-logged-in', 'Log in first')
    if (isChanging(request) && !isEqual(request.headers['x-csrf-token'], login.csrfToken)) {
      throw new ApiFault(
        'csrf-rejected',
        'The header x-csrf-token is missing or not the one of this session: reload the page',
      )
    }
    if (!roles.includes(login.role)) throw new ApiFault('not-allowed', `The role ${login.role} may not do this`)
    request.login = login
  })
  return list
}

/** The session of the one who calls, on routes that are not public. */
export function loginOfRequest(request: FastifyRequest): LoginSession {
  if (request.login === null) throw new Error('A handler of a public route asked who is logged in')
  return request.login
}

async function loginOf(
  request: FastifyRequest,
  reply: FastifyReply,
  context: ApiContext,
): Promise<LoginSession | null> {
  const token = request.cookies[sessionCookie]
  if (token === undefined) return null
  const nowMs = context.clock.nowMs()
  const session = await findLoginSession(context.database, context.tenantId, token, nowMs)
  if (session === null) return null
  const renewedUpto = await renewLoginSession(context.database, session, nowMs)
  if (renewedUpto !== null) setSessionCookie(request, reply, token, renewedUpto)
  return session
}

export function setSessionCookie(request: FastifyRequest, reply: FastifyReply, token: string, expiresAt: Date): void {
  reply.setCookie(sessionCookie, token, { ...cookieForm(request), expires: expiresAt })
}

export function clearSessionCookie(request: FastifyRequest, reply: FastifyReply): void {
  reply.clearCookie(sessionCookie, cookieForm(request))
}

function cookieForm(request: FastifyRequest) {
  return { path: '/', httpOnly: true, sameSite: 'strict', secure: request.protocol === 'https' } as const
}

function isChanging(request: FastifyRequest): boolean {
  return !['GET', 'HEAD', 'OPTIONS'].includes(request.method)
}

function isEqual(given: string | string[] | undefined, expected: string): boolean {
  if (typeof given !== 'string' || given.length !== expected.length) return false
  const bytes = Buffer.from(given)
  return bytes.length === expected.length && timingSafeEqual(bytes, Buffer.from(expected))
}
