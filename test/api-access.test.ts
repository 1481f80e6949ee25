/** Who may do what: login, sessions, CSRF, roles of every route, what is recorded. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import fastify from 'fastify'
import { createUser } from '../services/api/access/create-user.ts'
import { loginLimits } from '../services/api/access/login-limiter.ts'
import { addRouteAccess } from '../services/api/access/route-access.ts'
import type { ApiServer } from '../services/api/api-server.ts'
import { sessionLimits } from '../services/api/access/login-session.ts'
import { apiErrorCodes } from '../services/contracts/api.ts'
import { roles } from '../services/contracts/vocabulary.ts'
import { createApiFixture, testNowMs, testPassword, type ApiFixture } from './api-fixture.ts'

let api: ApiFixture
beforeAll(async () => {
  api = await createApiFixture({ clients: [{ id: 'acme', name: 'Acme', addresses: ['ann@corp.test'] }] })
  for (const role of roles) await api.addUser(`${role}-user`, role, role === 'client' ? 'acme' : undefined)
})
afterAll(async () => await api.close())
beforeEach(() => api.clock.set(testNowMs))

const tryLogin = async (name: string, password: string, ip = '127.0.0.1') => {
  const reply = await api.server.inject({
    method: 'POST',
    url: '/api/v1/session',
    payload: { name, password },
    remoteAddress: ip,
  })
  return {
    status: reply.statusCode,
    code: (reply.json() as { error?: { code: string } }).error?.code,
    headers: reply.headers,
    text: reply.body,
  }
}

const isLogout = (route: { method: string; url: string }) => route.method === 'DELETE' && route.url.endsWith('/session')

describe('every route', () => {
  /** Whom each route lets in; a new route must be entered here. */
  const expected: Record<string, 'public' | readonly string[]> = {
    'POST /api/v1/session': 'public',
    'GET /api/v1/session': roles,
    'DELETE /api/v1/session': roles,
    'GET /api/v1/messages': roles,
    'GET /api/v1/messages/histogram': roles,
    'GET /api/v1/messages/:id': roles,
    'GET /api/v1/live': roles,
    'GET /api/v1/log': ['admin', 'operator'],
    'GET /api/v1/log/rejected': ['admin', 'operator'],
    'POST /api/v1/log/gaps': ['admin'],
    'GET /api/v1/usage': ['admin', 'accountant', 'viewer', 'client'],
    'GET /api/v1/usage/periods': ['admin', 'accountant', 'viewer', 'client'],
    'GET /api/v1/clients': ['admin', 'accountant', 'viewer'],
    'GET /api/v1/clients/:id': ['admin', 'accountant', 'viewer'],
    'GET /api/v1/clients/export': ['admin', 'accountant', 'viewer'],
    'POST /api/v1/clients/import': ['admin', 'accountant'],
    'POST /api/v1/clients': ['admin', 'accountant'],
    'PATCH /api/v1/clients/:id': ['admin', 'accountant'],
    'POST /api/v1/clients/:id/addresses': ['admin', 'accountant'],
    'DELETE /api/v1/clients/:id/addresses/:address': ['admin', 'accountant'],
    'GET /api/v1/savings': ['admin', 'operator', 'accountant', 'viewer'],
    'GET /api/v1/tariffs': ['admin', 'accountant', 'viewer'],
    'POST /api/v1/tariffs': ['admin', 'accountant'],
    'GET /api/v1/tariffs/:id': ['admin', 'accountant', 'viewer'],
    'POST /api/v1/tariffs/:id/versions': ['admin', 'accountant'],
    'PUT /api/v1/clients/:id/tariff': ['admin', 'accountant'],
    'POST /api/v1/tariffs/simulations': ['admin', 'accountant', 'viewer'],
    'GET /api/v1/periods': ['admin', 'accountant', 'viewer'],
    'GET /api/v1/periods/:label': ['admin', 'accountant', 'viewer'],
    'POST /api/v1/periods/:label/close': ['admin', 'accountant'],
    'GET /api/v1/corrections': ['admin', 'accountant', 'viewer'],
    'POST /api/v1/corrections': ['admin', 'accountant'],
    'GET /api/v1/statements': ['admin', 'accountant', 'viewer', 'client'],
    'GET /api/v1/statements/:id': ['admin', 'accountant', 'viewer', 'client'],
    'GET /api/v1/statements/:id/lines/:line/messages': ['admin', 'accountant', 'viewer', 'client'],
    'GET /api/v1/messages/:id/statement-lines': ['admin', 'accountant', 'viewer', 'client'],
    'GET /api/v1/overview': ['admin', 'operator', 'accountant', 'viewer'],
    'GET /api/v1/analytics/traffic': ['admin', 'operator', 'accountant', 'viewer'],
    'GET /api/v1/analytics/rules': ['admin', 'operator', 'viewer'],
    'POST /api/v1/erasures': ['admin'],
    'GET /api/v1/erasures': ['admin'],
    'GET /api/v1/gateways': ['admin', 'operator'],
    'GET /api/v1/gateways/:node/queue': ['admin', 'operator'],
    'POST /api/v1/gateways/:node/queue/:id/retry': ['admin', 'operator'],
    'DELETE /api/v1/gateways/:node/queue/:id': ['admin', 'operator'],
    'GET /api/v1/gateways/:node/quarantine': ['admin', 'operator'],
    'GET /api/v1/gateways/:node/quarantine/:id': ['admin', 'operator'],
    'GET /api/v1/gateways/:node/quarantine/:id/raw': ['admin', 'operator'],
    'POST /api/v1/gateways/:node/quarantine/:id/release': ['admin', 'operator'],
    'DELETE /api/v1/gateways/:node/quarantine/:id': ['admin', 'operator'],
    'POST /api/v1/backtests': ['admin', 'operator'],
    'GET /api/v1/backtests': ['admin', 'operator', 'viewer'],
    'GET /api/v1/backtests/:id': ['admin', 'operator', 'viewer'],
    'GET /api/v1/backtests/:id/messages': ['admin', 'operator', 'viewer'],
    'DELETE /api/v1/backtests/:id': ['admin', 'operator'],
    'GET /api/v1/rules': ['admin', 'operator', 'viewer'],
    'PUT /api/v1/rules': ['admin', 'operator'],
    'POST /api/v1/rules/check': ['admin', 'operator', 'viewer'],
    'POST /api/v1/rules/explain': ['admin', 'operator', 'viewer'],
    'POST /api/v1/rulesets': ['admin', 'operator'],
    'GET /api/v1/rulesets': ['admin', 'operator', 'viewer'],
    'GET /api/v1/rulesets/:version': ['admin', 'operator', 'viewer'],
    'GET /api/v1/rulesets/:version/diff': ['admin', 'operator', 'viewer'],
    'GET /api/v1/policy/snapshot': 'public',
    'GET /api/v1/openapi.json': 'public',
    'GET /healthz': 'public',
    'GET /readyz': 'public',
    'GET /metrics': 'public',
    'GET /*': 'public',
  }

  it('lets in exactly the roles that are listed for it', async () => {
    const routes = api.routes.filter((route) => route.method !== 'HEAD')
    expect(Object.fromEntries(routes.map((route) => [`${route.method} ${route.url}`, route.roles]))).toEqual(expected)
    for (const role of roles) {
      const caller = await api.login(`${role}-user`)
      // Logging out comes last: it ends the login.
      for (const route of routes.toSorted(
        (one, other) => Number(isLogout(one)) - Number(isLogout(other)),
      )) {
        const url = `${route.url.replace(':id', '01a12eb5-beef-73c0-a322-9adeb1d5caee').replace('*', 'x')}${route.url.endsWith('/usage') ? '?period=2026-10' : ''}${route.url.endsWith('/live') ? '?q=(' : ''}`
        const reply = await api.server.inject({
          method: route.method as 'GET',
          url,
          headers: { cookie: caller.cookie, 'x-csrf-token': caller.session.csrfToken },
        })
        const isAllowed = route.roles === 'public' || route.roles.includes(role)
        expect(reply.statusCode === 403, `${role} ${route.method} ${url}: ${reply.body.slice(0, 200)}`).toBe(
          !isAllowed,
        )
        if (route.roles !== 'public') {
          const anonymous = await api.server.inject({ method: route.method as 'GET', url })
          expect(anonymous.json().error.code, url).toBe('not-logged-in')
        }
      }
    }
  })

  it('that declares no roles cannot be registered', async () => {
    const server = fastify() as unknown as ApiServer
    addRouteAccess(server, {} as never)
    expect(() => server.get('/open', async () => 'x')).toThrow(/GET \/open declares no roles/)
    expect(() => server.get('/closed', { config: { roles: ['admin'] } }, async () => 'x')).not.toThrow()
    await server.close()
  })

  it('sends headers under which no foreign code can run and nothing is kept', async () => {
    const caller = await api.login('admin-user')
    for (const url of ['/messages', '/session', '/nothing-here']) {
      const { headers } = await caller.get(url)
      expect(headers['content-security-policy']).toMatch(/^default-src 'self'; /)
      expect(headers['content-security-policy']).not.toMatch(/unsafe|\*/)
      expect(headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cache-control': 'no-store',
      })
    }
  })

  it('answers errors in one shape, with a code of the list', async () => {
    const caller = await api.login('admin-user')
    const answers = await Promise.all([
      caller.get('/nothing'),
      caller.get('/messages?q=('),
      caller.get('/usage?period=x'),
      caller.get('/usage'),
      caller.call('POST', '/session', { body: '{' }),
      caller.call('DELETE', '/session', { csrfToken: null }),
      caller.call('PUT', '/session'),
    ])
    for (const answer of answers) {
      const { error } = answer.json()
      expect(apiErrorCodes[error.code as keyof typeof apiErrorCodes], answer.text).toBe(answer.status)
      expect(error.message).toMatch(/\w/)
    }
    expect(answers.map((answer) => answer.json().error.code)).toEqual([
      'not-found',
      'bad-query',
      'bad-period',
      'bad-request',
      'bad-request',
      'csrf-rejected',
      'not-found',
    ])
  })
})

