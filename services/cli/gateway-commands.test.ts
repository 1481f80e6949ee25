import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Command, Option } from 'commander'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { configOf } from '../../test/gateway-harness.ts'
import { sendMessage } from '../../test/send-message.ts'
import { eventually } from '../../test/spool-fixture.ts'
import type { HeldMessageView, QueuedMessage } from '../contracts/control.ts'
import { startSink, type Sink } from '../demo/sink.ts'
import { startGateway, type RunningGateway } from '../gateway/main.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { addGatewayCommands } from './gateway-commands.ts'

const held = 'From: Eve <e@far.example>\r\nSubject: hello \u001b[31m\r\n\r\ntext\r\n'
let folder: string
let sink: Sink
let gateway: RunningGateway
let config: ReturnType<typeof configOf>

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-commands-'))
  const rules = path.join(folder, 'rules.yaml')
  await writeFile(rules, 'rules: [{id: hold, stage: mail, when: {attribute: sender, matches: far}, then: {quarantine: true}}]\n')
  sink = await startSink({
    port: 0,
    keepOctets: true,
    refuseRecipient: (address) => (address.startsWith('slow') ? { code: 451, text: '4.2.1 later' } : null),
  })
  const yaml = `
smtp: {listen: ['127.0.0.1:0']}
recipients: {mode: domains, domains: [example.com]}
routes: [{domain: '*', host: 127.0.0.1, port: ${sink.port}, tls: 'off'}]`
  config = { ...configOf(yaml), data: folder, rules }
  gateway = await startGateway({ config, log: openOperatorLog('gateway', { level: 'silent' }) })
})
afterEach(async () => {
  await gateway.stop()
  await sink.stop()
  await rm(folder, { recursive: true })
})

/** What the words print. */
async function tollgate(...words: string[]): Promise<string> {
  const program = new Command('tollgate').exitOverride()
  addGatewayCommands(program, {
    configOf: () => config,
    configOption: () => new Option('--config <file>'),
    demoOption: () => new Option('--demo'),
    countUpTo: () => Number,
  })
  let text = ''
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation((part) => ((text += String(part)), true)),
    vi.spyOn(process.stderr, 'write').mockImplementation(() => true),
  ]
  await program.parseAsync(words, { from: 'user' }).finally(() => spies.forEach((spy) => spy.mockRestore()))
  return text
}

async function accepted(message: string, options: { sender: string; recipient?: string }): Promise<string> {
  const reply = await sendMessage(gateway.addresses[0]!, message, options)
  return /queued as (\S+)/.exec(reply)![1]!
}

it('what a rule holds is listed, shown without acting on the terminal, and released to the next hop as received', async () => {
  const id = await accepted(held, { sender: 'eve@far.example' })
  expect(await tollgate('quarantine', 'list')).toMatch(new RegExp(`^${id} .* hold +eve@far\\.example +a@example\\.com +hello `, 'm'))
  expect(await tollgate('quarantine', 'list', '--from', 'nobody')).toBe('')
  expect(JSON.parse(await tollgate('quarantine', 'list', '--rule', 'hold', '--format', 'json'))).toMatchObject({ queueId: id })
  const shown = await tollgate('quarantine', 'show', id)
  expect(shown).toContain('Subject: hello \\x1b[31m\n')
  expect(shown).not.toContain('\u001b')
  expect(JSON.parse(await tollgate('quarantine', 'show', id, '--format', 'json')) as HeldMessageView).toMatchObject({ queueId: id, text: 'text\n' })
  await expect(tollgate('quarantine', 'release', id, '--to', 'z@example.com')).rejects.toThrow('z@example.com')
  expect(sink.messages).toEqual([])
  expect(await tollgate('quarantine', 'release', id)).toBe(`${id} is released to a@example.com.\n`)
  await eventually(() => sink.messages.length === 1)
  expect(sink.messages[0]!.octets!.toString().endsWith(`\r\n${held}`)).toBe(true)
  expect(await tollgate('quarantine', 'list')).toBe('')
})

it('what is held is deleted only where one says yes, and then nobody gets it', async () => {
  const id = await accepted(held, { sender: 'eve@far.example' })
  await expect(tollgate('quarantine', 'delete', id)).rejects.toThrow('Add --yes')
  expect(await tollgate('quarantine', 'list')).toContain(id)
  expect(await tollgate('quarantine', 'delete', id, '--yes')).toBe(`${id} is deleted.\n`)
  expect(await tollgate('quarantine', 'list')).toBe('')
  await expect(tollgate('quarantine', 'show', id)).rejects.toThrow()
  expect(sink.messages).toEqual([])
})

it('what waits is listed with the words of the next hop', async () => {
  const id = await accepted('Subject: x\r\n\r\nb\r\n', { sender: 'ann@near.example', recipient: 'slow@example.com' })
  await eventually(() => sink.counts.refusedRecipients > 0)
  let row: QueuedMessage
  do row = JSON.parse(await tollgate('queue', 'list', '--format', 'json')) as QueuedMessage
  while (row.recipients[0]!.lastError === null)
  expect(row).toMatchObject({ queueId: id, status: 'deferred', attemptCount: 1 })
  expect(await tollgate('queue', 'list')).toMatch(new RegExp(`^${id} .* deferred .*slow@example\\.com .*later`, 'm'))
})

it('an id that is none, and a gateway that does not run, are told in a sentence', async () => {
  await expect(tollgate('quarantine', 'show', '../x')).rejects.toThrow('"../x" is no id of a message')
  await gateway.stop()
  await expect(tollgate('queue', 'list')).rejects.toThrow(`No gateway runs on ${folder}`)
})
