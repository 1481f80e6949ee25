/** From a publication over HTTP to the message that is judged by it, with the processes in between dying. Needs a build. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { createUser } from '../services/api/access/create-user.ts'
import type { TransactionEnded } from '../services/contracts/event.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { startGateway, type RunningGateway } from '../services/gateway/main.ts'
import type { Config } from '../services/kit/config.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { configOf } from './gateway-harness.ts'
import { startTollgate, whenTrue } from './harness/tollgate-command.ts'
import { sendMessage } from './send-message.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

vi.setConfig({ testTimeout: 300_000 })

const token = 'a-token-of-twenty-letters'
const password = 'a long enough password'
const refusing = (word: string) =>
  `rules:\n  - {id: ${word}, revision: 1, name: ${word}, stage: complete, mode: active, when: {attribute: subject, matches: ${word}}, then: {reject: {text: no ${word}}}}\n`

type Api = { url: string; kill(): Promise<void>; call(method: string, route: string, body?: object): Promise<any> }

let folder: string
let data: string
let test: TestDatabase
let complaints: string
const gateways: RunningGateway[] = []
const apis: Api[] = []

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-publishing-'))
  data = path.join(folder, 'data')
  complaints = ''
  test = await createTestDatabase()
  await ensureTenant(test.database, 'main')
  await createUser(test.database, 'main', { name: 'ann', password, role: 'operator', clientId: null })
  await writeFile(path.join(folder, 'tollgate.yaml'), `data: ${data}\nhttp: {listen: '127.0.0.1:0'}\npolicy: {token: ${token}}\n`)
  return async () => {
    for (const gateway of gateways.splice(0)) await gateway.stop()
    for (const api of apis.splice(0)) await api.kill()
    await test.drop()
    await rm(folder, { recursive: true })
  }
})
afterEach(() => vi.restoreAllMocks())

async function startApi(): Promise<Api> {
  const child = startTollgate(['api', '--config', 'tollgate.yaml'], {
    folder,
    environment: { TOLLGATE_DATABASE_URL: test.url, TOLLGATE_LOG_FORMAT: 'json' },
  })
  const told = () => `${child.output().stdout}${child.output().stderr}`
  const ready = () => /"url":"(http:[^"]+)"/.exec(told())?.[1]
  await whenTrue(() => ready() !== undefined || child.exitCode !== null)
  const url = ready()
  if (url === undefined) throw new Error(told())
  const login = await fetch(`${url}/api/v1/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'ann', password }),
  })
  const headers = {
    'content-type': 'application/json',
    cookie: login.headers.getSetCookie()[0]!.split(';')[0]!,
    'x-csrf-token': ((await login.json()) as { csrfToken: string }).csrfToken,
  }
  const api: Api = {
    url,
    kill: async () => {
      child.kill('SIGKILL')
      await child.finished
    },
    call: async (method, route, body) => {
      const sent = body === undefined ? {} : { body: JSON.stringify(body) }
      return await (await fetch(`${url}/api/v1${route}`, { method, headers, ...sent })).json()
    },
  }
  apis.push(api)
  return api
}

async function openGateway(settings: Partial<Config> = {}): Promise<RunningGateway> {
  const stream = new Writable({ write: (chunk, _encoding, done) => void ((complaints += String(chunk)), done()) })
  const config = configOf(`smtp: {listen: ['127.0.0.1:0']}\nrecipients: {mode: domains, domains: [example.com]}`)
  const log = openOperatorLog('gateway', { stream, format: 'json', level: 'info' })
  const gateway = await startGateway({ config: { ...config, data, ...settings }, log })
  gateways.push(gateway)
  return gateway
}
async function stop(gateway: RunningGateway): Promise<void> {
  gateways.splice(gateways.indexOf(gateway), 1)
  await gateway.stop()
}
const answer = (gateway: RunningGateway, subject: string) => sendMessage(gateway.addresses[0]!, `Subject: ${subject}\r\n\r\nx\r\n`)
const refuses = async (gateway: RunningGateway, word: string) => (await answer(gateway, word)).endsWith(`no ${word}`)

async function lastTransaction(dataFolder = data): Promise<TransactionEnded> {
  const lines: TransactionEnded[] = []
  for (const name of await readdir(path.join(dataFolder, 'events')))
    for (const line of (await readFile(path.join(dataFolder, 'events', name), 'utf8')).split('\n'))
      if (line.includes('"kind":"transaction.ended"')) lines.push(JSON.parse(line) as TransactionEnded)
  return lines.toSorted((one, other) => one.seq - other.seq).at(-1)!
}

it('a publication judges mail within a poll, under its hash, and going back gives the hash of before', async () => {
  const api = await startApi()
  const gateway = await openGateway()
  expect(await answer(gateway, 'casino')).toMatch(/^250/)
  const first = await api.call('POST', '/rulesets', { text: refusing('casino'), baseVersion: 0 })
  await whenTrue(() => refuses(gateway, 'casino'))
  expect((await lastTransaction()).rulesetHash).toBe(first.hash)
  await api.call('POST', '/rulesets', { text: refusing('poker'), baseVersion: 1 })
  await whenTrue(() => refuses(gateway, 'poker'))
  expect(await answer(gateway, 'casino')).toMatch(/^250/)
  await api.call('POST', '/rulesets', { revertTo: 1, baseVersion: 2 })
  await whenTrue(() => refuses(gateway, 'casino'))
  expect((await lastTransaction()).rulesetHash).toBe(first.hash)
})

it('a publication whose api was killed behind the commit and before the file is in force after its next start', async () => {
  const api = await startApi()
  const gateway = await openGateway()
  await api.call('POST', '/rulesets', { text: refusing('casino'), baseVersion: 0 })
  await whenTrue(() => refuses(gateway, 'casino'))
  const holding = await test.database.pool.connect()
  await holding.query(`select pg_advisory_lock(hashtext('tollgate policy snapshot'), hashtext('main'))`)
  const lost = api.call('POST', '/rulesets', { text: refusing('poker'), baseVersion: 1 }).catch(() => 'killed')
  const versions = async () => (await test.database.pool.query('select version from ruleset_version')).rows.length
  await whenTrue(async () => (await versions()) === 2)
  await api.kill()
  expect(await lost).toBe('killed')
  await holding.query('select pg_advisory_unlock_all()')
  holding.release()
  await gateway.reload()
  expect(await answer(gateway, 'poker')).toMatch(/^250/)
  await startApi()
  await whenTrue(() => refuses(gateway, 'poker'))
})

it('a gateway starts with what was published while api and database are away', async () => {
  const api = await startApi()
  const gateway = await openGateway()
  await api.call('POST', '/rulesets', { text: refusing('casino'), baseVersion: 0 })
  await whenTrue(() => refuses(gateway, 'casino'))
  await stop(gateway)
  await api.kill()
  const database = 'postgres://127.0.0.1:1/nowhere'
  const again = await openGateway({ database })
  expect(await refuses(again, 'casino')).toBe(true)
  await stop(again)
  await rm(path.join(data, 'policy', 'published'), { recursive: true })
  expect(await refuses(await openGateway({ database }), 'casino')).toBe(true)
})

it('a gateway on another machine takes it over HTTP, and starts from what it kept while that machine is away', async () => {
  const api = await startApi()
  await api.call('POST', '/rulesets', { text: refusing('casino'), baseVersion: 0 })
  const far = { data: path.join(folder, 'far'), node: 'far', policy: { url: api.url, token, pollSeconds: 1 } }
  const gateway = await openGateway(far)
  expect(await refuses(gateway, 'casino')).toBe(true)
  const { hash } = await api.call('POST', '/rulesets', { text: refusing('poker'), baseVersion: 1 })
  await whenTrue(() => refuses(gateway, 'poker'))
  expect((await lastTransaction(far.data)).rulesetHash).toBe(hash)
  await api.kill()
  await stop(gateway)
  const again = await openGateway(far)
  expect(await refuses(again, 'poker')).toBe(true)
  await whenTrue(() => complaints.includes('cannot be reached (ECONNREFUSED); the one before stays in force'))
})

it('a snapshot file that is damaged leaves the last good one in force, with a sentence in the log', async () => {
  const api = await startApi()
  const gateway = await openGateway()
  await api.call('POST', '/rulesets', { text: refusing('casino'), baseVersion: 0 })
  await whenTrue(() => refuses(gateway, 'casino'))
  await api.kill()
  const published = path.join(data, 'policy', 'published')
  await writeFile(path.join(published, `${'0'.repeat(64)}.json`), '{"version":1,')
  await writeFile(path.join(published, 'current'), `${'0'.repeat(64)}\n`)
  await whenTrue(() => complaints.includes('is not what was published; the one before stays in force'))
  expect(await refuses(gateway, 'casino')).toBe(true)
})
