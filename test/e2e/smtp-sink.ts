/** Debian's smtp-sink as the inner mail server: what arrived is read from its dump files. */
import { spawn } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { peer } from './peers.ts'
import { freePort, until } from './product.ts'

export const smtpSink = peer('smtp-sink', 'postfix')
export const smtpSource = peer('smtp-source', 'postfix')
export const swaks = peer('swaks', 'swaks')

export type SinkMessage = {
  /** Addresses of RCPT, as the sink saw them. */
  recipients: string[]
  /** Octets after the headers that the gateway and the sink put before it: the message as the sender gave it. */
  original: Buffer
  subject: string | null
}

export type Sink = { port: number; messages(): Promise<SinkMessage[]>; stop(): Promise<void> }

export async function startSmtpSink(): Promise<Sink> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-sink-'))
  await chmod(folder, 0o777)
  const port = await freePort()
  const asUser = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn(smtpSink.path, [...asUser, '-d', path.join(folder, 'm'), `127.0.0.1:${port}`, '1000'], { stdio: 'ignore' })
  await until('smtp-sink listens', () => canConnect(port))
  return {
    port,
    messages: async () => {
      const names = (await readdir(folder)).sort()
      const files = await Promise.all(names.map((name) => readFile(path.join(folder, name))))
      return files.filter((file) => file.length > 0).map(parseDump)
    },
    stop: async () => {
      const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill('SIGTERM')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/**
 * A dump is: X-… lines of the envelope, a Received line of the sink, then what our gateway sent, all with bare LF, and
 * one LF more at its end.
 */
function parseDump(file: Buffer): SinkMessage {
  const lines = file.toString('latin1').replace(/\n$/, '').split('\n')
  const recipients = lines.filter((line) => line.startsWith('X-Rcpt-Args: ')).map((line) => /<([^>]*)>/.exec(line)![1]!)
  const own = lines.findIndex((line, at) => line.startsWith('Received:') && joinedHeader(lines, at).includes('by gateway.test'))
  if (own < 0) throw new Error(`A message reached the sink without our Received header:\n${lines.slice(0, 20).join('\n')}`)
  let first = own + 1
  while (/^[ \t]/.test(lines[first] ?? '')) first += 1
  const received = lines.slice(first)
  const subject = received.find((line) => /^subject:/i.test(line))?.replace(/^subject:\s*/i, '') ?? null
  return { recipients, original: Buffer.from(received.join('\r\n'), 'latin1'), subject }
}

function joinedHeader(lines: string[], from: number): string {
  let text = lines[from]!
  for (let index = from + 1; /^[ \t]/.test(lines[index] ?? ''); index += 1) text += ` ${lines[index]!.trim()}`
  return text
}

function canConnect(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
