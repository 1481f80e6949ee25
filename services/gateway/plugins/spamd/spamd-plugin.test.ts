import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { pluginHarness, type PluginHarness } from '../../../../test/plugin-harness.ts'

const message = 'Subject: hello\r\n\r\ntext'
let server: Server
const sockets = new Set<Socket>()
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})

/** Answers each request once its client has sent all of it; a `null` closes without a word. */
async function harnessWith(answer: string | null, seen: string[] = []): Promise<PluginHarness> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let received = ''
    socket.on('data', (octets) => (received += octets.toString('latin1')))
    socket.on('end', () => {
      if (received.startsWith('SYMBOLS')) seen.push(received)
      socket.end(answer ?? '')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return await pluginHarness(`{spamd: [{address: '127.0.0.1:${port}', user: ann, onFailure: open, scores: {probable: 4, certain: 8}}]}`)
}

const found = (harness: PluginHarness) => harness.log.transactions.at(-1)!.plugins[0]

it('sends what the gateway knows of the remote before the message, and its exact length', async () => {
  const seen: string[] = []
  const harness = await harnessWith('SPAMD/1.1 0 EX_OK\r\nSpam: True ; 8.0 / 5.0\r\n\r\nONE,TWO', seen)
  await harness.connect().deliver(message)
  const [head, ...rest] = seen[0]!.split('\r\n\r\n')
  const body = rest.join('\r\n\r\n')
  expect(head).toBe(`SYMBOLS SPAMC/1.5\r\nContent-length: ${body.length}\r\nUser: ann`)
  expect(body).toMatch(/^Return-Path: <s@remote\.example>\r\nReceived: from client\.example \(\[203\.0\.113\.9\]\)\r\n\tby mx\.test /)
  expect(body.endsWith(`${message}\r\n`)).toBe(true)
  expect(found(harness)).toMatchObject({ result: 'certain', detail: 'score 8 of 5; ONE, TWO' })
})

it.each([
  ['3.9', 'ham'],
  ['4.0', 'probable'],
  ['7.99', 'probable'],
  ['-2.5', 'ham'],
])('calls a score of %s %s', async (score, word) => {
  const harness = await harnessWith(`SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: False ; ${score} / 5.0\r\n\r\n\r\n`)
  await harness.connect().deliver(message)
  expect(found(harness)).toMatchObject({ result: word, detail: `score ${Number(score)} of 5` })
})

it.each([
  ['an error', 'SPAMD/1.0 76 Bad header line: (EOF)\r\n', 'spamd answered 76 Bad header line: (EOF)'],
  ['another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'spamd answered something else than SPAMD'],
  ['no score', 'SPAMD/1.1 0 EX_OK\r\n\r\nONE', 'spamd answered without a score'],
  ['a broken answer', 'SPAMD/1.1 0 EX_OK\r\nSpam: True ; 8.0 / 5.0\r\n', 'spamd answered without a score'],
  ['nothing', null, 'it closed the connection without an answer'],
])('gives no result for %s', async (_what, answer, detail) => {
  const harness = await harnessWith(answer)
  await harness.connect().deliver(message)
  expect(found(harness)).toMatchObject({ result: 'unknown', detail })
})
