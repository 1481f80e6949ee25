import { mkdtemp, readFile, rename, rm, stat, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MemoryLog, configOf } from '../../../test/gateway-harness.ts'
import type { Config } from '../../kit/config.ts'
import { openOperatorLog } from '../../kit/operator-log.ts'
import { writeSnapshotText } from '../../kit/snapshot-folder.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { Writable } from 'node:stream'
import { decideRecipient } from './decide-recipient.ts'
import { PolicySource } from './policy-source.ts'

let folder: string
let directory: string
let rules: string
let complaints: string
let events: MemoryLog
const opened: PolicySource[] = []

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-policy-'))
  directory = path.join(folder, 'directory.yaml')
  rules = path.join(folder, 'rules.yaml')
  complaints = ''
  events = new MemoryLog()
})
afterEach(async () => {
  for (const source of opened.splice(0)) await source.close()
  await rm(folder, { recursive: true })
})

const clientsOf = (count: number, from = 0) =>
  `clients:\n  - id: acme\n    name: Acme\n    addresses:\n${Array.from({ length: count }, (_, index) => `      - u${from + index}@example.com\n`).join('')}`
const ruleset = (text: string) =>
  `markAt: null\nrejectAt: null\nlists: {}\nrules:\n  - {id: r, revision: 1, name: r, stage: mail, mode: active, when: {attribute: sender, matches: ${text}}, then: {reject: {text: no}}}\n`

async function open(settings: Partial<Config> = {}): Promise<PolicySource> {
  const stream = new Writable({ write: (chunk, _encoding, done) => void ((complaints += String(chunk)), done()) })
  const config = { ...configOf('recipients: {domains: [example.com]}'), data: folder, ...settings }
  const source = new PolicySource({
    config: { ...config, recipients: { ...config.recipients, directory } },
    eventLog: events,
    log: openOperatorLog('gateway', { stream, format: 'json', level: 'info' }),
    pollMs: 1e9,
  })
  opened.push(source)
  await source.open()
  return source
}
const answer = (source: PolicySource, address: string) => decideRecipient(source.current, false, address).reply.code
const loaded = (part: string) =>
  events.events.filter((event) => event.kind === 'policy.loaded' && event.part === part)

