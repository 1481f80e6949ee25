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
})
