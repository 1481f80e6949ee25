import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Harness, held, type HarnessOptions } from '../../test/gateway-harness.ts'
import { SmtpListeners } from './listener.ts'

const open: { listeners: SmtpListeners; sockets: Socket[] }[] = []
afterEach(async () => {
  for (const { listeners, sockets } of open.splice(0)) {
    for (const socket of sockets) socket.destroy()
    await listeners.stop()
  }
})

async function listen(
  options: HarnessOptions = {},
  proxyFrom: readonly string[] = [],
): Promise<{ harness: Harness; listeners: SmtpListeners; dial: () => Promise<Remote> }> {
  const harness = new Harness(options)
  const listeners = new SmtpListeners(harness.deps)
  const sockets: Socket[] = []
  open.push({ listeners, sockets })
  await listeners.listen([{ address: '127.0.0.1:0', proxyFrom }])
  const dial = async (): Promise<Remote> => {
    const socket = connect({
      host: '127.0.0.1',
      port: Number(listeners.addresses[0]!.split(':')[1]),
      allowHalfOpen: true,
    })
    sockets.push(socket)
    await once(socket, 'connect')
    return new Remote(socket)
  }
  return { harness, listeners, dial }
}

class Remote {
  readonly socket: Socket
  readonly over: Promise<unknown>
  text = ''

  constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text) => (this.text += String(text)))
    socket.on('error', () => {})
    this.over = new Promise((resolve) => socket.once('end', resolve).once('close', resolve))
  }

  async said(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text))
      await Promise.race([
        once(this.socket, 'data'),
        this.over.then(() => Promise.reject(new Error(`over after ${this.text}`))),
      ])
    return this.text
  }
}

const wholeMessage =
  'EHLO c\r\nMAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\nSubject: a\r\n\r\nb\r\n.\r\n'