describe('the directory in force', () => {
  it('is replaced as a whole when its file changes, and both contents are named in the log', async () => {
    await writeFile(directory, clientsOf(3))
    const source = await open()
    const before = source.current
    expect(loaded('directory')).toMatchObject([
      { content: { status: 'current', addressCount: 3, clientCount: 1, version: before.directory.version } },
    ])
    await writeFile(directory, clientsOf(3, 2))
    await source.reload()
    expect([answer(source, 'u0@example.com'), answer(source, 'u4@example.com')]).toEqual([550, 250])
    expect(decideRecipient(before, false, 'u0@example.com').reply.code).toBe(250)
    expect(loaded('directory').length).toBe(2)
    expect(JSON.stringify(events.events)).not.toContain('u0@example.com')
    await writeFile(directory, `${clientsOf(3, 2)}# a comment\n`)
    await source.reload(true)
    expect(loaded('directory').length).toBe(2)
  })

  it('is never replaced by an empty or a much smaller one: the old one serves, unknown recipients are deferred', async () => {
    await writeFile(directory, clientsOf(40))
    const source = await open()
    for (const smaller of ['clients: []\n', clientsOf(19)]) {
      await writeFile(directory, smaller)
      await source.reload(true)
      expect([answer(source, 'u39@example.com'), answer(source, 'u99@example.com')]).toEqual([250, 451])
      expect(complaints).toMatch(
        /now holds \d+ addresses instead of 40; if that is meant, remove .*directory\.json and start again/,
      )
    }
    await writeFile(directory, clientsOf(20))
    await source.reload(true)
    expect([answer(source, 'u19@example.com'), answer(source, 'u39@example.com')]).toEqual([250, 550])
  })

  it('is not replaced by an empty one however small it is itself', async () => {
    await writeFile(directory, clientsOf(2))
    const source = await open()
    await writeFile(directory, 'clients: []\n')
    await source.reload(true)
    expect([answer(source, 'u0@example.com'), answer(source, 'u99@example.com')]).toEqual([250, 451])
  })

  it('is guarded at a start as well', async () => {
    await writeFile(directory, clientsOf(40))
    await (await open()).close()
    await writeFile(directory, 'clients: []\n')
    const source = await open()
    expect([answer(source, 'u39@example.com'), answer(source, 'u99@example.com')]).toEqual([250, 451])
    await unlink(path.join(folder, 'policy', 'directory.json'))
    await writeFile(directory, clientsOf(1))
    expect(answer(await open(), 'u39@example.com')).toBe(550)
  })

  it('stays when its file is gone or has faults, and says once where the fault is', async () => {
    await writeFile(directory, clientsOf(3))
    const source = await open()
    await unlink(directory)
    await source.reload()
    await source.reload()
    expect([answer(source, 'u0@example.com'), answer(source, 'x@example.com')]).toEqual([250, 451])
    expect(complaints.match(/cannot be read/g)).toHaveLength(1)
    await writeFile(directory, 'clients:\n  - id: acme\n    name: Acme\n    addresses:\n      - no address\n')
    await source.reload()
    expect(complaints).toMatch(/directory\.yaml:5:\d+: clients\[0\]\.addresses\[0\]/)
    await writeFile(directory, clientsOf(3))
    await source.reload()
    expect(answer(source, 'x@example.com')).toBe(550)
  })

  it('names addresses and ids that are there twice', async () => {
    await writeFile(
      directory,
      'clients:\n  - {id: a, name: A, addresses: [x@example.com]}\n  - {id: b, name: B, addresses: [X@example.com]}\n  - {id: a, name: C, addresses: []}\n',
    )
    await open()
    expect(complaints).toMatch(
      /directory\.yaml:3: clients\[1\]\.addresses\[0\]: \\"X@example\.com\\" also belongs to client \\"a\\"/,
    )
    expect(complaints).toMatch(/directory\.yaml:4: clients\[2\]\.id: /)
  })

  it('defers everybody where it could never be read', async () => {
    const source = await open()
    expect([answer(source, 'u0@example.com'), answer(source, 'postmaster@example.com')]).toEqual([451, 250])
    await writeFile(directory, clientsOf(3))
    await source.reload()
    expect(answer(source, 'u0@example.com')).toBe(250)
  })

  it('is read from JSON with the same result', async () => {
    await writeFile(directory, clientsOf(3))
    const { version } = (await open()).current.directory
    directory = path.join(folder, 'directory.json')
    await writeFile(
      directory,
      JSON.stringify({
        clients: [{ id: 'acme', name: 'Acme', addresses: ['u2@example.com', 'u1@example.com', 'u0@example.com'] }],
      }),
    )
    expect((await open()).current.directory).toMatchObject({ version, status: 'current' })
  })
})

describe('the rule set in force', () => {
  it('is replaced when its file changes, and told before it decides anything', async () => {
    await writeFile(rules, ruleset('one'))
    const source = await open({ rules })
    await writeFile(`${rules}.new`, ruleset('two'))
    await rename(`${rules}.new`, rules)
    await source.reload()
    expect(loaded('ruleset').map((event) => event.kind === 'policy.loaded' && event.hash)).toContain(
      source.current.rules.hash,
    )
    expect(source.current.rules.ruleset.rules[0]).toMatchObject({ when: { matches: 'two' } })
  })

  it('stays when the new one has faults, which are told with their lines', async () => {
    await writeFile(rules, ruleset('one'))
    const source = await open({ rules })
    const { hash } = source.current.rules
    await writeFile(rules, ruleset("'(one'"))
    await source.reload()
    expect(source.current.rules.hash).toBe(hash)
    expect(complaints).toMatch(/rules\.yaml:5:\d+.*the rule set before stays in force/)
  })

  it('keeps a gateway from starting where it has faults', async () => {
    await writeFile(rules, ruleset("'(one'"))
    await expect(open({ rules })).rejects.toThrow(/the rule set has faults: .*rules\.yaml:5:/)
    await unlink(rules)
    await expect(open({ rules })).rejects.toThrow(/cannot be read: check the setting "rules"/)
  })
})