describe('a login', () => {
  it('sets a cookie that scripts and other sites cannot use, and keeps only its hash', async () => {
    const reply = await tryLogin('admin-user', testPassword)
    const cookie = String(reply.headers['set-cookie'])
    expect(cookie).toMatch(/^tollgate_session=[\w-]{43}; /)
    expect(cookie).toMatch(/; HttpOnly/)
    expect(cookie).toMatch(/; SameSite=Strict/)
    expect(cookie).not.toMatch(/; Secure/)
    const token = /=([\w-]{43})/.exec(cookie)![1]!
    expect(reply.text).not.toContain(token)
    const { rows } = await api.test.database.pool.query(
      `select 1 from login_session where encode(token_hash, 'escape') like $1 or csrf_token = $2`,
      [`%${token}%`, token],
    )
    expect(rows).toEqual([])
  })

  it('marks the cookie Secure where the browser came by https', async () => {
    const reply = await api.server.inject({
      method: 'POST',
      url: '/api/v1/session',
      payload: { name: 'admin-user', password: testPassword },
      headers: { 'x-forwarded-proto': 'https' },
      remoteAddress: '127.0.0.1',
    })
    expect(String(reply.headers['set-cookie'])).toMatch(/; Secure/)
    expect(reply.headers['strict-transport-security']).toBeDefined()
  })

  it('answers an unknown name exactly as a wrong password', async () => {
    const wrong = await tryLogin('viewer-user', 'nonsense', '192.0.2.1')
    const unknown = await tryLogin('who-is-that', 'nonsense', '192.0.2.1')
    expect(wrong.status).toBe(401)
    expect(unknown.text).toBe(wrong.text)
  })

  it('stops a name after some failures from anywhere, and lets it in again after the window', async () => {
    for (let index = 0; index < loginLimits.failuresPerName; index += 1) {
      expect((await tryLogin('operator-user', 'nonsense', `198.51.100.${index}`)).code).toBe('wrong-login')
    }
    const stopped = await tryLogin('operator-user', testPassword, '198.51.100.200')
    expect(stopped.code).toBe('too-many-attempts')
    expect(Number(stopped.headers['retry-after'])).toBeGreaterThan(0)
    expect((await tryLogin('accountant-user', testPassword, '198.51.100.200')).status).toBe(200)
    api.clock.set(testNowMs + loginLimits.windowMs)
    expect((await tryLogin('operator-user', testPassword, '198.51.100.200')).status).toBe(200)
  })

  it('stops an ip after some failures with any names, also when all are tried at once', async () => {
    const tries = Array.from({ length: loginLimits.failuresPerIp + 10 }, (_, index) =>
      tryLogin(`guess-${index}`, 'nonsense', '203.0.113.50'),
    )
    const codes = (await Promise.all(tries)).map((reply) => reply.code)
    expect(codes.filter((code) => code === 'wrong-login')).toHaveLength(loginLimits.failuresPerIp)
    expect(codes.filter((code) => code === 'too-many-attempts')).toHaveLength(10)
    expect((await tryLogin('viewer-user', testPassword, '203.0.113.50')).code).toBe('too-many-attempts')
  })

  it('is refused when another site sent it', async () => {
    const reply = await api.server.inject({
      method: 'POST',
      url: '/api/v1/session',
      payload: { name: 'admin-user', password: testPassword },
      headers: { 'sec-fetch-site': 'cross-site' },
    })
    expect(reply.json().error.code).toBe('csrf-rejected')
  })

  it('is recorded, as are failures and logout', async () => {
    const caller = await api.login('viewer-user')
    await tryLogin('viewer-user', 'nonsense', '192.0.2.77')
    await caller.call('DELETE', '/session')
    const { rows } = await api.test.database.pool.query(
      `select actor, action, detail->>'ip' as ip from audit_record where actor = 'viewer-user' order by audit_id desc limit 3`,
    )
    expect(rows).toEqual([
      { actor: 'viewer-user', action: 'session.logout', ip: null },
      { actor: 'viewer-user', action: 'session.login-failed', ip: '192.0.2.77' },
      { actor: 'viewer-user', action: 'session.login', ip: '127.0.0.1' },
    ])
  })
})

