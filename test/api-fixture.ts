/**
 * The api on a database of its own, filled through ingest and metering from an event log: what the api tests share.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Value } from 'typebox/value'
import { createUser } from '../services/api/access/create-user.ts'
import type { RouteListEntry } from '../services/api/access/route-access.ts'
import type { ApiServer } from '../services/api/api-server.ts'
import { buildApp } from '../services/api/app.ts'
import type { LiveLimits } from '../services/api/live/live-hub.ts'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { importDirectory } from '../services/billing/import-directory.ts'
import { MeteringPass } from '../services/billing/metering-pass.ts'
import type { Session } from '../services/contracts/api.ts'
import type { DirectoryClient } from '../services/contracts/directory.ts'
import type { EventBody, LoggedRecipient, TransactionEnded } from '../services/contracts/event.ts'
import { timeMsOfTransactionId } from '../services/contracts/transaction-id.ts'
import type { Role } from '../services/contracts/vocabulary.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import type { Clock } from '../services/kit/clock.ts'
import { Config } from '../services/kit/config.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { LogBuilder } from './event-builder.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

export const testPassword = 'correct horse'
/** Some minutes after the events of `LogBuilder` begin, so that all lies in the past. */
export const testNowMs = Date.UTC(2026, 9, 12, 8, 0, 0)

export function testConfig(change: Partial<Config> = {}): Config {
  return { ...(Value.Default(Config, {}) as Config), http: { listen: '127.0.0.1:0' }, ...change }
}

export type ApiFixture = {
  test: TestDatabase
  server: ApiServer
  routes: RouteListEntry[]
  clock: Clock & { set(nowMs: number): void }
  log: LogBuilder
  /** Ingests the lines as a file and meters them. */
  ingest(lines: string[]): Promise<void>
  addUser(name: string, role: Role, clientId?: string): Promise<void>
  login(name: string): Promise<Caller>
  close(): Promise<void>
}

export type Caller = {
  session: Session
  cookie: string
  get(url: string): Promise<Answer>
  call(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    url: string,
    options?: { csrfToken?: string | null; body?: unknown },
  ): Promise<Answer>
}

export type Answer = {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  text: string
  octets: Buffer
  json(): any
}

export async function createApiFixture(
  options: { clients?: DirectoryClient[]; webFolder?: string; liveLimits?: LiveLimits; data?: string; settings?: Partial<Config> } = {},
): Promise<ApiFixture> {
  const test = await createTestDatabase()
  const { database } = test
  const config = testConfig({ ...options.settings, ...(options.data === undefined ? {} : { data: options.data }) })
  await ensureTenant(database, config.tenant)
  await ensureBillingPolicy(database, config.tenant, config)
  if (options.clients !== undefined) {
    await importDirectory({
      database,
      tenantId: config.tenant,
      directory: { clients: options.clients },
      at: new Date(),
    })
  }
  let nowMs = testNowMs
  const clock = {
    nowMs: () => nowMs,
    monotonicUs: () => Math.floor(performance.now() * 1_000),
    set: (value: number) => void (nowMs = value),
  }
  const operatorLog = openOperatorLog('api', { level: 'silent' })
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-api-'))
  const context = { config, database, tenantId: config.tenant, isDemo: false, version: '0.0.0-test', clock }
  const { server, routes } = await buildApp(context, {
    log: operatorLog,
    webFolder: options.webFolder ?? path.join(folder, 'web'),
    ...(options.liveLimits === undefined ? {} : { liveLimits: options.liveLimits }),
  })
  const log = new LogBuilder()
  const metering = new MeteringPass(database, config.tenant, operatorLog)
  let fileCount = 0

  const inject = async (request: object): Promise<Answer> => {
    const reply = await server.inject(request as never)
    return { status: reply.statusCode, headers: reply.headers, text: reply.body, octets: reply.rawPayload, json: () => reply.json() }
  }
  return {
    test,
    server,
    routes,
    clock,
    log,
    ingest: async (lines) => {
      const file = path.join(folder, `${fileCount++}.jsonl`)
      await writeFile(file, lines.join(''))
      await ingestFile({ database, tenantId: config.tenant, path: file })
      await metering.run(new AbortController().signal)
    },
    addUser: async (name, role, clientId) => {
      await createUser(database, config.tenant, { name, role, clientId: clientId ?? null, password: testPassword })
    },
    login: async (name) => {
      const reply = await inject({
        method: 'POST',
        url: '/api/v1/session',
        payload: { name, password: testPassword },
      })
      if (reply.status !== 200) throw new Error(`login of ${name}: ${reply.status} ${reply.text}`)
      const session = reply.json() as Session
      const cookie = String([reply.headers['set-cookie']].flat()[0]).split(';')[0]!
      return {
        session,
        cookie,
        get: (url) => inject({ method: 'GET', url: `/api/v1${url}`, headers: { cookie } }),
        call: (method, url, { csrfToken = session.csrfToken, body } = {}) =>
          inject({
            method,
            url: `/api/v1${url}`,
            headers: { cookie, ...(csrfToken === null ? {} : { 'x-csrf-token': csrfToken }) },
            ...(body === undefined ? {} : { payload: body }),
          }),
      }
    },
    close: async () => {
      await server.close()
      await test.drop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export function loggedRecipient(address: string, change: Partial<LoggedRecipient> = {}): LoggedRecipient {
  return {
    address,
    normalized: address.toLowerCase(),
    direction: 'inbound',
    outcome: 'accepted',
    reason: null,
    reply: { code: 250, enhanced: '2.1.5', text: 'Recipient ok' },
    clientId: null,
    ...change,
  }
}

export function refusedRecipient(address: string, clientId: string | null = null): LoggedRecipient {
  return loggedRecipient(address, {
    outcome: 'refused',
    reason: 'unknown-recipient',
    reply: { code: 550, enhanced: '5.1.1', text: 'User unknown' },
    clientId,
  })
}

/** An accepted message with these changes: everything that chance would choose otherwise is fixed. */
export function plainMessage(
  log: LogBuilder,
  change: Partial<EventBody<TransactionEnded>> = {},
): EventBody<TransactionEnded> {
  log.nowMs += 1_000
  const body = log.transactionBody()
  const time = new Date(timeMsOfTransactionId(body.transactionId)).toISOString()
  const recipients = change.recipients ?? [loggedRecipient('ann@corp.test')]
  return {
    ...body,
    startedAt: time,
    endedAt: time,
    sender: 'bo@partner.test',
    recipients,
    headers: [],
    subject: 'plain',
    messageId: `<${body.transactionId}@partner.test>`,
    attachments: [],
    messageBytes: 1_000,
    dataBytes: 1_000,
    declaredSizeBytes: null,
    helo: 'mx.partner.test',
    authUser: null,
    evaluations: [],
    checks: [],
    weight: 0,
    marks: [],
    outcome: 'accepted',
    stage: 'complete',
    reason: null,
    decidingRuleId: null,
    reply: { code: 250, enhanced: '2.0.0', text: 'Ok' },
    queueId: body.transactionId,
    digest: null,
    rulesetHash: null,
    remote: { ...body.remote, ip: '203.0.113.7', country: 'DE' },
    ...change,
  }
}
