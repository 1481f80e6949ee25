/**
 * The whole way on real mail: smtp-source and swaks → the started product → smtp-sink, Postgres, API and report.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MessageDetail, MessageList, UsageReport } from '../services/contracts/api.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { runningInstance } from '../services/kit/instance-file.ts'
import { startProduct, until, type ApiSession, type Product } from './e2e/product.ts'
import { smtpSink, smtpSource, startSmtpSink, swaks, type Sink } from './e2e/smtp-sink.ts'

const run = promisify(execFile)
const missing = [smtpSink, smtpSource, swaks].find((peer) => peer.isMissing)

const directory = `clients:
  - id: acme
    name: Acme
    addresses: [ann@corp.test, bob@corp.test]
  - id: birch
    name: Birch
    addresses: [carol@corp.test]
`
const rules = `markAt: 5
rejectAt: 8
rules:
  - id: viagra
    revision: 1
    name: subject sells pills
    stage: header
    mode: active
    when: { attribute: subject, matches: '(?i)cheap pills' }
    then: { weight: 9 }
`

describe.skipIf(missing !== undefined)(`the pipeline on real mail${missing?.label ?? ''}`, () => {
  let sink: Sink
  let product: Product
  let api: ApiSession
  const period = new Date().toISOString().slice(0, 7)

  beforeAll(async () => {
    sink = await startSmtpSink()
    product = await startProduct({
      settings: {
        recipients: { mode: 'known', domains: ['corp.test'], directory: './clients.yaml' },
        rules: './rules.yaml',
        routes: [{ domain: '*', host: '127.0.0.1', port: sink.port, tls: 'off' }],
        billing: { mode: 'full', timeZone: 'UTC' },
      },
      files: { 'clients.yaml': directory, 'rules.yaml': rules },
    })
    api = await product.login()
  }, 120_000)

  afterAll(async () => {
    const exitCode = await product?.stop()
    await sink?.stop()
    await product?.remove()
    if (product !== undefined) expect(exitCode).toBe(0)
  })

  async function allMessages(query: string): Promise<MessageList['rows']> {
    const rows: MessageList['rows'] = []
    let cursor: string | null = null
    do {
      const page: MessageList = await api.getJson<MessageList>(
        `messages?limit=500&q=${encodeURIComponent(query)}${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
      )
      rows.push(...page.rows)
      cursor = page.nextCursor
    } while (cursor !== null)
    return rows
  }

  async function send(from: string, to: string, data: Buffer, name: string): Promise<string> {
    const file = path.join(product.folder, `${name}.eml`)
    await writeFile(file, data)
    return await run(swaks.path, [
      '--server', `127.0.0.1:${product.smtpPort}`, '--from', from, '--to', to, '--data', `@${file}`, '--helo', 'client.test',
    ]).then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    )
  }

  it('finds each message of smtp-source in the sink, in Postgres, in the API and in the report', async () => {
    await run(smtpSource.path, [
      '-s', '5', '-m', '60', '-l', '3000', '-f', 'load@source.test', '-t', 'ann@corp.test', '-M', 'source.test', `127.0.0.1:${product.smtpPort}`,
    ])
    await until('the sink has 60 messages', async () => (await sink.messages()).length === 60)
    await until('the API shows 60 messages', async () => (await allMessages('from:load@source.test')).length === 60)

    const inSink = (await sink.messages()).map((message) => message.original.length).sort((a, b) => a - b)
    const rows = await allMessages('from:load@source.test verdict:accepted')
    const inApi = rows.map((row) => Number(row.messageBytes)).sort((a, b) => a - b)
    expect(inApi).toEqual(inSink)

    const client = new pg.Client({ connectionString: runningInstance(path.join(product.folder, 'data'))!.databaseUrl })
    await client.connect()
    const { rows: stored } = await client.query<{ count: string; bytes: string }>(
      `select count(*), sum(message_bytes) as bytes from mail_transaction where sender = 'load@source.test'`,
    )
    await client.end()
    const total = inSink.reduce((sum, bytes) => sum + bytes, 0)
    expect(stored[0]).toEqual({ count: '60', bytes: String(total) })

    await until('the report counts 60 messages', async () => (await usage()).totals.messageCount === '60')
    expect((await usage()).totals).toEqual({ fullBytes: String(total), splitBytes: String(total), messageCount: '60' })
    await until('the deliveries are told', async () => (await allMessages('from:load@source.test')).every((row) => row.delivery === 'delivered'))
  })

  async function usage(): Promise<UsageReport> {
    return await api.getJson<UsageReport>(`usage?period=${period}&by=recipient`)
  }

  it('delivers a message of swaks octet for octet, once for its recipients, and bills each of them', async () => {
    const before = await usage()
    const sinkBefore = (await sink.messages()).length
    const data = Buffer.from(
      'From: Bo <bo@partner.test>\r\nTo: ann@corp.test, carol@corp.test\r\nSubject: Re: contract\r\nMessage-Id: <one@partner.test>\r\n\r\n' +
        'Dots:\r\n.\r\n..\r\n.hidden\r\nüöä\r\n' + 'x'.repeat(500) + '\r\n',
    )
    // swaks puts a line end of its own after what it is given.
    const sent = Buffer.concat([data, Buffer.from('\r\n')])
    const dialog = await send('bo@partner.test', 'ann@corp.test,carol@corp.test,gone@corp.test', data, 'contract')
    expect(dialog).toMatch(/<\*\* 550 5\.1\.1/)
    await until('the sink has the message', async () => (await sink.messages()).length === sinkBefore + 1)
    const arrived = (await sink.messages()).find((message) => message.subject === 'Re: contract')!
    expect(arrived.recipients.sort()).toEqual(['ann@corp.test', 'carol@corp.test'])
    expect(arrived.original.toString('latin1')).toBe(sent.toString('latin1'))

    await until('the API shows it', async () => (await allMessages('subject:contract')).length === 1)
    const [row] = await allMessages('to:carol@corp.test')
    expect(row).toMatchObject({ outcome: 'accepted', messageBytes: String(sent.length), recipientCount: 3, acceptedCount: 2 })
    const detail = await api.getJson<MessageDetail>(`messages/${row!.transactionId}`)
    expect(detail.event.digest).toBe(hashOf(sent))
    expect(detail.event.recipients.map((recipient) => recipient.outcome)).toEqual(['accepted', 'accepted', 'refused'])

    await until('it is metered', async () => BigInt((await usage()).totals.messageCount) === BigInt(before.totals.messageCount) + 1n)
    const after = await usage()
    expect(BigInt(after.totals.fullBytes) - BigInt(before.totals.fullBytes)).toBe(2n * BigInt(sent.length))
    expect(BigInt(after.totals.splitBytes) - BigInt(before.totals.splitBytes)).toBe(BigInt(sent.length))
    const usageOf = (await api.getJson<MessageDetail>(`messages/${row!.transactionId}`)).usage
    expect(usageOf.map((entry) => [entry.recipient, entry.clientId, entry.fullBytes]).sort()).toEqual([
      ['ann@corp.test', 'acme', String(sent.length)],
      ['carol@corp.test', 'birch', String(sent.length)],
    ])
  })

  it('refuses what a rule refuses, and says by which', async () => {
    const data = Buffer.from('From: x@spam.test\r\nTo: bob@corp.test\r\nSubject: Cheap PILLS now\r\n\r\nbuy\r\n')
    const dialog = await send('x@spam.test', 'bob@corp.test', data, 'spam')
    expect(dialog).toMatch(/<\*\* 5\d\d 5\.7\.1/)
    await until('the API shows the refusal', async () => (await allMessages('rule:viagra')).length === 1)
    const [row] = await allMessages('from:x@spam.test')
    expect(row).toMatchObject({ outcome: 'refused', weight: 9, reason: 'weight' })
    expect((await sink.messages()).some((message) => message.subject === 'Cheap PILLS now')).toBe(false)
  })

  it('prints on the command line what the API answers', async () => {
    const tollgate = (...command: string[]) =>
      run(process.execPath, [path.join(packageRoot, 'bin/tollgate.js'), ...command, '--config', path.join(product.folder, 'tollgate.yaml')], {
        cwd: product.folder,
        maxBuffer: 50_000_000,
      })
    // One refused at complete among the 62: everything that the tests above have sent is metered.
    await until('everything is metered', async () => (await usage()).totals.messageCount === '62')
    const csv = await (await api.get(`usage?period=${period}&by=client&mode=split&format=csv`)).text()
    expect((await tollgate('report', 'usage', '--period', period, '--by', 'client', '--mode', 'split', '--format', 'csv')).stdout).toBe(csv)
    expect(csv).toContain('acme')
    const traced = JSON.parse((await tollgate('trace', 'to:carol@corp.test', '--format', 'json')).stdout) as unknown
    expect(JSON.stringify(traced)).toContain('Re: contract')
  })
})

function hashOf(octets: Buffer): string {
  return createHash('sha256').update(octets).digest('hex')
}
