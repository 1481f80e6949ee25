/** The api over a real socket while its own Postgres goes away and comes back; and the web files it serves. */
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile, chmod } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createUser } from '../services/api/access/create-user.ts'
import { buildApp } from '../services/api/app.ts'
import { startApi } from '../services/api/main.ts'
import type { Session } from '../services/contracts/api.ts'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../services/database/embedded-postgres.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { migrate } from '../services/database/migrate.ts'
import { openDatabase, type Database } from '../services/database/open-database.ts'
import { systemClock } from '../services/kit/clock.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { testConfig, testPassword } from './api-fixture.ts'

const log = openOperatorLog('api', { level: 'silent' })

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('the api over a socket', () => {
  let folder: string
  let postgres: EmbeddedPostgres
  let database: Database
  let api: Awaited<ReturnType<typeof startApi>>
  const options = () => ({ folder: path.join(folder, 'postgres'), isThrowAway: true, port })
  let port: number

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-api-outage-'))
    await chmod(folder, 0o755)
    port = await freePort()
    postgres = await startEmbeddedPostgres(options())
    await migrate(postgres.url)
    database = openDatabase(postgres.url, { applicationName: 'api test' })
    await ensureTenant(database, 'main')
    await createUser(database, 'main', { name: 'root', role: 'admin', clientId: null, password: testPassword })
    api = await startApi({ config: testConfig(), database, log, isDemo: true })
  })
  afterAll(async () => {
    await api.stop()
    await database.close()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const login = () =>
    fetch(`${api.url}/api/v1/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'root', password: testPassword }),
    })

  it('answers 503 while Postgres is away and goes on without a restart when it is back', async () => {
    const first = await login()
    expect(((await first.json()) as Session).isDemo).toBe(true)
    const headers = { cookie: first.headers.get('set-cookie')!.split(';')[0]! }
    const paths = [
      'session',
      'messages',
      'messages/histogram',
      'messages/01a12eb5-beef-73c0-a322-9adeb1d5caee',
      'overview',
      'usage?period=2026-10',
      'usage/periods',
    ]
    expect((await fetch(`${api.url}/readyz`)).status).toBe(200)

    await postgres.stop()
    for (const one of paths) {
      const answer = await fetch(`${api.url}/api/v1/${one}`, { headers })
      expect(answer.status, one).toBe(503)
      expect(answer.headers.get('retry-after')).not.toBeNull()
      expect(((await answer.json()) as { error: { code: string } }).error.code).toBe('database-unavailable')
    }
    expect((await login()).status).toBe(503)
    expect((await fetch(`${api.url}/readyz`)).status).toBe(503)
    const health = await fetch(`${api.url}/healthz`)
    expect([health.status, await health.json()]).toEqual([
      200,
      { status: 'degraded', version: expect.any(String), database: 'down' },
    ])
    expect(await (await fetch(`${api.url}/metrics`)).text()).toMatch(/^tollgate_database_up 0$/m)

    postgres = await startEmbeddedPostgres(options())
    for (const one of ['session', 'messages', 'overview'])
      expect((await fetch(`${api.url}/api/v1/${one}`, { headers })).status, one).toBe(200)
    expect((await login()).status).toBe(200)
    expect(await (await fetch(`${api.url}/metrics`)).text()).toMatch(
      /^tollgate_http_requests_total\{method="GET",route="\/api\/v1\/messages",status="503"\} 1$/m,
    )
  })

  it('answers usage of an installation where nothing was metered yet', async () => {
    const first = await login()
    const headers = { cookie: first.headers.get('set-cookie')!.split(';')[0]! }
    expect(await (await fetch(`${api.url}/api/v1/usage/periods`, { headers })).json()).toEqual({
      labels: [],
      timeZone: 'UTC',
    })
    expect((await fetch(`${api.url}/api/v1/usage?period=2026-10`, { headers })).status).toBe(404)
  })

  it('tells a search that took too long from a database that is away', async () => {
    const hasty = openDatabase(postgres.url, { applicationName: 'api test', statementTimeoutMs: 500 })
    const owner = openDatabase(postgres.url, { applicationName: 'api test', role: 'owner', maxConnections: 1 })
    const other = await startApi({ config: testConfig(), database: hasty, log, isDemo: false })
    const headers = { cookie: (await login()).headers.get('set-cookie')!.split(';')[0]! }
    await owner.pool.query('begin; lock table mail_transaction in access exclusive mode')
    const answer = await fetch(`${other.url}/api/v1/messages`, { headers })
    await owner.pool.query('rollback')
    expect([answer.status, ((await answer.json()) as { error: { code: string } }).error.code]).toEqual([
      503,
      'query-timeout',
    ])
    expect((await fetch(`${other.url}/api/v1/messages`, { headers })).status).toBe(200)
    await other.stop()
    await Promise.all([hasty.close(), owner.close()])
  })

  it('stops although a browser holds connections open and one answer is not read', async () => {
    const other = await startApi({ config: testConfig(), database, log, isDemo: false })
    const { hostname, port: otherPort } = new URL(other.url)
    const sockets = [connect(Number(otherPort), hostname), connect(Number(otherPort), hostname)]
    await Promise.all(sockets.map((socket) => once(socket, 'connect')))
    sockets[1]!.write(
      'POST /api/v1/session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
    )
    const closed = sockets.map(
      (socket) => new Promise((resolve) => socket.on('error', () => {}).once('close', resolve)),
    )
    await Promise.all([other.stop(), ...closed])
    await other.stop()
  })

  it('says in one sentence which setting to change where it cannot listen', async () => {
    const taken = api.url.replace('http://', '')
    const start = (listen: string) =>
      startApi({ config: testConfig({ http: { listen } }), database, log, isDemo: false })
    await expect(start(taken)).rejects.toThrow(
      `http.listen: ${taken} is in use by another program: stop it, or set http.listen (or TOLLGATE_HTTP_LISTEN) to another one`,
    )
    await expect(start('192.0.2.1:0')).rejects.toThrow(/^http\.listen: 192\.0\.2\.1:0 is no address of this machine/)
  })
})

describe('the web interface', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-web-'))
  })
  afterAll(async () => await rm(folder, { recursive: true, force: true }))

  const appOn = async (webFolder: string) => {
    const nowhere = openDatabase('postgres://nobody@127.0.0.1:1/none', { applicationName: 'test' })
    const { server } = await buildApp(
      { config: testConfig(), database: nowhere, tenantId: 'main', isDemo: false, version: 'x', clock: systemClock },
      { log, webFolder },
    )
    server.addHook('onClose', async () => await nowhere.close())
    return server
  }

  it('says which command builds it where it is not built', async () => {
    const server = await appOn(path.join(folder, 'missing'))
    const answer = await server.inject('/')
    expect([answer.statusCode, answer.headers['content-type'], answer.body]).toEqual([
      503,
      'text/plain; charset=utf-8',
      expect.stringContaining('npm run build:web'),
    ])
    await server.close()
  })

  it('keeps hashed files for ever, the page never, and gives the page for every path of the application', async () => {
    await mkdir(path.join(folder, 'web', 'assets'), { recursive: true })
    await writeFile(path.join(folder, 'web', 'index.html'), '<!doctype html><title>Tollgate</title>')
    await writeFile(path.join(folder, 'web', 'assets', 'main-abc123.js'), 'export {}')
    await writeFile(path.join(folder, 'secret.txt'), 'secret')
    const server = await appOn(path.join(folder, 'web'))
    for (const url of ['/', '/trace', '/messages/01a12eb5-beef-73c0-a322-9adeb1d5caee?q=a', '/index.html']) {
      const page = await server.inject(url)
      expect([page.statusCode, page.headers['cache-control'], page.body], url).toEqual([
        200,
        'no-cache',
        expect.stringContaining('<title>Tollgate'),
      ])
      expect(page.headers['content-type']).toMatch(/^text\/html/)
      expect(page.headers['content-security-policy']).toMatch(/default-src 'self'/)
    }
    const script = await server.inject('/assets/main-abc123.js')
    expect([script.statusCode, script.headers['cache-control']]).toEqual([200, 'public, max-age=31536000, immutable'])
    for (const url of [
      '/assets/gone.js',
      '/../secret.txt',
      '/%2e%2e/secret.txt',
      '/..%2fsecret.txt',
      '/assets/..%2f..%2fsecret.txt',
      '/api',
      '/api/v1/nothing',
      '/api/v2/messages',
    ]) {
      const missing = await server.inject(url)
      expect(missing.body, url).not.toMatch(/secret$|<title>/)
      expect(missing.statusCode, url).toBe(404)
    }
    await server.close()
  })
})
