/**
 * Gateways written for Node, set up as ours: Haraka with its own queue, and the package smtp-server with a pooled
 * forward by nodemailer.
 *
 * Owns    their installation into a folder of the bench, from the registry that npm is set up with: as dependencies of
 *         ours they would be hundreds of packages for two lines of figures.
 * Limits  neither calls fsync before it answers 250: Haraka writes its queue file, smtp-server answers once the next hop
 *         has. What ours promises costs them nothing.
 */
import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { MissingPeer } from './bench.ts'
import { endChild, outputOf } from './child-process.ts'
import { cpuSecondsOf, freePort, knownRecipient, listedDomain, listening, type MailServer } from './smtp-peers.ts'

const harakaPackage = 'Haraka@3.3.4'
const forwardPackages = ['smtp-server@3.21.6', 'nodemailer@10.6.1']

export async function startHaraka(folder: string, sinkPort: number): Promise<MailServer> {
  await install(folder, [harakaPackage])
  const port = await freePort()
  const write = (name: string, text: string): void => writeFileSync(path.join(folder, name), text)
  for (const name of ['config', 'plugins', 'queue']) mkdirSync(path.join(folder, name), { recursive: true })
  cpSync(path.join(folder, 'node_modules', 'Haraka', 'config', 'connection.ini'), path.join(folder, 'config', 'connection.ini'))
  write('config/smtp.ini', `listen=127.0.0.1:${port}\nnodes=0\n`)
  write('config/me', 'mx.bench.test\n')
  write('config/plugins', 'gateway\n')
  write('config/loglevel', 'ERROR\n')
  write('config/outbound.ini', 'concurrency_max=100\npool_concurrency_max=20\nenable_tls=false\n')
  write('plugins/gateway.js', `
exports.hook_rcpt = (next, connection, [rcpt]) => {
  if (String(typeof rcpt.address === 'function' ? rcpt.address() : rcpt.address).toLowerCase() !== '${knownRecipient}') return next(rcpt.host === '${listedDomain}' ? DENY : undefined, 'User unknown')
  connection.relaying = true
  next(OK)
}
exports.hook_get_mx = (next) => next(OK, { priority: 0, exchange: '127.0.0.1', port: ${sinkPort} })
`)
  return await startNode('Haraka', folder, [path.join('node_modules', 'Haraka', 'bin', 'haraka'), '-c', folder], port)
}

export async function startPooledForward(folder: string, sinkPort: number): Promise<MailServer> {
  await install(folder, forwardPackages)
  const port = await freePort()
  writeFileSync(path.join(folder, 'forward.cjs'), `
const { SMTPServer } = require('smtp-server')
const forward = require('nodemailer').createTransport({ host: '127.0.0.1', port: ${sinkPort}, pool: true, maxConnections: 20, maxMessages: Infinity, ignoreTLS: true, secure: false })
new SMTPServer({
  authOptional: true, disabledCommands: ['AUTH', 'STARTTLS'], disableReverseLookup: true, logger: false,
  onRcptTo({ address }, _session, done) {
    done(address.toLowerCase() === '${knownRecipient}' ? null : Object.assign(new Error('User unknown'), { responseCode: 550 }))
  },
  onData(stream, { envelope }, done) {
    const chunks = []
    stream.on('data', (chunk) => chunks.push(chunk))
    stream.on('end', () => forward.sendMail({
      envelope: { from: envelope.mailFrom.address, to: envelope.rcptTo.map(({ address }) => address) }, raw: Buffer.concat(chunks),
    }, (error) => done(error)))
  },
}).listen(${port}, '127.0.0.1')
`)
  return await startNode('smtp-server with nodemailer', folder, ['forward.cjs'], port)
}

async function install(folder: string, packages: readonly string[]): Promise<void> {
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'package.json'), '{"private": true}\n')
  try {
    await outputOf('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', '--ignore-scripts', '--omit=optional', ...packages])
  } catch (cause) {
    throw new MissingPeer(`${packages.join(' and ')} cannot be installed from npm`, { cause })
  }
}

async function startNode(name: string, folder: string, words: readonly string[], port: number): Promise<MailServer> {
  const child = spawn(process.execPath, [...words], { cwd: folder, stdio: 'ignore' })
  await listening(port, child)
  return { name, port, cpuSeconds: () => cpuSecondsOf(child.pid!), stop: () => endChild(child) }
}
