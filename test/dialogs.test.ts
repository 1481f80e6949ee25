/**
 * Replays the dialogs in test/dialogs against a real gateway over real sockets.
 *
 * A dialog file is read from top to bottom:
 *   # …    a comment
 *   | …    settings of the gateway, YAML, merged over the base below
 *   % …    its rule set, YAML
 *   @ …    a DNS record, like `@ remote.example MX 10 mail.remote.example`; what is not there does not exist
 *   C: …   a command; several in a row go out in one packet. `\r \n \0 \\` are escapes.
 *   C! …   octets as they stand, without a line end; part of the same packet
 *   S: …   the next line of the reply; `…` stands for anything
 *   S:     nothing at all: the connection is closed
 *   ---    the client hangs up and connects again
 *   E: …   the next `transaction.ended`: `path=value` pairs; a path over a list joins its values by commas
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parse } from 'yaml'
import { afterEach, describe, expect, it } from 'vitest'
import { startGateway, type RunningGateway } from '../services/gateway/main.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { readConfig } from '../services/kit/read-config.ts'
import { packageRoot } from '../services/kit/package-root.ts'
import { DnsServer, type Zones } from './dns-server.ts'

const folder = path.join(packageRoot, 'test', 'dialogs')

const directory = `clients:
  - {id: acme, name: Acme, addresses: [anna@example.com, bob@example.com]}
  - {id: blocked, name: Blocked, state: blocked, addresses: [blocked@example.com]}
  - {id: quota, name: Quota, state: quota, addresses: [quota@example.com]}
  - {id: expired, name: Expired, state: expired, addresses: [expired@example.com]}
  - {id: broke, name: Broke, state: balance-exhausted, addresses: [broke@example.com]}
  - {id: early, name: Early, state: not-started, addresses: [early@example.com]}
  - {id: wild, name: Wild, addresses: ['*@wild.example']}
`

const base = {
  data: 'data',
  smtp: { hostname: 'mx.test', listen: ['127.0.0.1:0'] },
  recipients: { domains: ['example.com', 'wild.example', 'xn--bcher-kva.example'], directory: 'directory.yaml' },
}

type Step =
  | { kind: 'send'; octets: Buffer; line: number }
  | { kind: 'expect'; text: string; line: number }
  | { kind: 'closed'; line: number }
  | { kind: 'reconnect'; line: number }
  | { kind: 'event'; pairs: [string, string][]; line: number }

const running: { gateway: RunningGateway; folder: string; names: DnsServer }[] = []
afterEach(async () => {
  for (const { gateway, folder: data, names } of running.splice(0)) {
    await gateway.stop()
    await names.stop()
    await rm(data, { recursive: true })
  }
})

describe('the gateway answers', async () => {
  for (const name of (await readdir(folder)).sort()) {
    it(name.replace(/\.txt$/, '').replaceAll('-', ' '), async () => {
      const dialog = parseDialog(await readFile(path.join(folder, name), 'utf8'))
      const { gateway, data } = await start(dialog)
      await play(dialog.steps, gateway.addresses[0]!)
      await gateway.stop()
      const events = await transactions(data)
      const expected = dialog.steps.filter((step) => step.kind === 'event')
      expected.forEach(({ pairs, line }, index) => {
        const event = events[index]
        for (const [field, value] of pairs)
          expect(`${field}=${valueAt(event, field.split('.'))}`, `event, line ${line}`).toBe(`${field}=${value}`)
      })
      if (expected.length > 0) expect(events.length).toBe(expected.length)
    })
  }
})

type Dialog = { settings: string; rules: string; zones: Zones; steps: Step[] }

function parseDialog(text: string): Dialog {
  const settings: string[] = []
  const rules: string[] = []
  const zones: Zones = {}
  const steps: Step[] = []
  text.split('\n').forEach((whole, index) => {
    const line = index + 1
    const [mark, rest] = [whole.slice(0, 2), whole.slice(3)]
    if (whole.startsWith('| ')) settings.push(whole.slice(2))
    else if (whole.startsWith('% ')) rules.push(whole.slice(2))
    else if (whole.startsWith('@ ')) addRecord(zones, whole.slice(2))
    else if (mark === 'C:') steps.push({ kind: 'send', octets: unescaped(`${rest}\\r\\n`), line })
    else if (mark === 'C!') steps.push({ kind: 'send', octets: unescaped(rest), line })
    else if (whole === 'S:') steps.push({ kind: 'closed', line })
    else if (mark === 'S:') steps.push({ kind: 'expect', text: rest, line })
    else if (whole === '---') steps.push({ kind: 'reconnect', line })
    else if (mark === 'E:') steps.push({ kind: 'event', pairs: pairsOf(rest), line })
    else if (whole !== '' && !whole.startsWith('#')) throw new Error(`line ${line} is no step: ${whole}`)
  })
  return { settings: settings.join('\n'), rules: rules.join('\n'), zones, steps }
}

function addRecord(zones: Zones, text: string): void {
  const [, name, kind, value] = /^(\S+) (\S+) (.*)$/.exec(text)!
  const records = (zones[name!] ??= {}) as Record<string, string[]>
  records[kind!] = [...(records[kind!] ?? []), value!]
}

function unescaped(text: string): Buffer {
  const characters: Record<string, string> = { r: '\r', n: '\n', '0': '\0', '\\': '\\' }
  const plain = text.replace(/\\([rn0\\])/g, (_, character: string) => characters[character]!)
  return Buffer.from(
    plain.replace(/\{(\d+) (.)\}/g, (_, count: string, character: string) => character.repeat(Number(count))),
  )
}

function pairsOf(text: string): [string, string][] {
  return text.split(' ').map((pair) => {
    const equals = pair.indexOf('=')
    return [pair.slice(0, equals), pair.slice(equals + 1)]
  })
}

async function start({ settings, rules, zones }: Dialog): Promise<{ gateway: RunningGateway; data: string }> {
  const names = await DnsServer.start()
  names.zones = zones
  const data = await mkdtemp(path.join(tmpdir(), 'tollgate-dialog-'))
  await mkdir(path.join(data, 'data'))
  await writeFile(path.join(data, 'directory.yaml'), directory)
  if (rules !== '') await writeFile(path.join(data, 'rules.yaml'), rules)
  const config = merged(
    { ...base, checks: { dns: { servers: [names.address] } } },
    {
      ...((parse(settings) ?? {}) as object),
      ...(rules === '' ? {} : { rules: 'rules.yaml' }),
    },
  )
  await writeFile(path.join(data, 'tollgate.yaml'), JSON.stringify(config))
  const reading = readConfig(path.join(data, 'tollgate.yaml'), {})
  if ('faults' in reading) throw new Error(JSON.stringify(reading.faults))
  const gateway = await startGateway({ config: reading.config, log: openOperatorLog('gateway', { level: 'silent' }) })
  running.push({ gateway, folder: data, names })
  return { gateway, data }
}

type Tree = { [key: string]: unknown }

function merged(left: Tree, right: Tree): Tree {
  const both: Tree = { ...left }
  for (const [key, value] of Object.entries(right)) {
    const before = both[key]
    both[key] = isTree(before) && isTree(value) ? merged(before, value) : value
  }
  return both
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

async function play(steps: readonly Step[], address: string): Promise<void> {
  let client = await Client.connect(address)
  let packet: Buffer[] = []
  const flush = (): void => {
    if (packet.length > 0) client.send(Buffer.concat(packet))
    packet = []
  }
  for (const step of steps) {
    if (step.kind === 'send') {
      packet.push(step.octets)
      continue
    }
    flush()
    if (step.kind === 'expect') {
      const line = await client.readLine()
      if (!matches(line, step.text)) expect(line, `reply, line ${step.line}`).toBe(step.text)
    } else if (step.kind === 'closed') expect(await client.readLine(), `end, line ${step.line}`).toBeNull()
    else if (step.kind === 'reconnect') {
      await client.hangUp()
      client = await Client.connect(address)
    }
  }
  flush()
  await client.hangUp()
}

function matches(line: string | null, pattern: string): boolean {
  if (line === null) return false
  return new RegExp(
    `^${pattern
      .split('…')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
  ).test(line)
}

class Client {
  readonly #socket: Socket
  #text = ''
  #isOver = false
  #wake: () => void = () => {}

  static connect(address: string): Promise<Client> {
    const [host, port] = address.split(':')
    return new Promise((resolve, reject) => {
      const socket = connect({ host: host!, port: Number(port) })
      const client = new Client(socket)
      socket.once('connect', () => resolve(client))
      socket.once('error', reject)
    })
  }

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text) => {
      this.#text += String(text)
      this.#wake()
    })
    for (const event of ['end', 'close', 'error'] as const) {
      socket.on(event, () => {
        this.#isOver = true
        this.#wake()
      })
    }
  }

  send(octets: Buffer): void {
    this.#socket.write(octets)
  }

  /** The next line without its end, `null` when the connection is over. */
  async readLine(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf('\r\n')
      if (end >= 0) {
        const line = this.#text.slice(0, end)
        this.#text = this.#text.slice(end + 2)
        return line
      }
      if (this.#isOver) return null
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** Everything that was said must have been expected. */
  async hangUp(): Promise<void> {
    this.#socket.end()
    for (let line = await this.readLine(); line !== null; line = await this.readLine()) {
      expect(line, 'a reply that the dialog does not expect').toBeNull()
    }
  }
}

async function transactions(data: string): Promise<unknown[]> {
  const events = path.join(data, 'data', 'events')
  const texts = await Promise.all(
    (await readdir(events)).sort().map((name) => readFile(path.join(events, name), 'utf8')),
  )
  return texts
    .flatMap((text) => text.trimEnd().split('\n'))
    .map((line) => JSON.parse(line) as { kind: string })
    .filter(({ kind }) => kind === 'transaction.ended')
}

function valueAt(value: unknown, fields: readonly string[]): string {
  if (Array.isArray(value)) return value.map((one) => valueAt(one, fields)).join(',')
  const [field, ...rest] = fields
  if (field === undefined) return String(value).replaceAll(' ', '_')
  return typeof value === 'object' && value !== null ? valueAt((value as Tree)[field], rest) : 'missing'
}
