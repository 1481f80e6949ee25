/** What leaves signed is verified where it arrives: through gateway, spool and relay into a sink, over real sockets. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startSink, type Sink } from '../services/demo/sink.ts'
import { startGateway, type RunningGateway } from '../services/gateway/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { readConfig } from '../services/kit/read-config.ts'
import { until } from './e2e/product.ts'
import { configOf } from './gateway-harness.ts'
import { pluginHarness } from './plugin-harness.ts'
import { sendMessage, type SendOptions } from './send-message.ts'

let folder: string
let sink: Sink
let gateway: RunningGateway
const log = openOperatorLog('gateway', { level: 'silent' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ed25519 = generateKeyPairSync('ed25519')
const names: Record<string, string> = {
  'r1._domainkey.example.com': `v=DKIM1; k=rsa; p=${rsa.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`,
  'e1._domainkey.example.com': `v=DKIM1; k=ed25519; p=${ed25519.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64')}`,
}
const pem = (key: KeyObject): string => String(key.export({ type: 'pkcs8', format: 'pem' }))

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-dkim-'))
  await writeFile(path.join(folder, 'rsa.pem'), pem(rsa.privateKey))
  await writeFile(path.join(folder, 'ed25519.pem'), pem(ed25519.privateKey))
  await writeFile(
    path.join(folder, 'rules.yaml'),
    `markAt: null
rejectAt: null
rules:
  - {id: tag, stage: complete, when: {attribute: subject, matches: 'tag me'}, then: {markSubject: '[Präfix]', addHeader: {name: X-Marked, value: 'yes'}}}
`,
  )
  sink = await startSink({ port: 0, keepOctets: true })
  await writeFile(
    path.join(folder, 'tollgate.yaml'),
    `smtp: {listen: ['127.0.0.1:0'], hostname: mx.example.com}
rules: rules.yaml
recipients: {domains: [example.com], mode: domains}
networks: [{name: inside, class: trusted, cidrs: [127.0.0.0/8]}]
routes: [{domain: '*', host: 127.0.0.1, port: ${sink.port}, tls: 'off'}]
plugins:
  dkim:
    - onFailure: closed
      keys: [{domain: example.com, selector: r1, file: rsa.pem}, {domain: example.com, selector: e1, file: ed25519.pem}]
`,
  )
  const reading = readConfig(path.join(folder, 'tollgate.yaml'), {})
  if ('faults' in reading) throw new Error(JSON.stringify(reading.faults))
  gateway = await startGateway({ config: reading.config, log })
})
afterAll(async () => {
  await gateway?.stop()
  await sink?.stop()
  await rm(folder, { recursive: true, force: true })
})

async function verified(octets: Buffer): Promise<string[]> {
  const { default: module } = await import('mailauth/lib/dkim/dkim-verifier.js')
  const verifier = new module.DkimVerifier({ resolver: async (name) => [[names[name] ?? '']], curTime: new Date() })
  // A header without a body has no empty line behind it.
  await verifier.writeAsync(octets.includes('\r\n\r\n') ? octets : Buffer.concat([octets, Buffer.from('\r\n')]))
  await verifier.finish()
  return verifier.results.map(({ status }) => status.result)
}

async function delivered(message: string | Buffer, options: SendOptions = {}): Promise<Buffer> {
  const before = sink.counts.messages
  expect(await sendMessage(gateway.addresses[0]!, message, { recipient: 'else@where.example', ...options })).toMatch(/^250 /)
  await until('the sink has it', () => sink.counts.messages > before)
  return sink.messages.at(-1)!.octets!
}

const head = 'From: Ann <ann@example.com>\r\nTo: else@where.example\r\nSubject: hello\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n'
const lines = (count: number): string => 'a line of text,  with blanks \r\n'.repeat(count)

describe('mail that leaves through the relay', () => {
  it.each<[string, string | Buffer]>([
    ['plain', `${head}\r\ntext\r\n`],
    ['with lines that begin with a dot', `${head}\r\n.\r\n..two\r\n.three\r\n`],
    ['in 8 bits', Buffer.from(`${head}Content-Type: text/plain; charset=utf-8\r\n\r\nPräfix ü\r\n`)],
    ['without a body', head],
    ['with blank lines at its end', `${head}\r\ntext\r\n\r\n\r\n`],
    ['with a folded header', `${head.replace('hello', 'hello\r\n\tfolded   here')}\r\ntext\r\n`],
    ['larger than what the spool keeps in memory', `${head}\r\n${lines(90_000)}`],
  ])('is signed by both keys so that it verifies: %s', async (_what, message) => {
    expect(await verified(await delivered(message))).toEqual(['pass', 'pass'])
  })

  it.each([
    ['a plain subject', `${head.replace('hello', 'tag me')}\r\ntext\r\n`],
    ['an encoded subject', `${head.replace('hello', '=?utf-8?q?tag_me_=C3=BC?=')}\r\ntext\r\n`],
    ['a large message', `${head.replace('hello', 'tag me')}\r\n${lines(90_000)}`],
  ])('is signed with the tag that a rule puts into its subject: %s', async (_what, message) => {
    const octets = await delivered(message)
    expect(octets.toString('latin1')).toMatch(/^Subject: =\?UTF-8\?B\?/im)
    expect(octets.toString('latin1')).toMatch(/^X-Marked: yes/m)
    expect(await verified(octets)).toEqual(['pass', 'pass'])
    expect(await verified(Buffer.from(octets.toString('latin1').replace('text,', 'Text,').replace('\r\ntext\r\n', '\r\nText\r\n'), 'latin1'))).not.toContain('pass')
  })

  it('is not signed for a domain without a key, nor where it stays inside', async () => {
    const other = `${head.replace('ann@example.com', 'ann@other.example')}\r\ntext\r\n`
    expect(await verified(await delivered(other, { sender: 'ann@other.example' }))).toEqual(['none'])
    expect(await verified(await delivered(`${head}\r\ntext\r\n`, { recipient: 'bob@example.com' }))).toEqual(['none'])
    expect(await verified(await delivered(`${head}\r\ntext\r\n`))).toEqual(['pass', 'pass'])
  })
})

describe('a signer', () => {
  const settings = (file: string) => `{dkim: [{onFailure: closed, directions: [inbound, outbound], keys: [{domain: example.com, selector: r1, file: ${file}}]}]}`

  it('signs nothing for a remote that may not relay, whatever its From says', async () => {
    const harness = await pluginHarness(settings(path.join(folder, 'rsa.pem')))
    await harness.connect('203.0.113.9').deliver(`${head}\r\ntext`)
    await harness.connect('192.0.2.7').deliver(`${head}\r\ntext`)
    expect(harness.log.transactions.map(({ plugins }) => plugins.map(({ name, result }) => `${name} ${result}`))).toEqual([[], ['prepare-dkim signed']])
  })

  it('that cannot use its key keeps the gateway from starting, and says which file and what to do', async () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 512 })
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    for (const [name, text] of Object.entries({ small: pem(small.privateKey), ec: pem(ec.privateKey), 'no-key': 'hello' })) {
      await writeFile(path.join(folder, name), text)
    }
    const attempt = (name: string) => {
      const config = configOf(`smtp: {listen: ['127.0.0.1:0']}\nplugins: ${settings(path.join(folder, name))}`)
      return startGateway({ config: { ...config, data: path.join(folder, 'data-other') }, log })
    }
    const place = 'plugins.dkim: key 1 (example.com, selector r1): '
    await expect(attempt('missing')).rejects.toThrow(`${place}${path.join(folder, 'missing')} cannot be read`)
    await expect(attempt('no-key')).rejects.toThrow(`${place}${path.join(folder, 'no-key')} is no private key in PEM`)
    await expect(attempt('ec')).rejects.toThrow('is a key of type ec')
    await expect(attempt('small')).rejects.toThrow('has 512 bits')
  })
})