describe('a session', () => {
  it('ends at logout, for whoever kept its cookie', async () => {
    const caller = await api.login('admin-user')
    expect((await caller.get('/session')).status).toBe(200)
    const out = await caller.call('DELETE', '/session')
    expect(out.status).toBe(204)
    expect(String(out.headers['set-cookie'])).toMatch(/tollgate_session=;/)
    expect((await caller.get('/session')).json().error.code).toBe('not-logged-in')
  })

  it('changes something only with its own token', async () => {
    const caller = await api.login('admin-user')
    const other = await api.login('admin-user')
    for (const csrfToken of [null, '', 'x', other.session.csrfToken, `${caller.session.csrfToken}x`]) {
      expect((await caller.call('DELETE', '/session', { csrfToken })).json().error.code, String(csrfToken)).toBe(
        'csrf-rejected',
      )
    }
    expect((await caller.call('DELETE', '/session')).status).toBe(204)
  })

  it('ends when it was not used for a while, is renewed by use, and never lives past its longest time', async () => {
    const idle = await api.login('admin-user')
    const used = await api.login('admin-user')
    api.clock.set(testNowMs + sessionLimits.idleMs - 1)
    const renewed = await used.get('/session')
    expect(renewed.status).toBe(200)
    expect(String(renewed.headers['set-cookie'])).toMatch(/^tollgate_session=[\w-]{43}; .*HttpOnly/)
    api.clock.set(testNowMs + sessionLimits.idleMs)
    expect((await idle.get('/session')).status).toBe(401)
    expect((await used.get('/session')).headers['set-cookie']).toBeUndefined()
    for (
      let timeMs = testNowMs + sessionLimits.idleMs;
      timeMs < testNowMs + sessionLimits.longestMs;
      timeMs += sessionLimits.idleMs / 2
    ) {
      api.clock.set(timeMs)
      expect((await used.get('/session')).status).toBe(200)
    }
    api.clock.set(testNowMs + sessionLimits.longestMs)
    expect((await used.get('/session')).status).toBe(401)
  })

  it('follows a change of its role at once, and ends when the password changes', async () => {
    await api.addUser('moving', 'admin')
    const caller = await api.login('moving')
    expect((await caller.get('/usage/periods')).status).toBe(200)
    await api.test.database.pool.query(`update user_account set role = 'operator' where name = 'moving'`)
    expect((await caller.get('/usage/periods')).json().error.code).toBe('not-allowed')
    await api.addUser('moving', 'admin')
    expect((await caller.get('/session')).json().error.code).toBe('not-logged-in')
  })

  it('of another tenant is none', async () => {
    const caller = await api.login('admin-user')
    await api.test.database.pool.query(
      `insert into tenant (tenant_id, recipient_key) values ('other', '\\x00') on conflict do nothing`,
    )
    await api.test.database.pool.query(
      `insert into user_account (tenant_id, name, role, password_hash) select 'other', name, role, password_hash from user_account where name = 'admin-user' and tenant_id = 'main'`,
    )
    await api.test.database.pool.query(`update login_session set tenant_id = 'other' where csrf_token = $1`, [
      caller.session.csrfToken,
    ])
    expect((await caller.get('/session')).status).toBe(401)
  })
})

