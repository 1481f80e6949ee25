import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectPlain, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Harness } from '../../../test/gateway-harness.ts'
import { testCertificate, testKey } from '../../../test/test-certificate.ts'
import { hashPassword } from '../../kit/password.ts'
import { SmtpListeners } from '../listener.ts'
import { ServerTls, type TlsSettings } from './server-tls.ts'

const nowMs = Date.UTC(2026, 10, 24)
const said: Record<string, unknown>[] = []
const log = pino({}, { write: (line: string) => void said.push(JSON.parse(line) as Record<string, unknown>) })
const config = `
recipients: {domains: [example.com]}
networks:
  - {name: printers, class: device, cidrs: [127.0.0.9/32], minTls: TLSv1}
`
let folder: string
let settings: TlsSettings
const closers: (() => Promise<void> | void)[] = []

beforeEach(async () => {
  said.length = 0
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-tls-'))
  settings = { certificate: path.join(folder, 'mx.pem'), key: path.join(folder, 'mx.key'), minVersion: 'TLSv1.2' }
  await writeFile(settings.certificate, testCertificate)
  await writeFile(settings.key, testKey)
})
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
  await rm(folder, { recursive: true })
})

async function listen() {
  const harness = new Harness({ config })
  const tls = new ServerTls(settings, log)
  await tls.open(nowMs)
  const listeners = new SmtpListeners(harness.deps, tls)
  await listeners.listen([
    { address: '127.0.0.1:0' },
    { address: '127.0.0.1:0', isSecured: true },
    { address: '127.0.0.1:0', isSecured: true, isSubmission: true, proxyFrom: ['127.0.0.1'] },
    { address: '127.0.0.1:0', isSubmission: true },
  ])
  closers.push(() => listeners.stop())
  const [plainPort, securedPort, proxiedPort, submissionPort] = listeners.addresses.map((address) => Number(address.split(':')[1]))
  return { harness, tls, plainPort: plainPort!, securedPort: securedPort!, proxiedPort: proxiedPort!, submissionPort: submissionPort! }
}

class Talk {
  text = ''
  readonly socket: Socket
  readonly over: Promise<void>

  constructor(socket: Socket) {
    this.socket = socket
    closers.push(() => void socket.destroy())
    socket.setEncoding('latin1')
    socket.on('data', (text) => (this.text += String(text)))
    socket.on('error', () => {})
    this.over = new Promise((resolve) => socket.once('close', () => resolve()))
  }

  /** Sends, and resolves with what is said until the pattern stands at its end. */
  async ask(octets: string, pattern: RegExp): Promise<string> {
    this.text = ''
    if (octets !== '') this.socket.write(octets)
    return this.heard(pattern)
  }

  async heard(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.text)) {
      await Promise.race([once(this.socket, 'data'), this.over.then(() => Promise.reject(new Error(`over: ${this.text}`)))])
    }
    return this.text
  }
}

async function dial(port: number, localAddress = '127.0.0.1'): Promise<Talk> {
  const talk = new Talk(connectPlain({ host: '127.0.0.1', port, localAddress }))
  await talk.heard(/220 [^\n]+\n/)
  return talk
}

async function secure(plain: Talk, options: ConnectionOptions = {}): Promise<Talk & { socket: TLSSocket }> {
  plain.socket.removeAllListeners('data')
  const socket = connectTls({ socket: plain.socket, rejectUnauthorized: false, ...options })
  const talk = new Talk(socket) as Talk & { socket: TLSSocket }
  await Promise.race([once(socket, 'secureConnect'), talk.over.then(() => Promise.reject(new Error('no handshake')))])
  return talk
}

const wholeMessage = 'MAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n'

