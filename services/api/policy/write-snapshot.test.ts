import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../../test/test-database.ts'
import { ensureTenant } from '../../database/ensure-tenant.ts'
import { openOperatorLog } from '../../kit/operator-log.ts'
import { readSnapshotText } from '../../kit/snapshot-folder.ts'
import { rulesetHash } from '../../rules/ruleset-hash.ts'
import type { Ruleset } from '../../rules/ruleset.ts'
import { publishFirstRules, writeFirstSnapshot } from './first-rules.ts'
import { publishVersion, versionContent, versionsBelow } from './ruleset-versions.ts'
import { SnapshotPublisher } from './snapshot-publisher.ts'
import { publishedFolder, writeSnapshot } from './write-snapshot.ts'

let test: TestDatabase
let data: string
let tenantId: string
let tenantCount = 0

beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(async () => {
  await test.drop()
})
beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'tollgate-publish-'))
  tenantId = `t${(tenantCount += 1)}`
  await ensureTenant(test.database, tenantId)
})
afterEach(async () => {
  await rm(data, { recursive: true })
})

const rules = (name: string): Ruleset => ({ name, markAt: 1.5, rejectAt: null, lists: { z: ['b', 'a'] }, rules: [] })
const publish = (name: string, baseVersion: number, reverts: number | null = null) =>
  test.database.kysely
    .transaction()
    .execute((transaction) =>
      publishVersion(transaction, tenantId, { ruleset: rules(name), text: `name: ${name}`, baseVersion, by: 'ann', note: null, reverts }),
    )
const place = () => ({ database: test.database, tenantId, dataFolder: data })
const published = async () => JSON.parse((await readSnapshotText(publishedFolder(data)))!.text) as any

describe('publishing', () => {
  it('numbers versions without a gap, and lets one of those win that began with the same one', async () => {
    const answers = await Promise.all([publish('a', 0), publish('b', 0), publish('c', 0)])
    expect(answers.filter((answer) => answer !== null)).toMatchObject([{ version: 1 }])
    expect([await publish('d', 0), await publish('d', 2)]).toEqual([null, null])
    expect(await publish('d', 1)).toMatchObject({ version: 2, publishedBy: 'ann', hash: rulesetHash(rules('d')) })
    expect((await versionsBelow(test.database, tenantId, { below: null, limit: 9 })).map((row) => row.version)).toEqual([2, 1])
    expect((await versionsBelow(test.database, tenantId, { below: 2, limit: 9 })).map((row) => row.version)).toEqual([1])
    const { rows } = await test.database.pool.query(`select subject from audit_record where tenant_id = $1 order by 1`, [tenantId])
    expect(rows).toEqual([{ subject: '1' }, { subject: '2' }])
  })

  it('gives a version back as it was, and so with the same hash', async () => {
    await publish('a', 0)
    const content = await versionContent(test.database.kysely, tenantId, 1)
    expect(content).toMatchObject({ text: 'name: a', ruleset: rules('a') })
    expect(rulesetHash(content!.ruleset)).toBe(content!.hash)
  })

  it('leaves no right to change or delete a version to the role that runs', async () => {
    const { rows } = await test.database.pool.query(
      `select has_table_privilege('tollgate_run', 'ruleset_version', 'update') as u,
        has_table_privilege('tollgate_run', 'ruleset_version', 'delete') as d,
        has_table_privilege('tollgate_run', 'ruleset_version', 'insert') as i`,
    )
    expect(rows).toEqual([{ u: false, d: false, i: true }])
  })
})

describe('the published snapshot', () => {
  it('holds the newest version, and is empty before there is one', async () => {
    await writeSnapshot(place())
    expect(await published()).toEqual({ version: 1, tenantId, parts: {} })
    await publish('a', 0)
    await publish('b', 1)
    await writeSnapshot(place())
    expect(await published()).toEqual({
      version: 1,
      tenantId,
      parts: { ruleset: { hash: rulesetHash(rules('b')), version: 2, content: rules('b') } },
    })
  })

  it('heals when its folder is lost or its file damaged', async () => {
    await publish('a', 0)
    const log = openOperatorLog('api', { level: 'silent' })
    const publisher = new SnapshotPublisher(place(), log)
    const { hash, text } = (await publisher.pass())!
    await rm(publishedFolder(data), { recursive: true })
    expect(await publisher.pass()).toEqual({ hash, text })
    expect(await readSnapshotText(publishedFolder(data))).toEqual({ hash, text })
    await writeFile(path.join(publishedFolder(data), `${hash}.json`), 'damaged')
    await new SnapshotPublisher(place(), log).pass()
    expect(await readFile(path.join(publishedFolder(data), `${hash}.json`), 'utf8')).toBe(text)
    await publisher.close()
  })

  it('of a new instance is the same before and after there is a database', async () => {
    await writeFirstSnapshot(data, tenantId, 'name: first')
    const before = await readSnapshotText(publishedFolder(data))
    await publishFirstRules(test.database, tenantId, 'name: first', 'demo')
    await writeSnapshot(place())
    expect(await readSnapshotText(publishedFolder(data))).toEqual(before)
    await writeFirstSnapshot(data, tenantId, 'name: second')
    await publishFirstRules(test.database, tenantId, 'name: second', 'demo')
    await writeSnapshot(place())
    expect(await readSnapshotText(publishedFolder(data))).toEqual(before)
  })
})
