import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openOperatorLog } from './operator-log.ts'
import { packageRoot } from './package-root.ts'
import { RoleFailed, Supervisor } from './supervisor.ts'

// The child's end as it is built: `npm test` builds first.
const childEnd = pathToFileURL(join(packageRoot, 'dist', 'services', 'kit', 'supervised-role.js')).href
const log = openOperatorLog('test', { level: 'silent' })

let folder = ''
let supervisor: Supervisor
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-supervisor-'))
  supervisor = new Supervisor({ log, firstPauseMs: 10, lastPauseMs: 40 })
})
afterEach(() => {
  supervisor.killAll()
  rmSync(folder, { recursive: true, force: true })
})

/** A role whose program is `body`, with its end of the channel in `role` and what it was given in `settings`. */
function program(role: string, body: string, settings: unknown = {}) {
  const file = join(folder, `${role}.mjs`)
  const head = `import { supervisedRole } from ${JSON.stringify(childEnd)}\nimport { appendFileSync } from 'node:fs'\n`
  const tell = `const tell = (text) => appendFileSync(${JSON.stringify(join(folder, 'told'))}, text + '\\n')\n`
  writeFileSync(file, `${head}${tell}const role = supervisedRole()\nconst settings = await role.settings\n${body}\n`)
  return { role, command: [file], settings: () => settings }
}

const told = (): string[] => readFileSync(join(folder, 'told'), 'utf8').trim().split('\n')
const serving = `setInterval(() => {}, 1000); role.ready({ pid: process.pid, settings })`
const stoppable = `process.on('SIGTERM', () => { tell('stopped ' + settings.name); process.exit(0) }); ${serving}`

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
}

describe('a supervisor', () => {
  it('gives a child its settings over the channel and hears when it serves', async () => {
    const details = await supervisor.start(program('a', serving, { secret: 'x' }))
    expect(details).toMatchObject({ settings: { secret: 'x' } })
    expect(supervisor.processIds()).toEqual({ a: details['pid'] })
  })

  it('starts a child again that was killed, with the settings of then', async () => {
    let name = 'before'
    const details = await supervisor.start({ ...program('a', serving), settings: () => ({ name }) })
    name = 'after'
    process.kill(Number(details['pid']), 'SIGKILL')
    await until(() => supervisor.detailsOf('a') !== null && supervisor.detailsOf('a') !== details)
    expect(supervisor.detailsOf('a')).toMatchObject({ settings: { name: 'after' } })
    expect(supervisor.processIds()['a']).not.toBe(details['pid'])
  })

  it('goes on trying when the restarted child fails before it serves', async () => {
    const fails = `tell('start'); const { readFileSync } = await import('node:fs')
      const starts = readFileSync(${JSON.stringify(join(folder, 'told'))}, 'utf8').trim().split('\\n').length
      if (starts === 2 || starts === 3) process.exit(1)
      ${serving}`
    const details = await supervisor.start(program('a', fails))
    process.kill(Number(details['pid']), 'SIGKILL')
    await until(() => supervisor.detailsOf('a') !== null && supervisor.detailsOf('a') !== details)
    expect(told()).toHaveLength(4)
  })

  it('rejects a child that ends before it serves, with its sentence and its exit code', async () => {
    const failing = supervisor.start(program('a', `await role.failed('port in use'); process.exit(2)`))
    await expect(failing).rejects.toThrow(new RoleFailed('port in use', 2))
    await sleep(60)
    expect(supervisor.processIds()).toEqual({})
  })

  it('does not start a child again that it stopped', async () => {
    let starts = 0
    const settings = () => ({ name: 'a', start: (starts += 1) })
    const details = await supervisor.start({ ...program('a', stoppable), settings })
    await supervisor.stop('a', 5_000)
    await sleep(60)
    expect(isAlive(Number(details['pid']))).toBe(false)
    expect(told()).toEqual(['stopped a'])
    expect(starts).toBe(1)
  })

  it('stops children one after the other in the order asked for', async () => {
    const slow = `process.on('SIGTERM', () => setTimeout(() => { tell('stopped slow'); process.exit(0) }, 80)); ${serving}`
    await supervisor.start(program('slow', slow))
    await supervisor.start(program('quick', stoppable, { name: 'quick' }))
    await supervisor.stop('slow', 5_000)
    await supervisor.stop('quick', 5_000)
    expect(told()).toEqual(['stopped slow', 'stopped quick'])
  })

  it('kills a child that does not stop in its time', async () => {
    const stubborn = await supervisor.start(program('a', `process.on('SIGTERM', () => {}); ${serving}`))
    await supervisor.stop('a', 50)
    expect(isAlive(Number(stubborn['pid']))).toBe(false)
  })

  it('stops a child that waits to be started again', async () => {
    supervisor = new Supervisor({ log, firstPauseMs: 60_000 })
    const details = await supervisor.start(program('a', serving))
    process.kill(Number(details['pid']), 'SIGKILL')
    await until(() => supervisor.detailsOf('a') === null)
    await supervisor.stop('a', 1_000)
    expect(supervisor.processIds()).toEqual({})
  })

  it('puts children out of reach of the Ctrl-C of its terminal: each leads a process group of its own', async () => {
    const details = await supervisor.start(program('a', serving))
    const stat = readFileSync(`/proc/${details['pid']}/stat`, 'utf8')
    const processGroup = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]
    expect(Number(processGroup)).toBe(details['pid'])
  })
})

it('a child hears that its supervisor is gone', async () => {
  const child = program('a', `role.onAbandoned(() => { tell('alone'); process.exit(0) }); ${serving}; tell(String(process.pid))`)
  const supervising = join(folder, 'supervisor.mjs')
  const kit = (name: string) => JSON.stringify(pathToFileURL(join(packageRoot, 'dist', 'services', 'kit', name)).href)
  writeFileSync(supervising, `import { Supervisor } from ${kit('supervisor.js')}
    import { openOperatorLog } from ${kit('operator-log.js')}
    const supervisor = new Supervisor({ log: openOperatorLog('test', { level: 'silent' }) })
    await supervisor.start({ role: 'a', command: [${JSON.stringify(child.command[0])}], settings: () => ({}) })
    process.kill(process.pid, 'SIGKILL')`)
  const outer = new Supervisor({ log })
  await outer.start({ role: 'outer', command: [supervising], settings: () => ({}) }).catch(() => {})
  await until(() => told().includes('alone'))
  await until(() => !isAlive(Number(told()[0])))
})
