import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createConnection } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { isRunning, runTollgate, startTollgate, whenTrue } from '../../test/harness/tollgate-command.ts'
import { runningInstance, type Instance } from '../kit/instance-file.ts'

const anyPorts = { TOLLGATE_HTTP_LISTEN: '127.0.0.1:0', TOLLGATE_SMTP_LISTEN: '127.0.0.1:0', TOLLGATE_LOG_FORMAT: 'text' }
const postgresPid = (data: string): number => Number(readFileSync(join(data, 'postgres', 'cluster', 'postmaster.pid'), 'utf8').split('\n')[0])

/** Everything that the tree consists of, to be looked for afterwards. */
function processesOf(instance: Instance, data: string): number[] {
  return [instance.pid, ...Object.values(instance.roles), postgresPid(data)]
}

async function greets(address: string): Promise<boolean> {
  const [host, port] = address.split(':')
  return await new Promise((resolve) => {
    const socket = createConnection({ host: host!, port: Number(port) })
    socket.once('data', (chunk) => {
      socket.destroy()
      resolve(String(chunk).startsWith('220 '))
    })
    socket.once('error', () => resolve(false))
  })
}

describe('tollgate up', { timeout: 300_000 }, () => {
  let folder = ''
  let data = ''
  let product: ReturnType<typeof startTollgate>
  const instance = (): Instance => runningInstance(data)!

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tollgate-up-'))
    chmodSync(folder, 0o755)
    data = join(folder, 'data')
    await start()
  }, 300_000)
  afterEach(() => {
    // Whatever failed, nothing goes on running.
    if (product.exitCode !== null) expect(runningInstance(data)).toBe(null)
  })
  afterAll(async () => {
    product.kill('SIGINT')
    await product.finished
    rmSync(folder, { recursive: true, force: true })
  }, 300_000)

  async function start(): Promise<void> {
    product = startTollgate(['up'], { folder, environment: anyPorts })
    await whenTrue(() => {
      if (product.exitCode !== null) throw new Error(product.output().stderr)
      return product.output().stdout.includes('Ctrl-C stops')
    })
  }

  it('prints where it listens, the first login and what to try next, and keeps the login in a file for its owner', () => {
    const { stdout } = product.output()
    const { httpUrl, smtpAddresses } = instance()
    expect(stdout).toContain(`Web      ${httpUrl}`)
    expect(stdout).toContain(`swaks --server ${smtpAddresses[0]} `)
    const [, password] = /Login {4}admin \/ (\S+) /.exec(stdout)!
    const file = join(data, 'first-login.txt')
    expect(readFileSync(file, 'utf8')).toBe(`name: admin\npassword: ${password}\n`)
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  it('lets the printed login in', async () => {
    const [, password] = /Login {4}admin \/ (\S+) /.exec(product.output().stdout)!
    const login = (candidate: string) => {
      const body = JSON.stringify({ name: 'admin', password: candidate })
      return fetch(`${instance().httpUrl}/api/v1/session`, { method: 'POST', headers: { 'content-type': 'application/json', origin: instance().httpUrl! }, body })
    }
    expect((await login(password!)).ok).toBe(true)
    expect((await login('guessed-wrong')).ok).toBe(false)
  })

  it('refuses a second instance on its folder, and is found by commands', async () => {
    const second = await runTollgate(['up'], { folder, environment: anyPorts })
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toContain(`(process ${instance().pid})`)
    expect((await runTollgate(['db', 'status'], { folder, environment: anyPorts })).stdout).not.toContain('missing')
  })

  it.each(['gateway', 'ingest', 'worker', 'api'])('starts a %s again that was killed', async (role) => {
    const before = instance().roles[role]!
    process.kill(before, 'SIGKILL')
    await whenTrue(() => (instance().roles[role] ?? before) !== before && instance().httpUrl !== null && instance().smtpAddresses.length > 0)
    await whenTrue(() => greets(instance().smtpAddresses[0]!))
    await whenTrue(async () => (await fetch(`${instance().httpUrl}/readyz`).catch(() => null))?.ok === true)
  })

  it('starts the embedded database again that was killed, and leaves the gateway undisturbed', async () => {
    const gateway = instance().roles['gateway']
    const killed = postgresPid(data)
    process.kill(killed, 'SIGQUIT')
    await whenTrue(() => !isRunning(killed) && existsSync(join(data, 'postgres', 'cluster', 'postmaster.pid')) && postgresPid(data) !== killed)
    await whenTrue(async () => (await fetch(`${instance().httpUrl}/readyz`).catch(() => null))?.ok === true)
    expect(instance().roles['gateway']).toBe(gateway)
  })

  it('stops in order at one signal, leaves no process, and finds its data at the next start', async () => {
    const processes = processesOf(instance(), data)
    expect(processes.every(isRunning)).toBe(true)
    product.kill('SIGINT')
    const { code, stderr } = await product.finished
    expect(code).toBe(0)
    expect(stderr).not.toContain('not read to its end')
    expect(processes.filter(isRunning)).toEqual([])
    expect(existsSync(join(data, 'instance.json'))).toBe(false)

    await start()
    const { stdout } = product.output()
    expect(stdout).not.toMatch(/admin \/ /)
    expect(stdout).toContain(`as before; the first one stands in ${join(data, 'first-login.txt')}`)
  })

  it('is no orphanage: when it is killed itself, its roles end, and the next start takes over', async () => {
    const { roles } = instance()
    process.kill(instance().pid, 'SIGKILL')
    await whenTrue(() => !Object.values(roles).some(isRunning))
    expect(runningInstance(data)).toBe(null)
    await start()
  })

  it('ends at once at the second signal', async () => {
    const processes = Object.values(instance().roles)
    product.kill('SIGINT')
    product.kill('SIGINT')
    await product.finished
    await whenTrue(() => !processes.some(isRunning))
    await start()
  })
})
