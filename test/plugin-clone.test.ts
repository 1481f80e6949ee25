/** Clones go to a second server by a route of their own, and what becomes of them is not what becomes of the message. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { TollgateEvent } from '../services/contracts/event.ts'
import { startSink, type Sink } from '../services/demo/sink.ts'
import { startGateway, type RunningGateway } from '../services/gateway/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { readConfig } from '../services/kit/read-config.ts'
import { until } from './e2e/product.ts'
import { sendMessage } from './send-message.ts'

const log = openOperatorLog('gateway', { level: 'silent' })
const message = 'Subject: hello\r\nMessage-ID: <1@x>\r\n\r\ntext\r\n'
let folder: string
let inner: Sink
let second: Sink
let gateway: RunningGateway
let isSecondRefusing = false

function yaml(domain = 'clone.example.com', route = domain): string {
  return `smtp: {listen: ['127.0.0.1:0'], hostname: mx.example.com}
recipients: {domains: [example.com, example.org], mode: domains}
routes:
  - {domain: '*', host: 127.0.0.1, port: ${inner.port}, tls: 'off'}
  - {domain: ${route}, host: 127.0.0.1, port: ${second.port}, tls: 'off'}
plugins: {clone: [{domain: ${domain}, of: [example.com], onFailure: closed}]}
`
}

async function configured(text: string) {
  await writeFile(path.join(folder, 'tollgate.yaml'), text)
  return readConfig(path.join(folder, 'tollgate.yaml'), {})
}

beforeEach(async () => {
  isSecondRefusing = false
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-clone-'))
  inner = await startSink({ port: 0, keepOctets: true })
  second = await startSink({ port: 0, keepOctets: true, refuseRecipient: () => (isSecondRefusing ? { code: 550, text: '5.1.1 nobody' } : null) })
  const reading = await configured(yaml())
  if ('faults' in reading) throw new Error(JSON.stringify(reading.faults))
  gateway = await startGateway({ config: reading.config, log })
})
afterEach(async () => {
  await gateway.stop()
  await inner.stop()
  await second.stop()
  await rm(folder, { recursive: true })
})

async function events(): Promise<TollgateEvent[]> {
  const names = await readdir(path.join(folder, 'data', 'events'))
  const texts = await Promise.all(names.sort().map((name) => readFile(path.join(folder, 'data', 'events', name), 'utf8')))
  return texts.flatMap((text) => text.split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as TollgateEvent))
}

const finished = async () => (await events()).filter((event) => event.kind === 'message.finished')
const send = (text = message, recipient = 'ann@example.com') => sendMessage(gateway.addresses[0]!, text, { recipient, sender: 's@remote.example' })

it('sends a copy to the second server, and the event knows one recipient', async () => {
  expect(await send()).toMatch(/^250 /)
  await until('it is finished', async () => (await finished()).length === 1)
  expect(inner.messages.map(({ recipients }) => recipients)).toEqual([['ann@example.com']])
  expect(second.messages.map(({ recipients }) => recipients)).toEqual([['ann@clone.example.com']])
  const [ended] = (await events()).filter((event) => event.kind === 'transaction.ended')
  expect(ended).toMatchObject({ recipients: [{ address: 'ann@example.com' }], plugins: [{ name: 'prepare-clone', result: 'cloned' }] })
  expect(await finished()).toMatchObject([{ deliveredCount: 1, failedCount: 0, expiredCount: 0 }])
})

it('changes nothing for the message where the second server refuses the copy', async () => {
  isSecondRefusing = true
  expect(await send()).toMatch(/^250 /)
  await until('it is finished', async () => (await finished()).length === 1)
  expect(await finished()).toMatchObject([{ deliveredCount: 1, failedCount: 0, expiredCount: 0 }])
  expect(inner.counts.messages).toBe(1)
  expect(second.counts.refusedRecipients).toBe(1)
})

it('makes no copy of what comes back, nor for a domain that is not cloned', async () => {
  await send()
  await until('the second server has it', () => second.counts.messages === 1)
  const returned = second.messages[0]!.octets!.toString('latin1')
  expect(await send(`Received: from second\r\n${returned}`)).toMatch(/^250 /)
  expect(await send(message, 'ann@example.org')).toMatch(/^250 /)
  await until('all are finished', async () => (await finished()).length === 3)
  expect(second.counts.messages).toBe(1)
  expect(inner.counts.messages).toBe(3)
})

it('must have a domain with a route, that mail is not accepted for', async () => {
  expect(await configured(yaml('example.com'))).toMatchObject({ faults: [{ field: 'plugins.clone[0].domain', message: expect.stringContaining('could come back') }] })
  expect(await configured(yaml('else.example', 'clone.example.com'))).toMatchObject({ faults: [{ field: 'plugins.clone[0].domain', message: 'there is no route for else.example' }] })
})
