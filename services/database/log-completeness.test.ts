import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { ensureTenant } from './ensure-tenant.ts'
import { logCompleteness } from './log-completeness.ts'

describe('what the log is complete for', () => {
  let test: TestDatabase
  let tenants = 0
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  type Boot = { node: string; seqs: string; newestAt: string; endedCleanly: boolean }

  async function completeUptoOf(boots: Boot[]): Promise<string | null> {
    tenants += 1
    const { tenantId } = await ensureTenant(test.database, `tenant-${tenants}`)
    for (const boot of boots) {
      await test.database.pool.query(
        `insert into log_boot (tenant_id, node, boot, boot_number, seqs, newest_at, complete_at, ended_cleanly) values ($1, $2, $3, 1, $4, $5, $5, $6)`,
        [tenantId, boot.node, randomUUID(), boot.seqs, boot.newestAt, boot.endedCleanly],
      )
    }
    return (await logCompleteness(test.database, tenantId)).completeUpto
  }

  /** Of a tenant whose boots were stored last. */
  async function withPostfix(newestAt: string) {
    const tenantId = `tenant-${tenants}`
    await test.database.pool.query(
      `insert into log_source (tenant_id, source, host, node, boot, newest_at) values ($1, 'postfix', 'mx', 'mx', $2, $3)`,
      [tenantId, randomUUID(), newestAt],
    )
    return await logCompleteness(test.database, tenantId)
  }

  const early = '2026-11-01T10:00:00.000Z'
  const late = '2026-11-01T12:00:00.000Z'

  it('is held back by the slowest node that runs', async () => {
    expect(
      await completeUptoOf([
        { node: 'a', seqs: '{[1,10)}', newestAt: early, endedCleanly: false },
        { node: 'b', seqs: '{[1,10)}', newestAt: late, endedCleanly: false },
      ]),
    ).toBe(early)
  })

  it('is not held back by a node that ended cleanly and misses nothing', async () => {
    expect(
      await completeUptoOf([
        { node: 'a', seqs: '{[1,10)}', newestAt: early, endedCleanly: true },
        { node: 'b', seqs: '{[1,10)}', newestAt: late, endedCleanly: false },
      ]),
    ).toBe(late)
  })

  it('is held back by a node that ended cleanly and misses something', async () => {
    expect(
      await completeUptoOf([
        { node: 'a', seqs: '{[1,5),[6,10)}', newestAt: early, endedCleanly: true },
        { node: 'b', seqs: '{[1,10)}', newestAt: late, endedCleanly: false },
      ]),
    ).toBe(early)
  })

  it('reaches to the newest line where every node is at rest, and nowhere where there is none', async () => {
    expect(
      await completeUptoOf([
        { node: 'a', seqs: '{[1,10)}', newestAt: early, endedCleanly: true },
        { node: 'b', seqs: '{[1,10)}', newestAt: late, endedCleanly: true },
      ]),
    ).toBe(late)
    expect(await completeUptoOf([])).toBeNull()
  })

  it('is nothing where only another MTA is read, whose lines have no numbers', async () => {
    await completeUptoOf([])
    expect(await withPostfix(late)).toMatchObject({
      completeUpto: null,
      gapCount: 0,
      nodes: [],
      unnumberedSources: [{ source: 'postfix', host: 'mx', newestAt: late }],
    })
  })

  it.each([
    ['older', '2026-11-01T08:00:00.000Z'],
    ['newer', '2026-11-01T18:00:00.000Z'],
  ])('stays what the gateway proves of itself where another MTA has %s lines, which is named apart', async (_age, newestAt) => {
    const boot = { node: 'a', seqs: '{[1,5),[6,10)}', newestAt: early, endedCleanly: false }
    const proven = await completeUptoOf([boot, { node: 'b', seqs: '{[1,10)}', newestAt: late, endedCleanly: true }])
    expect(await withPostfix(newestAt)).toEqual({
      completeUpto: proven,
      gapCount: 1,
      rejectedLineCount: '0',
      nodes: [
        { node: 'a', newestAt: early, gapCount: 1 },
        { node: 'b', newestAt: late, gapCount: 0 },
      ],
      unnumberedSources: [{ source: 'postfix', host: 'mx', newestAt }],
    })
    expect(proven).toBe(early)
  })

  it('names the sources of its own tenant alone', async () => {
    await completeUptoOf([])
    await withPostfix(late)
    await completeUptoOf([])
    expect((await logCompleteness(test.database, `tenant-${tenants}`)).unnumberedSources).toEqual([])
  })
})
