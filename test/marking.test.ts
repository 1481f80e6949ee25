/** Marks through the whole gateway: what a sender forged, what a long header hides, and what the next hop gets. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { startSink, type Sink } from '../services/demo/sink.ts'
import { startGateway, type RunningGateway } from '../services/gateway/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { configOf } from './gateway-harness.ts'
import { sendMessage } from './send-message.ts'
import { eventually } from './spool-fixture.ts'

const log = openOperatorLog('gateway', { level: 'silent' })
const ruleset = `
markAt: null
rejectAt: null
rules:
  - {id: mark, stage: mail, when: {attribute: sender, matches: spammer}, then: {markSubject: '[SPAM]', addHeader: {name: X-Rule, value: hit}}}
`
let folder: string
let sink: Sink
let gateway: RunningGateway | null = null
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-marking-'))
  await writeFile(path.join(folder, 'rules.yaml'), ruleset)
  sink = await startSink({ port: 0, keepOctets: true })
})
afterEach(async () => {
  await gateway?.stop()
  gateway = null
  await sink.stop()
  await rm(folder, { recursive: true })
})

/** What the next hop gets of a message, without the Received in front. */
async function sent(message: string, sender: string, networkClass: 'public' | 'trusted' = 'public'): Promise<string> {
  const config = configOf(`
smtp: {listen: ['127.0.0.1:0']}
networks: [{name: here, class: ${networkClass}, cidrs: [127.0.0.1]}]
recipients: {mode: domains, domains: [example.com]}
routes: [{domain: '*', host: 127.0.0.1, port: ${sink.port}, tls: 'off'}]`)
  gateway = await startGateway({ config: { ...config, data: folder, rules: path.join(folder, 'rules.yaml') }, log })
  expect(await sendMessage(gateway.addresses[0]!, message, { sender })).toMatch(/^250/)
  await eventually(() => sink.messages.length === 1)
  return sink.messages[0]!.octets!.toString('latin1').replace(/^Received:.*\r\n([ \t].*\r\n)*/m, '')
}

const forged = 'X-Spam-Flag: NO\r\nX-Rule: clean\r\nx-tollgate-mark: none\r\nSubject: hello\r\nX-Other: kept\r\n\r\nX-Rule: body\r\n'
const renamed = forged.replace('X-Spam-Flag: NO\r\nX-Rule: clean\r\nx-toll', 'X-Original-X-Spam-Flag: NO\r\nX-Original-X-Rule: clean\r\nX-Original-x-toll')

it('a sender from outside cannot set the marks that recipients filter by, whether a rule marks his mail or not', async () => {
  expect(await sent(forged, 'friend@far.example')).toBe(renamed)
})

it('beside a forged mark that lost its name stands ours', async () => {
  expect(await sent(forged, 'spammer@far.example')).toBe(`X-Rule: hit\r\n${renamed.replace('Subject: ', 'Subject: [SPAM] ')}`)
})

it('mail of a remote that may relay keeps the marks it comes with', async () => {
  expect(await sent(forged, 'friend@far.example', 'trusted')).toBe(forged)
})

const line = `X-Filler: ${'x'.repeat(60)}\r\n`
const body = `${'a line of text\r\n'.repeat(80_000)}\r\n\r\nSubject: body\r\n`

it.each([
  ['a subject behind the first block of a large message is tagged once', line.repeat(5_000), 'Subject: hi\r\n', 'Subject: [SPAM] hi\r\n', ''],
  ['a forged mark behind the first block loses its name', line.repeat(5_000), 'Subject: hi\r\nX-Rule: no\r\n', 'Subject: [SPAM] hi\r\nX-Original-X-Rule: no\r\n', ''],
  ['a forged mark across the end of the first block loses its name', `To: ${'t'.repeat(10)}\r\n`.padStart(256 * 1024 - 5, line), 'X-Rule: no\r\nSubject: hi\r\n', 'X-Original-X-Rule: no\r\nSubject: [SPAM] hi\r\n', ''],
  ['a signature behind the first block keeps the subject before it', `Subject: hi\r\n${line.repeat(5_000)}`, 'DKIM-Signature: d=x; h=subject; b=x\r\n', 'DKIM-Signature: d=x; h=subject; b=x\r\n', 'X-Tollgate-Mark: [SPAM]\r\n'],
])('%s', async (_, before, field, expected, added) => {
  const out = await sent(`${before}${field}\r\n${body}`, 'spammer@far.example')
  expect(out === `${added}X-Rule: hit\r\n${before}${expected}\r\n${body}`, `${out.slice(0, 200)} … ${out.length}`).toBe(true)
})

it('a header section that is longer than what is looked at goes on with every octet, and no second subject', async () => {
  const message = `${line.repeat(75_000)}Subject: hi\r\n\r\n${body}`
  const out = await sent(message, 'spammer@far.example')
  expect(out === `X-Tollgate-Mark: [SPAM]\r\nX-Rule: hit\r\n${message}`, `${out.slice(0, 200)} … ${out.length}`).toBe(true)
})