describe('the published rule set', () => {
  const publish = async (name: string) => {
    const content = { name, markAt: null, rejectAt: null, lists: {}, rules: [] } as Ruleset
    const part = { hash: rulesetHash(content), version: 1, content }
    const text = JSON.stringify({ version: 1, tenantId: 'main', parts: { ruleset: part } })
    await writeSnapshotText(path.join(folder, 'policy', 'published'), text)
  }

  it('is in force where no file is named, and told before it decides anything', async () => {
    await publish('one')
    const source = await open()
    expect(source.current.rules.ruleset.name).toBe('one')
    await publish('two')
    await source.reload()
    expect(source.current.rules.ruleset.name).toBe('two')
    expect(loaded('ruleset').map((event) => event.kind === 'policy.loaded' && event.content)).toMatchObject([
      { name: 'one' },
      { name: 'two' },
    ])
  })

  it('changes nothing where a file is named: the file governs', async () => {
    await writeFile(rules, ruleset('one'))
    await publish('two')
    const source = await open({ rules })
    await publish('three')
    await source.reload(true)
    expect(source.current.rules.ruleset).not.toHaveProperty('name')
    expect(loaded('ruleset').length).toBe(1)
  })

  it('comes into force only once the log has it', async () => {
    await publish('one')
    const source = await open()
    await publish('two')
    const append = events.append.bind(events)
    events.append = async () => Promise.reject(new Error('the disk is full'))
    await source.reload()
    expect([source.current.rules.ruleset.name, complaints.includes('the disk is full')]).toEqual(['one', true])
    events.append = append
    await source.reload()
    expect(source.current.rules.ruleset.name).toBe('two')
  })
})

it('keeps the last good directory for its owner alone', async () => {
  await writeFile(directory, clientsOf(3))
  await open()
  const kept = path.join(folder, 'policy', 'directory.json')
  expect(JSON.parse(await readFile(kept, 'utf8'))).toMatchObject({ clients: [{ id: 'acme' }] })
  expect((await stat(kept)).mode & 0o777).toBe(0o600)
})

describe('the aliases in force', () => {
  it('come from their file, are taken again when it changes, and are named in the log by their hash', async () => {
    await writeFile(directory, clientsOf(1))
    const file = path.join(folder, 'aliases.yaml')
    await writeFile(file, 'aliases: [{address: u0@example.com, to: [x@example.com]}]')
    const source = await open({ recipients: { ...configOf('').recipients, domains: ['example.com'], aliases: file } })
    expect(source.current.aliases.get('u0@example.com')).toEqual(['x@example.com'])
    await writeFile(file, 'aliases: [{address: u0@example.com, to: [other@example.com]}]')
    await source.reload()
    expect(source.current.aliases.get('u0@example.com')).toEqual(['other@example.com'])
    expect(answer(source, 'u0@example.com')).toBe(250)
    const told = loaded('policy').map((event) => (event as { content: { aliases: unknown } }).content.aliases)
    expect(told).toEqual([
      { count: 1, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
      { count: 1, hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
    ])
    expect(told[0]).not.toEqual(told[1])
    expect(JSON.stringify(told)).not.toContain('@')
  })

  it('stop a start where the file has faults', async () => {
    await writeFile(directory, clientsOf(1))
    const file = path.join(folder, 'aliases.yaml')
    await writeFile(file, 'aliases: [{address: u0@example.com}]')
    await expect(open({ recipients: { ...configOf('').recipients, aliases: file } })).rejects.toThrow('aliases.yaml:1')
  })
})