describe('STARTTLS', () => {
  it('secures the session, wants a new EHLO, and tells version and cipher in the event', async () => {
    const { harness, plainPort } = await listen()
    const plain = await dial(plainPort)
    expect(await plain.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)).toContain('250 STARTTLS\r\n')
    await plain.ask('STARTTLS\r\n', /220 2\.0\.0 [^\n]+\n$/)
    const talk = await secure(plain)
    expect(await talk.ask('MAIL FROM:<s@r.example>\r\n', /\n$/)).toMatch(/^503 /)
    expect(await talk.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)).not.toContain('STARTTLS')
    expect(await talk.ask('STARTTLS\r\n', /\n$/)).toMatch(/^503 5\.5\.1 TLS is in use/)
    await talk.ask(wholeMessage, /354 [^\n]+\n$/)
    expect(await talk.ask('Subject: a\r\n\r\nb\r\n.\r\n', /\n$/)).toMatch(/^250 2\.0\.0 /)
    await talk.ask('QUIT\r\n', /221 [^\n]+\n$/)
    expect(harness.log.transactions[0]!.tls).toEqual({ version: talk.socket.getProtocol(), cipher: expect.any(String) })
    expect(harness.spool.released[0]!.envelope!.prependedHeaders).toMatch(/with ESMTPS id/)
  })

  it('answers nothing that came in the clear behind it', async () => {
    const { harness, plainPort } = await listen()
    const plain = await dial(plainPort)
    await plain.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)
    // In one packet with STARTTLS: what somebody in between would add.
    expect(await plain.ask('STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@x.example>\r\n', /\n$/)).toBe('220 2.0.0 Go ahead\r\n')
    const talk = await secure(plain)
    expect(await talk.ask('NOOP\r\n', /\n$/)).toBe('250 2.0.0 Ok\r\n')
    expect(await talk.ask('RCPT TO:<a@example.com>\r\n', /\n$/)).toMatch(/^503 /)
    expect(harness.log.transactions).toEqual([])
  })

  it('forgets the transaction that was open', async () => {
    const { harness, plainPort } = await listen()
    const plain = await dial(plainPort)
    await plain.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)
    await plain.ask('MAIL FROM:<s@r.example>\r\n', /250 [^\n]+\n$/)
    await plain.ask('STARTTLS\r\n', /220 [^\n]+\n$/)
    const talk = await secure(plain)
    expect(await talk.ask('RCPT TO:<a@example.com>\r\n', /\n$/)).toMatch(/^503 /)
    expect(harness.log.transactions).toMatchObject([{ outcome: 'reset', sender: 's@r.example', tls: null }])
  })

  it('ends the session when no handshake follows, and accepts the next connection', async () => {
    const { harness, plainPort } = await listen()
    const plain = await dial(plainPort)
    await plain.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)
    await plain.ask('STARTTLS\r\n', /220 [^\n]+\n$/)
    plain.socket.write('MAIL FROM:<s@r.example>\r\n')
    await plain.over
    await expect.poll(() => harness.log.sessions.length).toBe(1)
    expect(harness.log.sessions[0]).toMatchObject({ closedBy: 'error', violations: ['tls-handshake-failed'] })
    await dial(plainPort)
  })

  it('lets only the networks that may speak TLS 1.0', async () => {
    const { plainPort } = await listen()
    const old: ConnectionOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT:@SECLEVEL=0' }
    const open = async (from: string) => {
      const plain = await dial(plainPort, from)
      await plain.ask('EHLO c\r\n', /250 [^\n]+\n$/)
      await plain.ask('STARTTLS\r\n', /220 [^\n]+\n$/)
      return secure(plain, old)
    }
    expect((await open('127.0.0.9')).socket.getProtocol()).toBe('TLSv1')
    await expect(open('127.0.0.1')).rejects.toThrow(/protocol version|no handshake/)
  })

  it('is not offered without a certificate', async () => {
    const harness = new Harness({ config })
    const client = harness.connect()
    expect(await client.line('EHLO c.example')).not.toContain('STARTTLS')
    expect(await client.line('STARTTLS')).toMatch(/^502 5\.5\.1 /)
  })
})

describe('an address where TLS comes first', () => {
  it('greets inside TLS', async () => {
    const { harness, securedPort } = await listen()
    const talk = new Talk(connectTls({ host: '127.0.0.1', port: securedPort, rejectUnauthorized: false }))
    await talk.heard(/220 [^\n]+\n$/)
    expect(await talk.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)).not.toContain('STARTTLS')
    await talk.ask(wholeMessage, /354 [^\n]+\n$/)
    await talk.ask('Subject: a\r\n\r\nb\r\n.\r\n', /250 [^\n]+\n$/)
    expect(harness.log.transactions[0]!.tls).toMatchObject({ version: expect.stringMatching(/^TLSv1\.[23]$/) })
  })

  it('says nothing to who speaks in the clear', async () => {
    const { harness, securedPort } = await listen()
    const talk = new Talk(connectPlain({ host: '127.0.0.1', port: securedPort }))
    talk.socket.write('EHLO c.example\r\n')
    await talk.over
    expect(talk.text).not.toMatch(/^[245]\d\d/m)
    expect(harness.log.transactions).toEqual([])
  })
})