describe('a request that nobody can mean', () => {
  it('is told that it holds a NUL, with a login and without, and is no mistake of ours', async () => {
    const answer = await api.server.inject({
      method: 'POST',
      url: '/api/v1/session',
      payload: { name: 'a\0', password: 'b' },
    })
    expect(answer.statusCode).toBe(400)
    expect(answer.json().error).toMatchObject({ code: 'bad-request', message: expect.stringContaining('body.name') })
    const admin = await api.login('admin-user')
    for (const path of ['/messages?q=from:a%00b', '/messages/histogram?q=%00', '/usage?period=2026-11&client=%00']) {
      const reply = await admin.get(path)
      expect(reply.status, path).toBe(400)
    }
  })

  it('is answered in the one shape of errors where its address cannot be decoded', async () => {
    const answer = await api.server.inject({ method: 'GET', url: '/api/v1/messages/%ff' })
    expect(answer.statusCode).toBe(400)
    expect(answer.json().error.code).toBe('bad-request')
  })
})

describe('looking at a message', () => {
  it('is recorded with who looked at what', async () => {
    const body = api.log.transactionBody()
    await api.ingest([...api.log.segmentStart(), api.log.line(body)])
    const caller = await api.login('viewer-user')
    expect((await caller.get(`/messages/${body.transactionId}`)).status).toBe(200)
    const { rows } = await api.test.database.pool.query(
      `select actor, subject from audit_record where action = 'message.read'`,
    )
    expect(rows).toEqual([{ actor: 'viewer-user', subject: body.transactionId }])
  })
})

