import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { pluginHarness, type PluginHarness } from '../../../../test/plugin-harness.ts'

const message = `Subject: hello\r\n\r\n${'line of the text\r\n'.repeat(10)}`
let server: Server
const sockets = new Set<Socket>()
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => server.close(resolve))
})

/** `script` gets all that came on a connection so far, each time that more did. */
async function harnessWith(script: (received: Buffer, socket: Socket) => void, settings = ''): Promise<PluginHarness> {
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    let received = Buffer.alloc(0)
    socket.on('data', (octets: Buffer) => {
      received = Buffer.concat([received, octets])
      script(received, socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return await pluginHarness(`{clamd: [{address: '127.0.0.1:${port}', onFailure: open${settings}}]}`)
}

const found = (harness: PluginHarness) => harness.log.transactions.at(-1)!.plugins[0]
const isStream = (received: Buffer): boolean => received.toString('latin1').startsWith('zINSTREAM\0')

function contentOf(received: Buffer): string | null {
  let content = ''
  for (let at = 10; at + 4 <= received.length; ) {
    const length = received.readUInt32BE(at)
    if (length === 0) return content
    content += received.toString('latin1', at + 4, at + 4 + length)
    at += 4 + length
  }
  return null
}

it('sends every octet, and takes an answer that comes octet by octet', async () => {
  let content: string | null = null
  const harness = await harnessWith((received, socket) => {
    if (!isStream(received)) return void socket.write('ClamAV 1.0.0/27345/Mon Nov 23 08:00:00 2026\0')
    content = contentOf(received)
    if (content === null) return
    const answer = [...'stream: Some.Virus-1 FOUND\0']
    const writing = setInterval(() => (answer.length === 0 ? clearInterval(writing) : socket.write(answer.shift()!)), 1)
  })
  expect(await harness.connect().deliver(message)).toMatch(/^250 /)
  expect(content).toBe(`${message}\r\n`)
  expect(found(harness)).toMatchObject({ result: 'infected', detail: 'Some.Virus-1; ClamAV 1.0.0/27345' })
})

it('is skipped where clamd says that it takes no more, before the message is sent', async () => {
  const harness = await harnessWith((_received, socket) => {
    if (socket.writable) socket.end('INSTREAM size limit exceeded. ERROR\0')
  })
  await harness.connect().deliver('x'.repeat(3_000_000))
  expect(found(harness)).toMatchObject({ result: 'skipped' })
})

it.each([
  ['closes without an answer', (_received: Buffer, socket: Socket) => void socket.end(), /^it closed the connection/],
  ['resets the connection', (_received: Buffer, socket: Socket) => void socket.resetAndDestroy(), /ECONNRESET|closed/],
  ['answers half', (_received: Buffer, socket: Socket) => void socket.end('stream: O'), /^it closed the connection/],
  ['answers something else', (_received: Buffer, socket: Socket) => void socket.write('UNKNOWN COMMAND\0'), /^clamd said: UNKNOWN COMMAND/],
  ['never stops answering', (_received: Buffer, socket: Socket) => void socket.write('x'.repeat(200_000)), /too long/],
])('gives no result where clamd %s', async (_what, script, detail) => {
  const harness = await harnessWith(script)
  expect(await harness.connect().deliver(message)).toMatch(/^250 /)
  expect(found(harness)).toMatchObject({ result: 'unknown', detail: expect.stringMatching(detail) })
})

it('closes its connection when the time is over', async () => {
  const closed: Promise<unknown>[] = []
  const harness = await harnessWith((received, socket) => {
    if (isStream(received)) closed.push(new Promise((resolve) => socket.once('close', resolve)))
  }, ', timeLimitMs: 100')
  await harness.connect().deliver(message)
  expect(found(harness)).toMatchObject({ result: 'unknown', detail: 'no answer within 100 ms' })
  expect(closed.length).toBeGreaterThan(0)
  await Promise.all(closed)
})
