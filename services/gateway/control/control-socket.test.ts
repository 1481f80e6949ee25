import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { configOf } from '../../../test/gateway-harness.ts'
import type { ControlError, GatewayFigures, HeldMessageView, QuarantineList, QueueList } from '../../contracts/control.ts'
import type { TollgateEvent } from '../../contracts/event.ts'
import { openOperatorLog } from '../../kit/operator-log.ts'
import { askSocket, gatewaySocketPath, SocketUnanswered, type SocketQuestion } from '../../kit/socket-request.ts'
import { startGateway, type RunningGateway } from '../main.ts'

let folder: string
let gateway: RunningGateway | null = null
beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'tollgate-control-'))))
afterEach(async () => {
  await gateway?.stop()
  gateway = null
  await rm(folder, { recursive: true })
})

const log = openOperatorLog('gateway', { level: 'silent' })
const config = () => ({
  ...configOf(
    "smtp: {listen: ['127.0.0.1:0']}\nrecipients: {mode: domains, domains: [example.org]}\nroutes: [{domain: '*', host: 127.0.0.1, port: 1, tls: 'off'}]",
  ),
  data: folder,
})
const ask = (question: SocketQuestion) => askSocket(gatewaySocketPath(folder), { ...question, path: `/control/v1${question.path}` })

async function send(running: RunningGateway, message: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: Number(running.addresses[0]!.split(':')[1]) })
  let text = ''
  socket.on('data', (chunk) => (text += String(chunk)))
  const said = async (count: number) => {
    while (text.split('\r\n').length <= count) await once(socket, 'data')
  }
  socket.write('HELO c\r\nMAIL FROM:<s@example.com>\r\nRCPT TO:<a@example.org>\r\nDATA\r\n')
  await said(5)
  socket.write(`${message}.\r\n`)
  await said(6)
  socket.end()
  return /queued as (\S+)/.exec(text)![1]!
}

async function events(): Promise<TollgateEvent[]> {
  const names = (await readdir(path.join(folder, 'events'))).sort()
  const texts = await Promise.all(names.map((name) => readFile(path.join(folder, 'events', name), 'utf8')))
  return texts.flatMap((text) => text.trimEnd().split('\n').map((line) => JSON.parse(line) as TollgateEvent))
}

it('answers on a socket that its owner alone can open, and takes it away at the end', async () => {
  gateway = await startGateway({ config: config(), log })
  expect((await stat(gatewaySocketPath(folder))).mode & 0o777).toBe(0o600)
  const { status, body } = await ask({ method: 'GET', path: '/figures' })
  expect(status).toBe(200)
  expect(body as GatewayFigures).toMatchObject({ node: 'gateway-1', pid: process.pid, sessionCount: 0, queue: { queuedCount: 0 }, routes: [{ port: 1 }] })
  expect((body as GatewayFigures).disk.freeBytes).toBeGreaterThan(0)
  expect((await ask({ method: 'POST', path: '/reload' })).status).toBe(200)
  await gateway.stop()
  await expect(ask({ method: 'GET', path: '/figures' })).rejects.toBeInstanceOf(SocketUnanswered)
})

it('a socket left by a process that was killed is replaced, and that of a living gateway is not', async () => {
  const socketPath = gatewaySocketPath(folder)
  const script = `require('node:net').createServer().listen(${JSON.stringify(socketPath)}, () => console.log('up'))`
  const dead = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(dead.stdout, 'data')
  await expect(startGateway({ config: config(), log })).rejects.toThrow('Another gateway runs on this data folder')
  expect(await readdir(folder)).toEqual(['gateway.sock'])
  dead.kill('SIGKILL')
  await once(dead, 'exit')
  gateway = await startGateway({ config: config(), log })
  expect((await ask({ method: 'GET', path: '/figures' })).status).toBe(200)
})

it('lists what waits, deletes it from the queue and lets the events tell who did', async () => {
  gateway = await startGateway({ config: config(), log })
  const queueId = await send(gateway, 'Subject: hello\r\n\r\nbody\r\n')
  let list: QueueList
  do list = (await ask({ method: 'GET', path: '/queue?status=deferred' })).body as QueueList
  while (list.messages.length === 0)
  expect(list).toMatchObject({ messages: [{ queueId, sender: 's@example.com', recipients: [{ address: 'a@example.org' }] }], nextCursor: null })
  expect(list.messages[0]!.nextTryAt).not.toBeNull()
  expect((await ask({ method: 'POST', path: `/queue/${queueId}/retry`, body: { by: 'anna' } })).status).toBe(200)
  let status: number
  do status = (await ask({ method: 'DELETE', path: `/queue/${queueId}`, body: { by: 'anna' } })).status
  while (status === 409)
  expect(status).toBe(200)
  await gateway.stop()
  const told = await events()
  expect(told.filter(({ kind }) => kind === 'delivery.attempted').at(-1)).toMatchObject({ recipients: [{ outcome: 'failed', error: 'removed from the queue by anna' }] })
  expect(told.filter(({ kind }) => kind === 'message.finished')).toHaveLength(1)
})