describe('a new user', () => {
  it('with something wrong is refused with one sentence, and nothing is stored', async () => {
    const { database } = api.test
    const wrong: [Partial<Parameters<typeof createUser>[2]>, RegExp][] = [
      [{ name: '' }, /1 to 100/],
      [{ name: 'a\u0007' }, /control/],
      [{ name: 'a\u202eb' }, /control/],
      [{ role: 'boss' as never }, /no role "boss"/],
      [{ role: 'client' }, /--client ID/],
      [{ clientId: 'acme' }, /Only the role client/],
      [{ role: 'client', clientId: 'nobody' }, /no client "nobody"/],
      [{ password: 'short' }, /at least 8/],
    ]
    for (const [change, message] of wrong) {
      await expect(
        createUser(database, 'main', {
          name: 'newcomer',
          role: 'viewer',
          clientId: null,
          password: 'long enough',
          ...change,
        }),
      ).rejects.toThrow(message)
    }
    const { rows } = await database.pool.query(`select from user_account where name = 'newcomer'`)
    expect(rows).toEqual([])
  })

  it('is new once, and keeps no password that could be read', async () => {
    const { database } = api.test
    const user = { name: 'newcomer', role: 'viewer' as const, clientId: null, password: 'tromplöse Überraschung' }
    expect(await createUser(database, 'main', user)).toEqual({ isNew: true })
    expect(await createUser(database, 'main', user)).toEqual({ isNew: false })
    const { rows } = await database.pool.query<{ hash: string }>(
      `select password_hash as hash from user_account where name = 'newcomer'`,
    )
    expect(rows[0]!.hash).toMatch(/^scrypt\$32768\$8\$1\$[\w-]{22}\$[\w-]{43}$/)
    // Composed or decomposed, as another keyboard would write it.
    expect((await tryLogin('newcomer', user.password.normalize('NFD'))).status).toBe(200)
  })
})
