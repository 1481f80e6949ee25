/** Held mail from the SMTP session to its release over the API: a real gateway, its socket, a real next hop. */
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { QuarantineList } from '../services/contracts/control.ts'
import { startSink, type Sink } from '../services/demo/sink.ts'
import { startGateway, type RunningGateway } from '../services/gateway/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { readConfig } from '../services/kit/read-config.ts'
import { createApiFixture, type ApiFixture, type Caller } from './api-fixture.ts'

const message = 'From: Eve <eve@far.example>\r\nSubject: =?utf-8?q?held_=E2=9C=93?=\r\n\r\n.dots\r\nand text\r\n'
let folder: string
let sink: Sink
let gateway: RunningGateway | null
let api: ApiFixture
let admin: Caller

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-api-quarantine-'))
  sink = await startSink({ port: 0, keepOctets: true, keepCount: 100 })
  await writeFile(
    path.join(folder, 'rules.yaml'),
    'markAt: null\nrejectAt: null\nrules:\n  - {id: keep, stage: mail, when: {attribute: sender.domain, equals: far.example}, then: {quarantine: true}}\n',
  )
  await writeFile(
    path.join(folder, 'tollgate.yaml'),
    `node: mx\ndata: data\nrules: rules.yaml\nsmtp: {hostname: mx.test, listen: ['127.0.0.1:0']}\nrecipients: {mode: domains, domains: [corp.test], directory: clients.yaml}\nroutes: [{domain: '*', host: 127.0.0.1, port: ${sink.port}, tls: 'off'}]\n`,
  )
  await writeFile(path.join(folder, 'clients.yaml'), 'clients:\n  - {id: corp, name: Corp, addresses: ["*@corp.test"]}\n')
  const reading = readConfig(path.join(folder, 'tollgate.yaml'), {})
  if ('faults' in reading) throw new Error(JSON.stringify(reading.faults))
  gateway = await startGateway({ config: reading.config, log: openOperatorLog('gateway', { level: 'silent' }) })
  api = await createApiFixture({ data: path.join(folder, 'data') })
  await api.addUser('root', 'admin')
  admin = await api.login('root')
})
afterAll(async () => {
  await api.close()
  await gateway?.stop()
  await sink.stop()
  await rm(folder, { recursive: true })
})

async function send(recipients: string[]): Promise<void> {
  const [host, port] = gateway!.addresses[0]!.split(':')
  const socket = connect({ host: host!, port: Number(port) })
  let said = ''
  socket.setEncoding('latin1').on('data', (text) => (said += String(text)))
  const answered = async (): Promise<void> => {
    while (!/(^|\n)\d{3} [^\n]*\n$/.test(said)) await once(socket, 'data')
  }
  await answered()
  const envelope = ['EHLO c', 'MAIL FROM:<eve@far.example>', ...recipients.map((one) => `RCPT TO:<${one}>`), 'DATA']
  for (const line of [...envelope, `${message.replace(/^\./gm, '..')}.`]) {
    said = ''
    socket.write(`${line}\r\n`)
    await answered()
  }
  socket.destroy()
  if (!said.startsWith('250 ')) throw new Error(said)
}

const held = async () => (await admin.get('/gateways/mx/quarantine')).json() as QuarantineList
const auditOf = async (id: string) =>
  (await api.test.database.pool.query('select action from audit_record where subject = $1 order by audit_id', [id])).rows.map(({ action }) => action as string)

describe('a held message', () => {
  it('is listed, looked at, downloaded octet for octet, released to one and then to the other, and delivered once', async () => {
    await send(['ann@corp.test', 'bob@corp.test'])
    const { messages, heldCount } = await held()
    expect({ heldCount, messages }).toMatchObject({
      heldCount: 1,
      messages: [{ sender: 'eve@far.example', subject: 'held ✓', recipients: [{ address: 'ann@corp.test', ruleId: 'keep' }, { address: 'bob@corp.test' }] }],
    })
    const id = messages[0]!.queueId
    expect((await admin.get(`/gateways/mx/quarantine/${id}`)).json()).toMatchObject({ text: expect.stringContaining('and text'), textOf: 'plain' })
    const raw = await admin.get(`/gateways/mx/quarantine/${id}/raw`)
    expect([raw.text, raw.headers['content-disposition'], raw.headers['x-content-type-options']]).toEqual([message, `attachment; filename="${id}.eml"`, 'nosniff'])
    expect(sink.messages).toEqual([])

    const released = await admin.call('POST', `/gateways/mx/quarantine/${id}/release`, { body: { recipients: ['bob@corp.test'] } })
    expect([released.status, released.json()]).toEqual([200, { recipients: ['bob@corp.test'] }])
    await expect.poll(() => sink.messages.map(({ recipients }) => recipients)).toEqual([['bob@corp.test']])
    expect((await admin.call('POST', `/gateways/mx/quarantine/${id}/release`, { body: {} })).status).toBe(200)
    await expect.poll(() => sink.messages.map(({ recipients }) => recipients)).toEqual([['bob@corp.test'], ['ann@corp.test']])
    for (const { octets } of sink.messages) expect(octets!.toString().endsWith(`\r\n${message}`)).toBe(true)
    await expect.poll(async () => (await held()).heldCount).toBe(0)
    expect((await admin.call('POST', `/gateways/mx/quarantine/${id}/release`, { body: {} })).status).toBe(404)
    expect(await auditOf(id)).toEqual(['quarantine.read', 'quarantine.downloaded', 'quarantine.released', 'quarantine.released', 'quarantine.released'])
  })

  it('is deleted for good, by a change with its token alone', async () => {
    await send(['ann@corp.test'])
    const id = (await held()).messages[0]!.queueId
    expect((await admin.call('DELETE', `/gateways/mx/quarantine/${id}`, { csrfToken: null })).status).toBe(403)
    expect((await admin.call('DELETE', `/gateways/mx/quarantine/${id}`)).json()).toEqual({ done: true })
    expect((await held()).heldCount).toBe(0)
    expect((await admin.get(`/gateways/mx/quarantine/${id}`)).status).toBe(404)
  })

  it('is not found on another node, nor by what is no id, and no gateway is one sentence', async () => {
    expect((await admin.get('/gateways/other/quarantine')).json().error).toMatchObject({ code: 'not-found', message: expect.stringContaining('mx') })
    expect((await admin.get('/gateways/mx/quarantine/..%2F..%2Fetc')).status).toBe(400)
    expect((await admin.get('/gateways')).json().gateways).toMatchObject([{ node: 'mx' }])
    await gateway!.stop()
    gateway = null
    expect((await admin.get('/gateways')).json()).toEqual({ gateways: [] })
    const answer = await admin.get('/gateways/mx/quarantine')
    expect([answer.status, answer.json().error.code]).toEqual([503, 'gateway-unavailable'])
  })
})
