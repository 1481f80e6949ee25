import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openOperatorLog } from '../../kit/operator-log.ts'
import { snapshotTextHash, writeSnapshotText } from '../../kit/snapshot-folder.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { SnapshotSource } from './snapshot-source.ts'

let data: string
let published: string
let complaints: string
let server: Server | null = null

beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'tollgate-source-'))
  published = path.join(data, 'policy', 'published')
  complaints = ''
})
afterEach(async () => {
  await new Promise<void>((done) => (server === null ? done() : server.close(() => done())))
  server = null
  await rm(data, { recursive: true })
})

const rulesetOf = (name: string): Ruleset => ({ name, markAt: 5, rejectAt: null, lists: { traps: ['a@b.test'] }, rules: [] })
function textOf(name: string, more: { tenantId?: string; hash?: string; content?: unknown; parts?: object } = {}): string {
  const content = more.content ?? rulesetOf(name)
  const ruleset = { hash: more.hash ?? rulesetHash(content as Ruleset), version: 1, content }
  return JSON.stringify({ version: 1, tenantId: more.tenantId ?? 'main', parts: more.parts ?? { ruleset } })
}
function sourceOf(remote: { url: string; token: string } | null = null): SnapshotSource {
  const stream = new Writable({ write: (chunk, _encoding, done) => void ((complaints += String(chunk)), done()) })
  const log = openOperatorLog('gateway', { stream, format: 'json', level: 'info' })
  return new SnapshotSource({ dataFolder: data, tenantId: 'main', log, remote })
}
const nameOf = (source: SnapshotSource) => source.current.parts.ruleset?.ruleset.name ?? null

describe('the snapshot of this machine', () => {
  it('is taken over when another one is published, and only then', async () => {
    const source = sourceOf()
    await source.open()
    expect(nameOf(source)).toBeNull()
    await writeSnapshotText(published, textOf('one'))
    expect([await source.refresh(), nameOf(source)]).toEqual([true, 'one'])
    expect(await source.refresh()).toBe(false)
    await writeSnapshotText(published, textOf('two'))
    expect([await source.refresh(), nameOf(source)]).toEqual([true, 'two'])
    expect(complaints).toBe('')
  })

  it.each<[string, string, string]>([
    ['no JSON', '{', 'it is no JSON'],
    ['of another form', '{"version":2}', 'must have required properties tenantId, parts'],
    ['of another tenant', textOf('bad', { tenantId: 'other' }), 'it is of the tenant other, and this gateway serves main'],
    ['with a rule set that has faults', textOf('bad', { content: { ...rulesetOf('bad'), markAt: 'x' } }), 'has faults'],
    ['with another rule set than its hash says', textOf('bad', { hash: 'a'.repeat(64) }), 'another one than its hash'],
    ['without the part that is in force', textOf('bad', { parts: {} }), 'no part ruleset any more'],
  ])('%s replaces nothing, in memory or on disk, and is told once', async (_what, text, reason) => {
    await writeSnapshotText(published, textOf('good'))
    const source = sourceOf()
    await source.open()
    await writeSnapshotText(published, text)
    for (let pass = 0; pass < 3; pass += 1) expect([await source.refresh(), nameOf(source)]).toEqual([false, 'good'])
    expect(complaints).toContain(reason)
    expect(complaints.split('\n').length).toBe(2)
    const again = sourceOf()
    await again.open()
    expect(nameOf(again)).toBe('good')
  })

  it('that was cut off leaves the one before in force until it is whole', async () => {
    await writeSnapshotText(published, textOf('good'))
    const source = sourceOf()
    await source.open()
    const hash = await writeSnapshotText(published, textOf('next'))
    await truncate(path.join(published, `${hash}.json`), 20)
    expect([await source.refresh(), nameOf(source)]).toEqual([false, 'good'])
    expect(complaints).toContain('is not what was published; the one before stays in force')
    await writeSnapshotText(published, textOf('next'))
    expect([await source.refresh(), nameOf(source)]).toEqual([true, 'next'])
  })

  it('is kept by the gateway itself: it starts from it where the published folder is lost', async () => {
    await writeSnapshotText(published, textOf('good'))
    await sourceOf().open()
    await rm(published, { recursive: true })
    const source = sourceOf()
    await source.open()
    expect(nameOf(source)).toBe('good')
  })

  it('keeps a gateway from starting without rules where what it kept is damaged and nothing else is there', async () => {
    const hash = await writeSnapshotText(published, textOf('good'))
    await sourceOf().open()
    await writeFile(path.join(data, 'policy', 'accepted', `${hash}.json`), 'x')
    const source = sourceOf()
    await source.open()
    expect(nameOf(source)).toBe('good')
    await rm(published, { recursive: true })
    await writeFile(path.join(data, 'policy', 'accepted', `${hash}.json`), 'x')
    await expect(sourceOf().open()).rejects.toThrow(/cannot be used .*publish again, or remove that folder/)
  })

  it('may have parts that this version does not know', async () => {
    const { parts } = JSON.parse(textOf('good')) as { parts: object }
    const later = { hash: 'b'.repeat(64), version: 7, content: { anything: [1] } }
    await writeSnapshotText(published, textOf('good', { parts: { ...parts, later } }))
    const source = sourceOf()
    await source.open()
    expect(nameOf(source)).toBe('good')
  })
})

