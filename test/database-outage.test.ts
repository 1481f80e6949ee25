/** The gateway needs no database: mail goes on while Postgres is away, and is billed afterwards, once. */
import { execFile } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import type { MessageList, UsageReport } from '../services/contracts/api.ts'
import { startEmbeddedPostgres } from '../services/database/embedded-postgres.ts'
import { freePort, startProduct, until, type ApiSession } from './e2e/product.ts'
import { smtpSink, smtpSource, startSmtpSink } from './e2e/smtp-sink.ts'

const run = promisify(execFile)
const missing = [smtpSink, smtpSource].find((peer) => peer.isMissing)

it.skipIf(missing !== undefined)(
  `keeps accepting mail while Postgres is down and bills it afterwards${missing?.label ?? ''}`,
  async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-outage-'))
    await chmod(folder, 0o755)
    const port = await freePort()
    const options = { folder: path.join(folder, 'postgres'), port, isThrowAway: true }
    let postgres = await startEmbeddedPostgres(options)
    const sink = await startSmtpSink()
    const product = await startProduct({
      settings: {
        database: postgres.url,
        recipients: { mode: 'known', domains: ['corp.test'], directory: './clients.yaml' },
        routes: [{ domain: '*', host: '127.0.0.1', port: sink.port, tls: 'off' }],
      },
      files: { 'clients.yaml': 'clients:\n  - { id: acme, name: Acme, addresses: [ann@corp.test] }\n' },
    })
    const load = (count: number, sender: string) =>
      run(smtpSource.path, ['-s', '4', '-m', String(count), '-l', '1500', '-f', sender, '-t', 'ann@corp.test', `127.0.0.1:${product.smtpPort}`])
    try {
      await load(20, 'before@source.test')
      const during = load(400, 'during@source.test')
      await postgres.stop()
      await during
      await load(20, 'down@source.test')
      await until('the sink has every message while Postgres is down', async () => (await sink.messages()).length === 440)
      expect((await fetch(`${product.httpUrl}/readyz`)).status).toBe(503)

      postgres = await startEmbeddedPostgres(options)
      const api = await loginOnceItAnswers(product.login)
      const period = new Date().toISOString().slice(0, 7)
      const usage = () => api.getJson<UsageReport>(`usage?period=${period}&by=client`)
      await until('everything is metered', async () => (await usage()).totals.messageCount === '440')
      const bytes = (await sink.messages()).reduce((sum, message) => sum + message.original.length, 0)
      expect((await usage()).totals).toEqual({ fullBytes: String(bytes), splitBytes: String(bytes), messageCount: '440' })
      const list = await api.getJson<MessageList>('messages?q=from:during@source.test&limit=500')
      expect(new Set(list.rows.map((row) => row.transactionId)).size).toBe(400)
      expect(list.completeness.gapCount).toBe(0)
    } finally {
      await product.stop()
      await postgres.stop()
      await sink.stop()
      await product.remove()
      await rm(folder, { recursive: true, force: true })
    }
  },
  180_000,
)

async function loginOnceItAnswers(login: () => Promise<ApiSession>): Promise<ApiSession> {
  let session: ApiSession | null = null
  await until('the login works again', async () => {
    session = await login().catch(() => null)
    return session !== null
  })
  return session!
}
