import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { pluginHarness, type PluginHarness } from '../../../../test/plugin-harness.ts'
import { testCertificate, testKey } from '../../../../test/test-certificate.ts'

const message = 'Subject: hello\r\n\r\ntext'
let server: Server | null = null
afterEach(async () => {
  server?.closeAllConnections()
  await new Promise((resolve) => (server === null ? resolve(null) : server.close(resolve)))
})

async function harnessWith(listener: RequestListener, settings = ''): Promise<PluginHarness> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return await pluginHarness(`{http: [{name: hook, url: 'http://127.0.0.1:${port}/scan', onFailure: open${settings}}]}`)
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return body
}

const found = (harness: PluginHarness) => harness.log.transactions.at(-1)!.plugins[0]

it('posts the message and its envelope, and takes the result', async () => {
  const seen: unknown[] = []
  const harness = await harnessWith(async (request, response) => {
    seen.push(request.method, request.url, request.headers, await bodyOf(request))
    response.end('{"result": "confidential", "detail": "page 3"}')
  }, ', token: secret')
  await harness.connect().deliver(message, ['a@example.com', 'b@example.com'], 'odd%sender@remote.example')
  expect(seen).toMatchObject([
    'POST',
    '/scan',
    {
      authorization: 'Bearer secret',
      'content-type': 'message/rfc822',
      'content-length': String(message.length + 2),
      'x-tollgate-sender': 'odd%25sender@remote.example',
      'x-tollgate-recipients': 'a@example.com,b@example.com',
      'x-tollgate-recipient-count': '2',
      'x-tollgate-remote-ip': '203.0.113.9',
      'x-tollgate-network-class': 'public',
    },
    `${message}\r\n`,
  ])
  expect(found(harness)).toMatchObject({ name: 'plugin-hook', result: 'confidential', detail: 'page 3' })
})

it('takes an answer that comes before the whole message was sent', async () => {
  const harness = await harnessWith((_request, response) => void response.writeHead(413).end())
  await harness.connect().deliver('x'.repeat(5_000_000))
  expect(found(harness)).toMatchObject({ result: 'unknown', detail: expect.stringMatching(/answered 413|ECONNRESET|EPIPE/) })
})

it.each<[string, RequestListener, RegExp]>([
  ['is in trouble', (_request, response) => void response.writeHead(503).end(), /^it answered 503/],
  ['redirects', (request, response) => void response.writeHead(302, { location: `http://${request.headers.host}/else` }).end(), /^it answered 302/],
  ['answers no JSON', (_request, response) => void response.end('<html>'), /^it answered no JSON/],
  ['answers without a result', (_request, response) => void response.end('null'), /no "result"/],
  ['answers without end', (_request, response) => void response.end('x'.repeat(100_000)), /^its answer is too long/],
  ['hangs up', (request) => void request.socket.destroy(), /hang up|ECONNRESET|closed/],
])('gives no result where the server %s', async (_what, listener, detail) => {
  const paths: string[] = []
  const harness = await harnessWith((request, response) => {
    paths.push(request.url!)
    listener(request, response)
  })
  expect(await harness.connect().deliver(message)).toMatch(/^250 /)
  expect(found(harness)).toMatchObject({ result: 'unknown', detail: expect.stringMatching(detail) })
  expect(paths).toEqual(['/scan'])
})

it('ends its request when the time is over', async () => {
  let ended!: () => void
  const isEnded = new Promise<void>((resolve) => (ended = resolve))
  const harness = await harnessWith((request) => void request.socket.once('close', ended), ', timeLimitMs: 100')
  await harness.connect().deliver(message)
  expect(found(harness)).toMatchObject({ result: 'unknown', detail: 'no answer within 100 ms' })
  await isEnded
})

it('speaks TLS with a server that somebody vouches for, and with no other', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-http-'))
  const caFile = path.join(folder, 'ca.pem')
  await writeFile(caFile, testCertificate)
  let askedCount = 0
  const tlsServer = createTlsServer({ cert: testCertificate, key: testKey }, (request, response) => {
    askedCount += 1
    request.resume().once('end', () => response.end('{"result": "fine"}'))
  })
  await new Promise<void>((resolve) => tlsServer.listen(0, '127.0.0.1', resolve))
  const url = `https://localhost:${(tlsServer.address() as AddressInfo).port}/`
  try {
    const strict = await pluginHarness(`{http: [{url: '${url}', onFailure: open}]}`)
    await strict.connect().deliver(message)
    expect(found(strict)).toMatchObject({ result: 'unknown', detail: expect.stringMatching(/self-signed certificate/) })
    expect(askedCount).toBe(0)
    const trusting = await pluginHarness(`{http: [{url: '${url}', caFile: ${caFile}, onFailure: open}]}`)
    await trusting.connect().deliver(message)
    expect(found(trusting)).toMatchObject({ result: 'fine' })
    await writeFile(caFile, 'no certificate')
    await expect(pluginHarness(`{http: [{url: '${url}', caFile: ${caFile}, onFailure: open}]}`)).rejects.toThrow(`plugins.http: http: ${caFile} is no file of certificates`)
  } finally {
    tlsServer.closeAllConnections()
    await new Promise((resolve) => tlsServer.close(resolve))
    await rm(folder, { recursive: true })
  }
})