it('shows a held message safely, gives its octets as received, and deletes it', async () => {
  const rules = path.join(folder, 'rules.yaml')
  const { writeFile } = await import('node:fs/promises')
  await writeFile(rules, 'rules: [{id: hold, revision: 1, name: hold, stage: mail, when: {attribute: sender, matches: example}, then: {quarantine: true}}]\n')
  gateway = await startGateway({ config: { ...config(), rules }, log })
  const message = 'From: A <a@example.com>\r\nSubject: =?utf-8?q?=1B[2Jred?=\r\nX: 1\r\n\r\nbody \x1b[31m\r\n'
  const queueId = await send(gateway, message)
  const { messages } = (await ask({ method: 'GET', path: '/quarantine?rule=hold' })).body as QuarantineList
  expect(messages).toMatchObject([{ queueId, from: 'A <a@example.com>', subject: '\\x1b[2Jred', recipients: [{ ruleId: 'hold', reason: 'rule' }] }])
  const view = (await ask({ method: 'GET', path: `/quarantine/${queueId}` })).body as HeldMessageView
  expect(view).toMatchObject({ text: 'body \\x1b[31m\n', textOf: 'plain', areHeadersCut: false, isTextCut: false })
  expect(view.headers.map(({ name }) => name)).toEqual(['From', 'Subject', 'X'])
  const { openSocketAnswer } = await import('../../kit/socket-request.ts')
  const raw = await openSocketAnswer(gatewaySocketPath(folder), { method: 'GET', path: `/control/v1/quarantine/${queueId}/raw` })
  const chunks: Buffer[] = []
  for await (const chunk of raw as AsyncIterable<Buffer>) chunks.push(chunk)
  expect(Buffer.concat(chunks).toString()).toBe(message)
  expect((await ask({ method: 'DELETE', path: `/quarantine/${queueId}`, body: { by: 'anna' } })).status).toBe(200)
  await gateway.stop()
  expect((await events()).filter(({ kind }) => kind === 'quarantine.deleted')).toMatchObject([{ transactionId: queueId, by: 'anna' }])
})

it.each([
  ['GET', '/quarantine/..%2f..%2fetc%2fpasswd', 400],
  ['GET', '/quarantine/../../etc/passwd', 404],
  ['GET', '/quarantine/00000000-0000-7000-8000-000000000000', 404],
  ['GET', '/quarantine?limit=201', 400],
  ['GET', '/quarantine?limit=0', 400],
  ['GET', '/quarantine?cursor=%25', 400],
  ['GET', '/quarantine?nonsense=1', 400],
  ['GET', '/quarantine?after=yesterday', 400],
  ['POST', '/quarantine/00000000-0000-7000-8000-000000000000/release', 400],
  ['DELETE', '/queue/00000000-0000-7000-8000-000000000000', 400],
  ['GET', `/quarantine/${'a'.repeat(99)}`, 400],
] as const)('refuses %s %s by %i, with a code', async (method, question, status) => {
  gateway = await startGateway({ config: config(), log })
  const answer = await ask({ method, path: question, ...(method === 'GET' ? {} : { body: { nobody: 1 } }) })
  expect(answer.status).toBe(status)
  expect(answer.body).toMatchObject({ error: { code: status === 404 ? 'not-found' : 'bad-request' } })
})

it.each([
  ['POST', 'quarantine', '/release'],
  ['DELETE', 'quarantine', ''],
  ['POST', 'queue', '/retry'],
  ['DELETE', 'queue', ''],
  ['GET', 'quarantine', '/raw'],
] as const)('%s of %s takes no path for an id, however it is written', async (method, place, act) => {
  gateway = await startGateway({ config: config(), log })
  for (const id of ['..%2f..%2fevents', '%2e%2e', '..%5c..', '%2fetc%2fpasswd', '00000000-0000-7000-8000-00000000000%2f']) {
    const answer = await ask({ method, path: `/${place}/${id}${act}`, ...(method === 'GET' ? {} : { body: { by: 'anna' } }) })
    expect([id, answer.status, (answer.body as ControlError).error.code]).toEqual([id, 400, 'bad-request'])
  }
})

it('a request that is too large is refused, and the gateway goes on', async () => {
  gateway = await startGateway({ config: config(), log })
  const answer = await ask({ method: 'POST', path: '/quarantine/00000000-0000-7000-8000-000000000000/release', body: { by: 'a'.repeat(300_000) } })
  expect(answer).toMatchObject({ status: 413, body: { error: { code: 'too-large' } } })
  expect((await ask({ method: 'GET', path: '/figures' })).status).toBe(200)
})