describe('the listener', () => {
  it('turns connections away beyond the limits of all and of one network, and takes new ones when others end', async () => {
    const { harness, dial } = await listen({ limits: { sessions: 3, sessionsPerNetwork: 2 } })
    const [first] = [await dial(), await dial()]
    await first!.said(/^220 /)
    const third = await dial()
    await third.over
    expect(third.text).toBe('421 4.7.0 Too many connections from your network, try again later\r\n')
    third.socket.end()
    first!.socket.end('QUIT\r\n')
    await first!.over
    while (harness.log.sessions.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
    await (await dial()).said(/^220 /)
    expect(harness.log.transactions).toMatchObject([
      { outcome: 'deferred', stage: 'connect', reason: 'connection-limit', reply: { code: 421 } },
    ])
  })

  it('refuses a public remote that talks before its greeting, and greets a device at once', async () => {
    const { harness, dial } = await listen({ limits: { greetingDelayMs: 50 } })
    const early = await dial()
    early.socket.write('EHLO c\r\n')
    await early.over
    expect(early.text).toBe('554 5.5.1 Wait for the greeting before you speak\r\n')
    expect(harness.log.transactions).toMatchObject([{ outcome: 'refused', reason: 'early-talker', stage: 'connect' }])
    const patient = await dial()
    await patient.said(/^220 /)
    patient.socket.write('EHLO c\r\n')
    await patient.said(/250 ENHANCEDSTATUSCODES/)

    const inside = await listen({
      limits: { greetingDelayMs: 600_000 },
      config: 'networks: [{name: printers, class: device, cidrs: [127.0.0.0/8]}]',
    })
    const device = await inside.dial()
    await device.said(/^220 /)
  })

  it('takes the message of a client that ends its side at once, and answers it', async () => {
    const { harness, dial } = await listen()
    const remote = await dial()
    remote.socket.end(wholeMessage)
    await remote.over
    expect(remote.text).toMatch(/250 2\.0\.0 Ok: queued as [^\n]+\n$/)
    expect(harness.spool.released).toHaveLength(1)
    expect(harness.faults).toEqual([])
  })

  it('notices a remote that breaks off while its message is stored, and accepts nothing', async () => {
    const { harness, dial } = await listen()
    const commit = held()
    const isCommitting = held()
    harness.spool.onCommit = () => {
      isCommitting.resolve()
      return commit.promise
    }
    const remote = await dial()
    remote.socket.write(wholeMessage)
    await isCommitting.promise
    remote.socket.resetAndDestroy()
    await remote.over
    // The reset reaches the listener in a later turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 100))
    commit.resolve()
    while (harness.log.sessions.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(harness.log.transactions).toMatchObject([{ outcome: 'aborted', reason: 'client-gone', queueId: null }])
    expect(harness.spool.released).toEqual([])
  })

  it('ends a silent connection with 421', async () => {
    const { harness, dial } = await listen({ limits: { idleSeconds: 0.1 } })
    const remote = await dial()
    await remote.over
    expect(remote.text).toMatch(/421 4\.4\.2 Idle for too long/)
    remote.socket.destroy()
    while (harness.log.sessions.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    expect(harness.log.sessions[0]).toMatchObject({ closedBy: 'timeout' })
  })

  it('stops by ending open transactions, not by cutting them off', async () => {
    const { harness, listeners, dial } = await listen()
    const idle = await dial()
    await idle.said(/^220 /)
    const busy = await dial()
    busy.socket.write('EHLO c\r\nMAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    await busy.said(/354 /)
    const stopped = listeners.stop()
    await idle.over
    expect(idle.text).toMatch(/421 4\.3\.2 The server is stopping/)
    idle.socket.end()
    busy.socket.write('Subject: a\r\n\r\nb\r\n.\r\n')
    await busy.said(/250 2\.0\.0 Ok: queued[^\n]+\n421 4\.3\.2/)
    busy.socket.end()
    await stopped
    expect(harness.log.sessions).toHaveLength(2)
    expect(harness.spool.released).toHaveLength(1)
  })

  it('does not read on from a client that does not read its replies', async () => {
    const { harness, dial } = await listen()
    const remote = await dial()
    await remote.said(/^220 /)
    remote.socket.pause()
    // A reply is ten times as long as its command. Written in small pieces, so that progress shows.
    const piece = Buffer.from('HELP\r\n'.repeat(5_000))
    const offeredBytes = 130 * piece.length
    for (let count = 0; count < 130; count += 1) remote.socket.write(piece)
    const takenBytes = () => remote.socket.bytesWritten - remote.socket.writableLength
    for (let before = -1, same = 0; same < 15; same = takenBytes() === before ? same + 1 : 0) {
      before = takenBytes()
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    remote.socket.destroy()
    while (harness.log.sessions.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    // What is taken is bounded by the buffers of the two sockets.
    expect(harness.log.sessions[0]!.receivedBytes).toBeLessThan(offeredBytes / 2)
  })
})

describe('a listed proxy', () => {
  const networks = 'recipients: {domains: [example.com]}\nnetworks: [{name: office, class: trusted, cidrs: [127.0.0.0/8, 10.0.0.0/8]}]'
  const v2 = Buffer.concat([
    Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
    Buffer.from([0x21, 0x11, 0, 12, 203, 0, 113, 7, 192, 0, 2, 1, 0xd4, 0x31, 0, 25]),
  ])

  it('tells the real remote, which policy and events then go by', async () => {
    const { harness, dial } = await listen({ config: networks }, ['127.0.0.1'])
    for (const header of [Buffer.from('PROXY TCP4 203.0.113.7 192.0.2.1 54321 25\r\n'), v2]) {
      const remote = await dial()
      // Cut in two, and with the client's first words in the same packet.
      remote.socket.write(header.subarray(0, 9))
      await new Promise((resolve) => setTimeout(resolve, 20))
      remote.socket.write(Buffer.concat([header.subarray(9), Buffer.from('EHLO c\r\nMAIL FROM:<s@r.example>\r\nRCPT TO:<x@elsewhere.example>\r\nRSET\r\n')]))
      expect(await remote.said(/250 2\.0\.0 Ok\r\n$/)).toContain('554 5.7.1')
      expect(harness.log.transactions.at(-1)!.remote).toMatchObject({ ip: '203.0.113.7', port: 54_321, networkClass: 'public' })
    }
  })

  it('is refused without a greeting where it says nothing of that kind', async () => {
    const { harness, dial } = await listen({ config: networks }, ['127.0.0.0/8'])
    const remote = await dial()
    remote.socket.write('EHLO c\r\n')
    await remote.over
    expect(remote.text).toBe('')
    expect(harness.faults).toEqual(['The proxy 127.0.0.1 did not say whom it speaks for, and was refused: there is no PROXY header'])
  })

  it('speaks for nobody that may relay where it does not know for whom', async () => {
    const { harness, dial } = await listen({ config: networks }, ['127.0.0.1'])
    const remote = await dial()
    remote.socket.write('PROXY UNKNOWN\r\nEHLO c\r\nMAIL FROM:<s@r.example>\r\nRCPT TO:<x@elsewhere.example>\r\nRSET\r\n')
    expect(await remote.said(/250 2\.0\.0 Ok\r\n$/)).toContain('554 5.7.1')
    expect(harness.log.transactions.at(-1)!.remote).toMatchObject({ ip: null, port: null, networkClass: 'public' })
  })

  it('is the only one who may: from another address the header is an unknown word', async () => {
    const { harness, dial } = await listen({ config: networks }, ['127.0.0.2'])
    const remote = await dial()
    await remote.said(/^220 /)
    remote.socket.write('PROXY TCP4 10.0.0.1 192.0.2.1 54321 25\r\nEHLO c\r\n')
    await remote.over
    expect(remote.text).toMatch(/554 5\.5\.1 You are not listed as a proxy here\r\n$/)
    await remote.over
    expect(harness.log.sessions.every(({ remote: { ip } }) => ip === '127.0.0.1')).toBe(true)
  })

  it('has its connections counted by the remotes that it speaks for', async () => {
    const { dial } = await listen({ limits: { sessionsPerNetwork: 1 } }, ['127.0.0.1'])
    const greetings: string[] = []
    for (const ip of ['203.0.113.7', '203.0.113.8', '203.0.114.1']) {
      const remote = await dial()
      remote.socket.write(`PROXY TCP4 ${ip} 192.0.2.1 54321 25\r\n`)
      greetings.push((await remote.said(/\r\n/)).slice(0, 3))
    }
    expect(greetings).toEqual(['220', '421', '220'])
  })

  it('who only looks whether somebody listens is no fault', async () => {
    const { harness, listeners, dial } = await listen({}, ['127.0.0.1'])
    const remote = await dial()
    remote.socket.end()
    await remote.over
    await listeners.stop()
    open.splice(0)
    expect(harness.faults).toEqual([])
    expect(harness.log.sessions).toEqual([])
  })

  it('finds who talks before the greeting, behind its header', async () => {
    const { harness, dial } = await listen({ limits: { greetingDelayMs: 50 } }, ['127.0.0.1'])
    const [patient, early] = [await dial(), await dial()]
    patient.socket.write('PROXY TCP4 203.0.113.7 192.0.2.1 54321 25\r\n')
    expect(await patient.said(/\r\n/)).toMatch(/^220 /)
    early.socket.write('PROXY TCP4 203.0.113.7 192.0.2.1 54321 25\r\nEHLO c\r\n')
    expect(await early.said(/\r\n/)).toMatch(/^554 5\.5\.1 Wait/)
    expect(harness.faults).toEqual([])
  })
})
