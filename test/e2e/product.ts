/**
 * The started product, as a user starts it: `node bin/tollgate.js up` with a configuration file, in a folder of its
 * own. Needs a build (`npm test` makes one first).
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { packageRoot } from '../../services/kit/package-root.ts'

export type Product = {
  folder: string
  smtpPort: number
  httpUrl: string
  /** Everything it printed so far. */
  output(): string
  /** Logs in as the first administrator and answers requests with that session. */
  login(): Promise<ApiSession>
  /** Ctrl-C; resolves with the exit code. */
  stop(): Promise<number | null>
  /** Removes its folder. */
  remove(): Promise<void>
}

export type ApiSession = {
  cookie: string
  name: string
  password: string
  get(pathAndQuery: string): Promise<Response>
  getJson<Body>(pathAndQuery: string): Promise<Body>
}

export type ProductOptions = {
  /** Merged over the settings that every test needs. */
  settings?: Record<string, unknown>
  /** Files beside the configuration. */
  files?: Record<string, string>
  folder?: string
}

export async function startProduct(options: ProductOptions = {}): Promise<Product> {
  const folder = options.folder ?? (await mkdtemp(path.join(tmpdir(), 'tollgate-e2e-')))
  await chmod(folder, 0o755)
  const [smtpPort, httpPort] = await Promise.all([freePort(), freePort()])
  const settings = {
    data: './data',
    http: { listen: `127.0.0.1:${httpPort}` },
    smtp: { hostname: 'gateway.test', listen: [`127.0.0.1:${smtpPort}`] },
    ...options.settings,
  }
  const configFile = path.join(folder, 'tollgate.yaml')
  await writeFile(configFile, stringify(settings))
  for (const [name, content] of Object.entries(options.files ?? {})) await writeFile(path.join(folder, name), content)

  const child = spawn(process.execPath, [path.join(packageRoot, 'bin/tollgate.js'), 'up', '--config', configFile], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const httpUrl = `http://127.0.0.1:${httpPort}`
  const product: Product = {
    folder,
    smtpPort,
    httpUrl,
    output: () => output,
    login: () => login(httpUrl, folder),
    stop: () => stopProcess(child),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
  await until('the product answers', async () => {
    if (child.exitCode !== null) throw new Error(`tollgate up ended with ${child.exitCode}:\n${output}`)
    return await isReady(httpUrl, smtpPort)
  }).catch(async (error: unknown) => {
    await stopProcess(child)
    throw new Error(`The product did not start:\n${output}`, { cause: error })
  })
  return product
}

async function isReady(httpUrl: string, smtpPort: number): Promise<boolean> {
  const ready = await fetch(`${httpUrl}/readyz`).then(
    (response) => response.ok,
    () => false,
  )
  return ready && (await canConnect(smtpPort))
}

async function canConnect(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('data', () => {
      socket.end('QUIT\r\n')
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function login(httpUrl: string, folder: string): Promise<ApiSession> {
  const text = await readFile(path.join(folder, 'data', 'first-login.txt'), 'utf8')
  const name = /^(?:user|name|login):?\s+(\S+)/im.exec(text)?.[1]
  const password = /^password:?\s+(\S+)/im.exec(text)?.[1]
  if (name === undefined || password === undefined) throw new Error(`first-login.txt names no login: ${text}`)
  const response = await fetch(`${httpUrl}/api/v1/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name, password }),
  })
  if (!response.ok) throw new Error(`The login was answered ${response.status}: ${await response.text()}`)
  const cookie = (response.headers.get('set-cookie') ?? '').split(';')[0]!
  const get = (pathAndQuery: string) => fetch(`${httpUrl}/api/v1/${pathAndQuery}`, { headers: { cookie } })
  return {
    cookie,
    name,
    password,
    get,
    getJson: async <Body>(pathAndQuery: string) => {
      const answer = await get(pathAndQuery)
      if (!answer.ok) throw new Error(`${pathAndQuery} was answered ${answer.status}: ${await answer.text()}`)
      return (await answer.json()) as Body
    },
  }
}

async function stopProcess(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    child.kill('SIGINT')
    await ended
  }
  return child.exitCode
}

/** Polls until the condition holds; gives up, naming it, after a generous while. */
export async function until(condition: string, holds: () => Promise<boolean> | boolean, timeoutMs = 60_000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`It never came true that ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })
}