describe('the snapshot of another machine', () => {
  type Answer = { status: number; text?: string; etag?: string }
  let answer: Answer
  let asked: IncomingHttpHeaders[]

  async function listen(): Promise<{ url: string; token: string }> {
    asked = []
    server = createServer((request, response) => {
      asked.push({ ...request.headers, path: request.url })
      response.writeHead(answer.status, answer.text === undefined ? {} : { etag: answer.etag ?? `"${snapshotTextHash(answer.text)}"` })
      response.end(answer.text)
    })
    await new Promise<void>((ready) => server!.listen(0, '127.0.0.1', ready))
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, token: 'a-token-of-twenty-letters' }
  }

  it('is asked for with the token and by the hash that is known, and stored', async () => {
    const remote = await listen()
    answer = { status: 200, text: textOf('far') }
    const source = sourceOf(remote)
    await source.open()
    expect(nameOf(source)).toBe('far')
    answer = { status: 304 }
    expect(await source.refresh()).toBe(false)
    expect(asked).toMatchObject([
      { path: '/api/v1/policy/snapshot', authorization: `Bearer ${remote.token}` },
      { 'if-none-match': `"${source.current.hash}"` },
    ])
    expect(asked[0]!['if-none-match']).toBeUndefined()
    const kept = (await readFile(path.join(data, 'policy', 'accepted', 'current'), 'utf8')).trim()
    expect(kept).toBe(source.current.hash)
    expect(complaints).toBe('')
  })

  it.each<[string, Answer, string]>([
    ['cut off', { status: 200, text: textOf('bad').slice(0, 50), etag: `"${snapshotTextHash(textOf('bad'))}"` }, 'is cut off or changed'],
    ['unauthorized', { status: 401 }, 'policy.token must be the same'],
    ['not there', { status: 404 }, 'set policy.token there'],
    ['failing', { status: 503 }, 'answers 503'],
    ['of another tenant', { status: 200, text: textOf('bad', { tenantId: 'other' }) }, 'it is of the tenant other'],
  ])('that is %s replaces nothing, and is told once', async (_what, bad, reason) => {
    const remote = await listen()
    answer = { status: 200, text: textOf('far') }
    const source = sourceOf(remote)
    await source.open()
    answer = bad
    for (let pass = 0; pass < 2; pass += 1) expect([await source.refresh(), nameOf(source)]).toEqual([false, 'far'])
    expect(complaints).toContain(reason)
    expect(complaints).not.toContain(remote.token)
    expect(complaints.split('\n').length).toBe(2)
  })

  it('is started from as it was kept, while that machine is away', async () => {
    const remote = await listen()
    answer = { status: 200, text: textOf('far') }
    await sourceOf(remote).open()
    await new Promise<void>((done) => server!.close(() => done()))
    server = null
    const source = sourceOf(remote)
    await source.open()
    expect([await source.refresh(), nameOf(source)]).toEqual([false, 'far'])
    expect(complaints).toContain('cannot be reached (ECONNREFUSED); the one before stays in force')
  })
})
