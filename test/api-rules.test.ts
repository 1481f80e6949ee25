/** Rules over the API: draft, publishing, versions, comparison, explanation, and the snapshot for other gateways. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import Value from 'typebox/value'
import { RulesCheck, RulesetDiff, RulesetVersions, RulesExplanation, RulesInForce } from '../services/contracts/published-rules.ts'
import { snapshotTextHash } from '../services/kit/snapshot-folder.ts'
import { createApiFixture, plainMessage, type ApiFixture, type Caller } from './api-fixture.ts'

const token = 'a-token-of-twenty-letters'
const rules = (id: string, pattern = 'casino', revision = 1) =>
  `markAt: 5\nrejectAt: 8\nlists: {traps: [trap@corp.test]}\nrules:\n  # why it is here\n  - {id: ${id}, revision: ${revision}, name: ${id}, stage: complete, mode: active, when: {attribute: subject, matches: ${pattern}}, then: {weight: 9}}\n`

let folder: string
let api: ApiFixture
let admin: Caller
let viewer: Caller

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'tollgate-rules-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function open(settings: { rules?: string; token?: string } = {}): Promise<void> {
  const { rules: file, token: secret } = settings
  const more = { ...(file === undefined ? {} : { rules: file }), policy: { pollSeconds: 10, ...(secret === undefined ? {} : { token: secret }) } }
  api = await createApiFixture({ data: folder, settings: more })
  await api.addUser('ann', 'operator')
  await api.addUser('vera', 'viewer')
  admin = await api.login('ann')
  viewer = await api.login('vera')
}

describe('publishing over the API', () => {
  beforeEach(async () => {
    await open({ token })
    return () => api.close()
  })
  const publish = (body: object) => admin.call('POST', '/rulesets', { body })
  const inForce = async () => (await viewer.get('/rules')).json()

  it('begins with no rules, and then has the text as it was written, its hash and its rules in order', async () => {
    expect(await inForce()).toMatchObject({ source: 'none', version: 0, hash: null, rules: [], draft: { revision: 0, text: null } })
    const published = await publish({ text: rules('casino'), baseVersion: 0, note: ' first ' })
    expect([published.status, published.json()]).toMatchObject([201, { version: 1, publishedBy: 'ann', note: 'first', reverts: null }])
    const now = await inForce()
    expect([...Value.Errors(RulesInForce, now)]).toEqual([])
    expect(now).toMatchObject({
      source: 'published',
      version: 1,
      hash: published.json().hash,
      text: rules('casino'),
      rules: [{ id: 'casino', hitCount: '0', lastHitHour: null }],
    })
  })

  it('answers conflict, with the name of who was faster, where the version in force moved on', async () => {
    const answers = await Promise.all(['a', 'b', 'c'].map((id) => publish({ text: rules(id), baseVersion: 0 })))
    expect(answers.map(({ status }) => status).toSorted()).toEqual([201, 409, 409])
    const stale = await publish({ text: rules('d'), baseVersion: 0 })
    expect(stale.json().error).toMatchObject({ code: 'conflict', message: expect.stringMatching(/^Version 1 is in force now \(ann published it at 20/) })
    expect((await publish({ text: rules('d'), baseVersion: 7 })).status).toBe(409)
  })

  it('refuses what has faults with line and column, and what is no one thing to publish', async () => {
    const wrong = await publish({ text: rules('a', "'(x'"), baseVersion: 0 })
    expect([wrong.status, wrong.json().error]).toMatchObject([400, { code: 'bad-rules', faults: [{ line: 6 }] }])
    expect((await publish({ text: rules('a', '"x\\0y"'), baseVersion: 0 })).json().error.code).toBe('bad-rules')
    for (const body of [{}, { text: rules('a'), revertTo: 1 }, { text: rules('a'), draftRevision: 1 }])
      expect((await publish({ ...body, baseVersion: 0 })).json().error.code).toBe('bad-request')
    expect((await publish({ text: rules('a') })).json().error.code).toBe('bad-request')
    expect((await publish({ text: 'lists: {t: {file: t.txt}}', baseVersion: 0 })).json().error.message).toContain('may have lists in other files')
    expect(await inForce()).toMatchObject({ version: 0 })
  })

  it('goes back to an old version by a new one with the same content and hash', async () => {
    const first = (await publish({ text: rules('a'), baseVersion: 0 })).json()
    await publish({ text: rules('b'), baseVersion: 1 })
    const back = (await publish({ revertTo: 1, baseVersion: 2 })).json()
    expect(back).toMatchObject({ version: 3, hash: first.hash, reverts: 1 })
    expect(await inForce()).toMatchObject({ version: 3, text: rules('a') })
    expect((await publish({ revertTo: 9, baseVersion: 3 })).status).toBe(404)
    const list = (await viewer.get('/rulesets?limit=2')).json()
    expect([...Value.Errors(RulesetVersions, list)]).toEqual([])
    expect([list.versions.map((one: { version: number }) => one.version), list.nextCursor]).toEqual([[3, 2], 2])
    expect((await viewer.get('/rulesets?limit=2&cursor=2')).json()).toMatchObject({ versions: [{ version: 1 }], nextCursor: null })
    expect((await viewer.get('/rulesets/2')).json()).toMatchObject({ version: 2, text: rules('b') })
    expect((await viewer.get('/rulesets/4')).status).toBe(404)
  })

  it('keeps one draft for all: a change on an old revision is a conflict that says who changed it', async () => {
    const save = (revision: number, text: string | null) => admin.call('PUT', '/rules', { body: { revision, text } })
    const answers = await Promise.all([save(0, rules('a')), save(0, rules('b'))])
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409])
    expect((await save(1, rules('c'))).json()).toMatchObject({ revision: 2, text: rules('c'), changedBy: 'ann' })
    const stale = await save(1, rules('d'))
    expect(stale.json().error).toMatchObject({ code: 'conflict', message: expect.stringMatching(/^The draft is at revision 2 now \(ann changed it at 20/) })
    expect((await save(2, rules('d', "'(x'"))).json().error).toMatchObject({ code: 'bad-rules', faults: [{ line: 6 }] })
    expect((await inForce()).draft).toMatchObject({ revision: 2, text: rules('c') })
    // Dropped and begun again, no revision comes twice.
    await save(2, null)
    expect((await save(0, rules('e'))).status).toBe(409)
    expect((await save(3, rules('e'))).json()).toMatchObject({ revision: 4 })
  })

  it('publishes the draft as it was read, once, and then there is none', async () => {
    await admin.call('PUT', '/rules', { body: { revision: 0, text: rules('a') } })
    expect((await publish({ draftRevision: 2, baseVersion: 0 })).json().error.code).toBe('conflict')
    expect((await publish({ draftRevision: 1, baseVersion: 0 })).json()).toMatchObject({ version: 1 })
    expect((await inForce()).draft).toMatchObject({ revision: 2, text: null })
    expect((await publish({ draftRevision: 2, baseVersion: 1 })).status).toBe(404)
    // A publication that loses leaves the draft as it is.
    await admin.call('PUT', '/rules', { body: { revision: 2, text: rules('b') } })
    expect((await publish({ draftRevision: 3, baseVersion: 0 })).status).toBe(409)
    expect((await inForce()).draft).toMatchObject({ revision: 3, text: rules('b') })
  })

  it('tells what differs, and rules that mean something else under the same revision', async () => {
    await publish({ text: rules('a'), baseVersion: 0 })
    expect((await publish({ text: rules('a', 'poker'), baseVersion: 1 })).json().forgottenRevisions).toEqual(['a'])
    const diff = (await viewer.get('/rulesets/1/diff?against=2')).json()
    expect([...Value.Errors(RulesetDiff, diff)]).toEqual([])
    expect(diff).toMatchObject({ isSame: false, changed: [{ ruleId: 'a', isRevisionForgotten: true }] })
    expect((await viewer.get('/rulesets/1/diff?against=draft')).status).toBe(404)
    await admin.call('PUT', '/rules', { body: { revision: 0, text: rules('a') } })
    expect((await viewer.get('/rulesets/1/diff?against=draft')).json()).toMatchObject({ isSame: true })
    expect((await viewer.get('/rulesets/1/diff?against=x')).status).toBe(400)
    const check = (await viewer.call('POST', '/rules/check', { body: { text: rules('a', 'slots', 2) } })).json()
    expect([...Value.Errors(RulesCheck, check)]).toEqual([])
    expect(check).toMatchObject({ ruleCount: 1, forgottenRevisions: [] })
    expect(await inForce()).toMatchObject({ version: 2, draft: { text: rules('a') } })
  })

  it('explains a stored message under a text, else the draft, else the rules in force', async () => {
    const event = plainMessage(api.log, { subject: 'Casino night' })
    await api.ingest([...api.log.segmentStart(), api.log.line(event)])
    const explain = async (body: object) => (await viewer.call('POST', '/rules/explain', { body: { messageId: event.transactionId, ...body } })).json()
    expect(await explain({})).toMatchObject({ rules: [], isJudgedByThese: false })
    await publish({ text: rules('other', 'poker'), baseVersion: 0 })
    expect(await explain({})).toMatchObject({ rules: [{ ruleId: 'other', result: 'missed' }], now: { outcome: 'accepted' } })
    await admin.call('PUT', '/rules', { body: { revision: 0, text: rules('casino', 'Casino') } })
    const told = await explain({})
    expect([...Value.Errors(RulesExplanation, told)]).toEqual([])
    expect(told).toMatchObject({ rules: [{ ruleId: 'casino', result: 'hit', weight: 9, matchedText: 'Casino' }], now: { outcome: 'refused', weight: 9 } })
    expect(await explain({ text: rules('third') })).toMatchObject({ rules: [{ ruleId: 'third' }] })
    expect(await explain({ messageId: '01a12eb5-beef-73c0-a322-9adeb1d5caee' })).toMatchObject({ error: { code: 'not-found' } })
    expect(await explain({ messageId: 'x' })).toMatchObject({ error: { code: 'not-found' } })
  })

  it('records who saved, published and went back', async () => {
    await admin.call('PUT', '/rules', { body: { revision: 0, text: rules('a') } })
    await publish({ draftRevision: 1, baseVersion: 0 })
    await publish({ revertTo: 1, baseVersion: 1 })
    const { rows } = await api.test.database.pool.query(
      `select actor, action, subject from audit_record where action like 'rules.%' order by audit_id`,
    )
    expect(rows).toEqual([
      { actor: 'ann', action: 'rules.drafted', subject: '1' },
      { actor: 'ann', action: 'rules.published', subject: '1' },
      { actor: 'ann', action: 'rules.drafted', subject: '2' },
      { actor: 'ann', action: 'rules.reverted', subject: '2' },
    ])
  })

  it('hands the snapshot to who knows the token, and not again to who has it', async () => {
    await publish({ text: rules('a'), baseVersion: 0 })
    const get = (headers: Record<string, string>) => api.server.inject({ method: 'GET', url: '/api/v1/policy/snapshot', headers })
    for (const authorization of ['', 'Bearer', `Bearer ${token}x`, `Bearer ${token.slice(1)}`, token])
      expect((await get({ authorization })).statusCode, authorization).toBe(401)
    expect((await get({ cookie: admin.cookie })).statusCode).toBe(401)
    const given = await get({ authorization: `Bearer ${token}` })
    expect([given.statusCode, given.headers.etag]).toEqual([200, `"${snapshotTextHash(given.body)}"`])
    expect(given.json()).toMatchObject({ version: 1, parts: { ruleset: { version: 1, content: { markAt: 5 } } } })
    const again = { authorization: `Bearer ${token}`, 'if-none-match': String(given.headers.etag) }
    expect([(await get(again)).statusCode, (await get(again)).body]).toEqual([304, ''])
    await publish({ text: rules('b'), baseVersion: 1 })
    expect((await get(again)).statusCode).toBe(200)
  })
})

describe('where the setting rules names a file', () => {
  it('that file governs: it is shown with its faults, and publishing is refused with the remedy', async () => {
    const file = path.join(folder, 'rules.yaml')
    await writeFile(file, 'lists: {traps: {file: traps.txt}}\nrules: []\n')
    await writeFile(path.join(folder, 'traps.txt'), 'a@corp.test\n')
    await open({ rules: file })
    try {
      expect((await viewer.get('/rules')).json()).toMatchObject({ source: 'file', file, faults: [], version: 0 })
      const refused = await admin.call('POST', '/rulesets', { body: { text: rules('a'), baseVersion: 0 } })
      expect([refused.status, refused.json().error]).toMatchObject([409, { code: 'rules-from-file', message: expect.stringContaining('remove the setting') }])
      await writeFile(file, 'rules: [\n')
      expect((await viewer.get('/rules')).json()).toMatchObject({ source: 'file', hash: null, faults: [{ line: 2 }] })
      // Without the setting policy.token there is nothing to ask for.
      const snapshot = await api.server.inject({ method: 'GET', url: '/api/v1/policy/snapshot', headers: { authorization: 'Bearer ' } })
      expect(snapshot.statusCode).toBe(404)
    } finally {
      await api.close()
    }
  })
})
