/** Debian's daemons that plug-ins speak to: each in a folder of its own, offline, ended with the test. */
import { spawn, type ChildProcess } from 'node:child_process'
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { endWithTests } from '../end-with-tests.ts'
import { peer } from './peers.ts'
import { freePort, until } from './product.ts'

export const clamd = peer('clamd', 'clamav-daemon')

export const rspamd = peer('rspamd', 'rspamd')
export const spamd = peer('spamd', 'spamd')

/** Every spam filter takes this text for spam. */
export const gtube = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'

/** Pieces, so that no scanner takes this file for it. */
export const eicar = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR', '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'].join('')

export type MailDaemon = { address: string; folder: string; stop(): Promise<void> }

/** The only signature that it knows is one of EICAR. */
export async function startClamd({ streamMaxLength = '25M' } = {}): Promise<MailDaemon> {
  const folder = await makeFolder('clamd', 'clamav')
  const address = path.join(folder, 'clamd.sock')
  await mkdir(path.join(folder, 'db'))
  await writeFile(path.join(folder, 'db', 'test.ndb'), `Test-Eicar:0:*:${Buffer.from(eicar).toString('hex')}\n`)
  await writeFile(
    path.join(folder, 'clamd.conf'),
    [
      `LocalSocket ${address}`,
      `DatabaseDirectory ${path.join(folder, 'db')}`,
      `TemporaryDirectory ${folder}`,
      'Foreground yes',
      'MaxThreads 2',
      `StreamMaxLength ${streamMaxLength}`,
      ...(process.getuid?.() === 0 ? ['User clamav'] : []),
      '',
    ].join('\n'),
  )
  return await run(clamd.path, ['-c', path.join(folder, 'clamd.conf')], folder, address)
}

/** Knows one word beside GTUBE: `xyzzy` in the body is 7 points. */
export async function startRspamd(): Promise<MailDaemon> {
  const folder = await makeFolder('rspamd', '_rspamd')
  const address = `127.0.0.1:${await freePort()}`
  // Its own list of top-level domains takes some ten seconds to compile.
  await writeFile(path.join(folder, 'tld.dat'), 'example\ncom\n')
  await writeFile(
    path.join(folder, 'rspamd.conf'),
    [
      `options { pidfile = "${folder}/rspamd.pid"; tempdir = "${folder}"; hs_cache_dir = "${folder}"; filters = "regexp";`,
      `  url_tld = "${folder}/tld.dat"; dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; } }`,
      'logging { type = "console"; level = "error"; }',
      `worker "normal" { bind_socket = "${address}"; count = 1; }`,
      'actions { reject = 15; add_header = 6; greylist = 4; }',
      'regexp { TEST_WORD { re = "/xyzzy/i{body}"; score = 7.0; } }',
      '',
    ].join('\n'),
  )
  const user = process.getuid?.() === 0 ? ['-u', '_rspamd', '-g', '_rspamd'] : ['-i']
  return await run(rspamd.path, ['-f', '-c', path.join(folder, 'rspamd.conf'), ...user], folder, address)
}

/** With Debian's rules, and no look at the network. */
export async function startSpamd(): Promise<MailDaemon> {
  const folder = await makeFolder('spamd', 'debian-spamd')
  const address = path.join(folder, 'spamd.sock')
  const user = process.getuid?.() === 0 ? ['-u', 'debian-spamd'] : []
  const children = ['--min-children', '1', '--max-children', '2', '--min-spare', '1', '--max-spare', '1']
  const words = ['-L', '-x', '-H', folder, '-s', 'stderr', `--socketpath=${address}`, '--socketmode=0666', ...children, ...user]
  return await run(spamd.path, words, folder, address)
}

async function makeFolder(name: string, user: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), `tollgate-${name}-`))
  await chmod(folder, 0o755)
  if (process.getuid?.() === 0) await chown(folder, ...idsOf(user))
  return folder
}

function idsOf(user: string): [number, number] {
  const line = readFileSync('/etc/passwd', 'utf8').split('\n').find((text) => text.startsWith(`${user}:`))
  if (line === undefined) throw new Error(`There is no user ${user}`)
  const [, , uid, gid] = line.split(':')
  return [Number(uid), Number(gid)]
}

async function run(command: string, words: string[], folder: string, address: string): Promise<MailDaemon> {
  let output = ''
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'], cwd: folder })
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)))
  if (child.pid !== undefined) endWithTests(folder, child.pid, 'TERM')
  let isGone = false
  child.once('exit', () => (isGone = true))
  const stop = async (): Promise<void> => {
    await ended(child)
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await until(`${path.basename(command)} listens`, async () => {
      if (isGone) throw new Error(`${command} ended: ${output}`)
      return await canConnect(address)
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { address, folder, stop }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await gone
}

function canConnect(address: string): Promise<boolean> {
  const at = address.lastIndexOf(':')
  return new Promise((resolve) => {
    const socket = address.startsWith('/') ? connect(address) : connect(Number(address.slice(at + 1)), address.slice(0, at))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
