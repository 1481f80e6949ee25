/**
 * Kills the gateway under load, again and again: what it acknowledged is in its log and reaches the next server, and
 * clients that try again where they got no reply put no message into the log twice.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, it } from 'vitest'
import type { TollgateEvent } from '../services/contracts/event.ts'
import { startSink } from '../services/demo/sink.ts'

const childPath = path.join(import.meta.dirname, '../dist/test/harness/gateway-child.js')
const rounds = 4
const clientCount = 8

it('keeps every message it acknowledged, and takes no retry for a new message, however often it is killed', async () => {
  expect(existsSync(childPath), `${childPath} is missing: npm run build:services`).toBe(true)
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-kill-'))
  const delivered = new Set<string>()
  const sink = await startSink({
    port: 0,
    keepCount: 1,
    onMessage: ({ recipients }) => void delivered.add(recipients[0]!),
  })
  const config = path.join(folder, 'tollgate.yaml')
  await writeFile(
    config,
    JSON.stringify({
      node: 'kill',
      data: 'data',
      smtp: { listen: ['127.0.0.1:0'] },
      recipients: { mode: 'domains', domains: ['example.com'] },
      routes: [{ domain: '*', host: '127.0.0.1', port: sink.port, tls: 'off' }],
      delivery: { firstRetrySeconds: 1, lastRetrySeconds: 1 },
    }),
  )
  const acknowledged = new Set<string>()
  /** Sent, and no reply came: to be sent again. */
  const unanswered = new Set<string>()
  let nextNumber = 0
  try {
    for (let round = 0; round <= rounds; round += 1) {
      const { child, port } = await startChild(config)
      const isLast = round === rounds
      let isDying = false
      const clients = Array.from({ length: clientCount }, async () => {
        while (!isDying) {
          const name = take(unanswered) ?? (isLast ? null : `m${(nextNumber += 1)}`)
          if (name === null) return
          const isAccepted = await send(port, name).catch(() => false)
          if (!isAccepted) return void unanswered.add(name)
          acknowledged.add(name)
        }
      })
      if (!isLast) {
        await until(() => acknowledged.size > (round + 1) * 20)
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 100))
        isDying = true
        child.kill('SIGKILL')
      }
      await Promise.all(clients)
      if (isLast) {
        expect([...unanswered]).toEqual([])
        await until(() => [...acknowledged].every((name) => delivered.has(`${name}@example.com`)))
        child.send('stop')
      }
      await new Promise((resolve) =>
        child.exitCode === null && child.signalCode === null ? child.once('exit', resolve) : resolve(null),
      )
    }
    const boots = await readBoots(path.join(folder, 'data', 'events'))
    expectLinked(boots)
    const events = boots.flat()
    const queued = events.flatMap((event) =>
      event.kind === 'transaction.ended' && event.queueId !== null ? [event.messageId] : [],
    )
    expect([...acknowledged].filter((name) => !queued.includes(`<${name}@remote.example>`))).toEqual([])
    expect(queued.length, 'messages that were queued twice').toBe(new Set(queued).size)
  } finally {
    await sink.stop()
    await rm(folder, { recursive: true })
  }
}, 120_000)

function take(names: Set<string>): string | undefined {
  const name = names.values().next().value
  if (name !== undefined) names.delete(name)
  return name
}

async function startChild(config: string): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(childPath, [config], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const { address } = await new Promise<{ address: string }>((resolve, reject) => {
    child.once('message', (message) => resolve(message as { address: string }))
    child.once('exit', (code) => reject(new Error(`the gateway ended with ${code}`)))
  })
  return { child, port: Number(address.split(':')[1]) }
}

/** Whether the message was answered 250. */
function send(port: number, name: string): Promise<boolean> {
  const lines = [
    'EHLO c',
    'MAIL FROM:<s@remote.example>',
    `RCPT TO:<${name}@example.com>`,
    'DATA',
    `Message-ID: <${name}@remote.example>\r\nSubject: ${name}\r\n\r\n${'x'.repeat(3_000)}\r\n.`,
    'QUIT',
  ]
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port })
    let text = ''
    let step = 0
    let isAccepted = false
    socket.setEncoding('latin1')
    socket.on('data', (chunk) => {
      text += String(chunk)
      for (let match = /^(\d{3})[ ].*\r\n/m.exec(text); match !== null; match = /^(\d{3})[ ].*\r\n/m.exec(text)) {
        text = text.slice(match.index + match[0].length)
        if (step === 5) isAccepted = match[1] === '250'
        if (step === lines.length) return void socket.end()
        socket.write(`${lines[step]}\r\n`)
        step += 1
      }
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(isAccepted))
  })
}

/** Events of each boot in their order; only whole lines. */
async function readBoots(folder: string): Promise<TollgateEvent[][]> {
  const boots = new Map<string, TollgateEvent[]>()
  for (const name of (await readdir(folder)).sort()) {
    const lines = (await readFile(path.join(folder, name), 'utf8')).split('\n').slice(0, -1)
    for (const event of lines.map((line) => JSON.parse(line) as TollgateEvent)) {
      const boot = boots.get(event.boot)
      if (boot === undefined) boots.set(event.boot, [event])
      else boot.push(event)
    }
  }
  return [...boots.values()]
}

function expectLinked(boots: readonly TollgateEvent[][]): void {
  expect(boots.length).toBe(rounds + 1)
  boots.forEach((events, index) => {
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, position) => position + 1))
    const before = boots[index - 1]?.at(-1)
    expect(events.find(({ kind }) => kind === 'gateway.started')).toMatchObject({
      bootNumber: index + 1,
      previousBoot: before?.boot ?? null,
      previousSeq: before?.seq ?? null,
      previousEndedCleanly: before === undefined ? null : false,
    })
  })
  expect(boots.at(-1)!.at(-1)?.kind).toBe('gateway.stopped')
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 20))
}
