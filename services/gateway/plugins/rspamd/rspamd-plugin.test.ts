import { createServer, type IncomingHttpHeaders, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { pluginHarness, type PluginHarness } from '../../../../test/plugin-harness.ts'

const message = 'Subject: hello\r\n\r\ntext'
let server: Server
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

async function harnessWith(listener: RequestListener): Promise<PluginHarness> {
  server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return await pluginHarness(`{rspamd: [{url: 'http://127.0.0.1:${port}/', password: secret, onFailure: open}]}`)
}

const found = (harness: PluginHarness) => harness.log.transactions.at(-1)!.plugins[0]

it('is told who sent the message to whom', async () => {
  let headers: IncomingHttpHeaders = {}
  const harness = await harnessWith((request, response) => {
    if (request.url === '/checkv2') headers = request.headers
    request.resume().once('end', () => response.end('{"score": 1, "required_score": 15, "action": "no action", "symbols": {}}'))
  })
  await harness.connect().deliver(message, ['a@example.com', 'b@example.com'], 'odd%sender@remote.example')
  expect(headers).toMatchObject({
    from: 'odd%25sender@remote.example',
    rcpt: 'a@example.com, b@example.com',
    ip: '203.0.113.9',
    helo: 'client.example',
    password: 'secret',
    'queue-id': harness.log.transactions[0]!.transactionId,
  })
  expect(found(harness)).toMatchObject({ result: 'ham', detail: 'no action; score 1 of 15' })
})

it.each<[string, number, string, string, RegExp]>([
  ['a score', 200, '{"score": 6, "required_score": 15, "action": "add header", "symbols": {"A": {"name": "A", "score": 1}, "B": {"name": "B", "score": 5}}}', 'probable', /^add header; score 6 of 15; B 5, A 1$/],
  ['what it would reject', 200, '{"score": 2, "required_score": 15, "action": "reject", "symbols": {}}', 'certain', /^reject; score 2/],
  ['what it skips', 200, '{"score": 0, "action": "no action", "is_skipped": true}', 'skipped', /by its settings/],
  ['trouble', 500, '', 'unknown', /^rspamd answered 500/],
  ['a wrong password', 403, '{}', 'unknown', /^rspamd answered 403/],
  ['no JSON', 200, 'pong', 'unknown', /no JSON/],
  ['no score', 200, '{}', 'unknown', /without a score/],
])('of %s', async (_what, status, body, result, detail) => {
  const harness = await harnessWith((request, response) => void request.resume().once('end', () => response.writeHead(status).end(body)))
  await harness.connect().deliver(message)
  expect(found(harness)).toMatchObject({ result, detail: expect.stringMatching(detail) })
})
