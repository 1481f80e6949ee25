/**
 * What mail is measured against: smtp-source and smtp-sink of Postfix, and Postfix itself set up as the same gateway.
 *
 * Owns    their processes and folders; each is ended with its bench, by its id.
 * Why     Postfix gets the settings that its own documentation names for load (no delays for errors, no limit of
 *         connections, a process for each session), so that what is measured is not a brake that is on by default.
 * Limits  root only: Postfix and the sink change to users of their own.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writePostfixConfig } from '../e2e/postfix-config.ts'
import { MissingPeer } from './bench.ts'
import { endChild } from './child-process.ts'
import { findProgram } from './peer-program.ts'

export const sessionCount = 20
export const listedDomain = 'bench.test'
export const knownRecipient = `user@${listedDomain}`

/** A server that takes mail and hands it on, or keeps it. */
export type MailServer = { name: string; port: number; cpuSeconds(): number; stop(): Promise<void> }

export type Sink = { port: number; messageCount(): number; stop(): Promise<void> }

export async function startSink(): Promise<Sink> {
  const program = findProgram('smtp-sink', 'postfix')
  const port = await freePort()
  const asUser = process.getuid?.() === 0 ? ['-u', 'nobody'] : []
  const child = spawn(program, ['-c', ...asUser, `127.0.0.1:${port}`, '1000'], { stdio: ['ignore', 'pipe', 'ignore'] })
  let messageCount = 0
  let rest = ''
  child.stdout.on('data', (chunk: Buffer) => {
    rest = (rest + chunk.toString('latin1')).slice(-200)
    const last = rest.lastIndexOf('mesg=')
    const counted = /^mesg=(\d+)\D/.exec(rest.slice(last))
    if (last >= 0 && counted !== null) messageCount = Number(counted[1])
  })
  await listening(port, child)
  return { port, messageCount: () => messageCount, stop: () => endChild(child) }
}

/** Sends so many messages of a size over as many sessions as the benches use; resolves when all are answered. */
export async function sendMessages(port: number, messageCount: number, messageBytes: number): Promise<void> {
  const program = findProgram('smtp-source', 'postfix')
  const words = ['-d', '-s', String(sessionCount), '-m', String(messageCount), '-l', String(messageBytes)]
  const child = spawn(program, [...words, '-f', 'sender@remote.test', '-t', knownRecipient, `127.0.0.1:${port}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`smtp-source failed: ${complaint.trim().slice(0, 500)}`)
}

/** Messages a second from the first connection until the sink has the last of them. */
export async function deliveredPerSecond(port: number, sink: Sink, messageCount: number, messageBytes: number): Promise<number> {
  const before = sink.messageCount()
  const startMs = performance.now()
  await sendMessages(port, messageCount, messageBytes)
  while (sink.messageCount() < before + messageCount) {
    if (performance.now() - startMs > 600_000) {
      throw new Error(`${sink.messageCount() - before} of ${messageCount} messages arrived within 10 minutes`)
    }
    await sleep(5)
  }
  return messageCount / ((performance.now() - startMs) / 1_000)
}

export async function startPostfix(folder: string, sinkPort: number): Promise<MailServer> {
  if (process.getuid?.() !== 0) throw new MissingPeer('Postfix as a peer needs root: it changes to users of its own')
  const program = findProgram('postfix', 'postfix')
  const port = await freePort()
  const conf = path.join(folder, 'conf')
  writePostfixConfig(folder, {
    port,
    settings,
    maps: { recipients: `${knownRecipient} ok\n`, transport: `${listedDomain} smtp:[127.0.0.1]:${sinkPort}\n` },
  })
  const run = (command: string): void => void execFileSync(program, ['-c', conf, command], { stdio: 'ignore', timeout: 30_000 })
  run('start')
  await listening(port, null)
  const masterPid = Number(readFileSync(path.join(folder, 'queue', 'pid', 'master.pid'), 'utf8'))
  return { name: 'Postfix', port, cpuSeconds: () => cpuSecondsOf(masterPid), stop: async () => run('stop') }
}

/** CPU time of a process, of those below it, and of those below it that ended. */
export function cpuSecondsOf(rootPid: number): number {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    const fields = statFields(name)
    return fields === null ? [] : [{ pid: Number(name), parent: Number(fields[1]), fields }]
  })
  const within = new Set([rootPid])
  for (let size = 0; size !== within.size; ) {
    size = within.size
    for (const { pid, parent } of processes) if (within.has(parent)) within.add(pid)
  }
  const ticks = processes.filter(({ pid }) => within.has(pid))
    .reduce((sum, { fields }) => sum + [11, 12, 13, 14].reduce((own, at) => own + Number(fields[at]), 0), 0)
  return ticks / ticksPerSecond
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

export async function listening(port: number, child: ChildProcess | null): Promise<void> {
  for (let tries = 0; tries < 600; tries += 1) {
    if (child !== null && (child.exitCode !== null || child.signalCode !== null)) throw new Error('The server ended before it listened')
    const socket = connect(port, '127.0.0.1')
    const isOpen = await new Promise<boolean>((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
    socket.destroy()
    if (isOpen) return
    await sleep(50)
  }
  throw new Error(`Nothing listens on port ${port}`)
}

/** On every Linux that Node runs on. */
const ticksPerSecond = 100

/** From the state of the process on (proc(5), field 3); its name may hold blanks and brackets. */
function statFields(pid: string): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

const settings = `
myhostname = mx.bench.test
mynetworks = 127.0.0.2/32
relay_domains = ${listedDomain}
relay_recipient_maps = texthash:$config_directory/recipients
transport_maps = texthash:$config_directory/transport
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtp_dns_support_level = disabled
smtp_tls_security_level = none
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000000000
smtpd_hard_error_limit = 1000000000
smtpd_junk_command_limit = 1000000000
in_flow_delay = 0
message_size_limit = 50000000
`