describe('the certificate', () => {
  it('is taken anew when it was renewed, and a broken one leaves the one before in force', async () => {
    const { tls, plainPort } = await listen()
    await writeFile(settings.certificate, 'rubbish')
    await tls.reload(nowMs)
    expect(said.at(-1)).toMatchObject({ level: 50, msg: expect.stringContaining('the one before stays in force') })
    const plain = await dial(plainPort)
    await plain.ask('EHLO c\r\n', /250 [^\n]+\n$/)
    await plain.ask('STARTTLS\r\n', /220 [^\n]+\n$/)
    await secure(plain)
    await writeFile(settings.certificate, `${testCertificate}\n`)
    await tls.reload(nowMs)
    expect(said.at(-1)).toMatchObject({ msg: 'The renewed certificate is in force' })
  })

  it.each([
    ['a certificate that is not there', async () => rm(settings.certificate), /mx\.pem cannot be read: check the setting "smtp\.tls\.certificate"/],
    ['a certificate that is none', async () => writeFile(settings.certificate, 'x'), /mx\.pem holds no certificate/],
    ['a key that is none', async () => writeFile(settings.key, 'x'), /mx\.key holds no private key/],
    ['a key of another certificate', async () => writeFile(settings.key, otherKey()), /does not belong to the certificate/],
  ])('%s keeps the gateway from starting, with the file in the error', async (_what, spoil, sentence) => {
    await spoil()
    await expect(new ServerTls(settings, log).open(nowMs)).rejects.toThrow(sentence)
  })

  it('is warned of when it expires within two weeks', async () => {
    await new ServerTls(settings, log).open(Date.UTC(2126, 9, 31))
    expect(said).toMatchObject([{ level: 40, msg: expect.stringContaining('expires soon') }])
  })
})

function otherKey(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
}

describe('a submission listener', () => {
  const login = `AUTH PLAIN ${Buffer.from('\0ann\0secret-word').toString('base64')}\r\n`
  const outward = 'MAIL FROM:<ann@example.com>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\n'

  it('takes a log-in behind STARTTLS, and then mail to anybody', async () => {
    const { harness, submissionPort } = await listen()
    harness.deps.users.adopt([{ name: 'ann', passwordHash: await hashPassword('secret-word'), senders: null }])
    const plain = await dial(submissionPort)
    expect(await plain.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)).not.toContain('AUTH')
    expect(await plain.ask(login, /\n$/)).toMatch(/^538 /)
    await plain.ask('STARTTLS\r\n', /220 [^\n]+\n$/)
    const talk = await secure(plain)
    expect(await talk.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)).toContain('AUTH PLAIN LOGIN\r\n')
    expect(await talk.ask(login, /\n$/)).toBe('235 2.7.0 Logged in\r\n')
    await talk.ask(outward, /354 [^\n]+\n$/)
    expect(await talk.ask('Subject: a\r\n\r\nb\r\n.\r\n', /\n$/)).toMatch(/^250 2\.0\.0 /)
    expect(harness.log.transactions).toMatchObject([{ authUser: 'ann', outcome: 'accepted', tls: { version: expect.any(String) } }])
  })

  it('takes TLS at once behind the header of a proxy, also where both come in one packet', async () => {
    const { harness, proxiedPort } = await listen()
    harness.deps.users.adopt([{ name: 'ann', passwordHash: await hashPassword('secret-word'), senders: null }])
    const raw = connectPlain({ host: '127.0.0.1', port: proxiedPort })
    closers.push(() => void raw.destroy())
    raw.cork()
    raw.write('PROXY TCP4 203.0.113.7 192.0.2.1 54321 465\r\n')
    const talk = new Talk(connectTls({ socket: raw, rejectUnauthorized: false }))
    process.nextTick(() => raw.uncork())
    await talk.heard(/220 [^\n]+\n$/)
    expect(await talk.ask('EHLO c.example\r\n', /250 [^\n]+\n$/)).toContain('AUTH PLAIN LOGIN')
    expect(await talk.ask(login, /\n$/)).toMatch(/^235 /)
    await talk.ask(outward, /354 [^\n]+\n$/)
    await talk.ask('Subject: a\r\n\r\nb\r\n.\r\n', /\n$/)
    expect(harness.log.transactions).toMatchObject([{ authUser: 'ann', remote: { ip: '203.0.113.7' } }])
  })
})
