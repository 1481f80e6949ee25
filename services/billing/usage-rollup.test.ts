import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage } from '../../test/billing-log.ts'
import { policySettings, tenantWith } from '../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { usageGroupings, type UsageRow } from '../contracts/api.ts'
import { eraseAddress } from '../database/erasure/erase-address.ts'
import { ensureBillingPolicy } from './billing-policy.ts'
import { inTransaction } from './in-transaction.ts'
import { meterBatch } from './meter-batch.ts'
import { usagePeriods } from './usage-periods.ts'
import { usageReport } from './usage-report.ts'
import { ensureUsageRollup, isUsageRolled, rebuildUsageRollup, rollUsageCorrection } from './usage-rollup.ts'

const directory = { acme: ['anna@acme.example', 'ben@acme.example'], borealis: ['zoe@shared.example'] }
const addresses = ['anna@acme.example', 'ben@acme.example', 'zoe@shared.example', 'nobody@acme.example']

describe('the sums of usage', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  async function figures(tenantId: string, readsEntries: boolean) {
    const all: Record<string, { totals: object; rows: UsageRow[] }> = {}
    for (const period of (await usagePeriods(test.database, tenantId)).labels) {
      for (const by of usageGroupings) {
        for (const mode of [undefined, 'split'] as const) {
          for (const clientId of [undefined, by === 'day' ? 'house' : 'acme']) {
            const report = await usageReport({
              database: test.database,
              tenantId,
              period,
              by,
              mode,
              clientId,
              readsEntries,
            })
            const rows: UsageRow[] = []
            for await (const row of report.rows) rows.push(row)
            all[[period, by, mode, clientId].join(' ')] = { totals: report.totals, rows }
          }
        }
      }
    }
    return all
  }

  async function expectSumsEqualEntries(tenantId: string): Promise<void> {
    expect(await figures(tenantId, false)).toEqual(await figures(tenantId, true))
  }

  /** Appends what a correction would: for some messages an entry more, or one that takes another back. */
  async function correct(tenantId: string, correction: bigint, places: readonly number[], isSameRecipient: boolean) {
    await inTransaction(test.database, async (transaction) => {
      for (const place of places) {
        await transaction.query(
          `insert into usage_entry (tenant_id, transaction_id, id_time, recipient_id, correction, ended_at, client_id,
             direction, full_bytes, split_bytes, is_billable, reason, size_source)
           select tenant_id, transaction_id, id_time, case when $4 then recipient_id else $5::uuid end, $2, ended_at,
             case when $4 then client_id else 'borealis' end, direction, -full_bytes, -split_bytes, is_billable, reason,
             size_source
           from (select *, row_number() over (order by transaction_id, recipient_id) as place from usage_entry
             where tenant_id = $1 and correction = 0) e
           where place = $3 on conflict do nothing`,
          [tenantId, correction, place, isSameRecipient, correctedRecipient],
        )
      }
      await rollUsageCorrection(transaction, tenantId, correction)
      await rollUsageCorrection(transaction, tenantId, correction)
    })
  }
  const correctedRecipient = '00000000-0000-4000-8000-000000000001'

  const message = fc.record({
    hours: fc.nat(40 * 24),
    size: fc.nat(5_000),
    recipients: fc.subarray(addresses, { minLength: 1 }),
    isOutboundToo: fc.boolean(),
    outcome: fc.constantFrom('accepted', 'accepted', 'refused'),
  })
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.array(message, { minLength: 1, maxLength: 6 }).map((drawn) => ({ kind: 'mail', drawn }) as const),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('correct'),
        places: fc.uniqueArray(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 3 }),
        isSame: fc.boolean(),
      }),
    },
    { weight: 1, arbitrary: fc.constantFrom({ kind: 'rebuild' } as const, { kind: 'erase' } as const) },
  )

  it('are what reading all entries gives, by every grouping, after mail, corrections, an erasure and a rebuild', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 5 }),
        fc.constantFrom('Europe/Berlin', 'Pacific/Apia'),
        async (steps, timeZone) => {
          const tenantId = await tenantWith(test.database, { timeZone }, directory)
          let correction = 0n
          for (const each of steps) {
            if (each.kind === 'mail') {
              const messages = each.drawn.map(({ hours, size, recipients, isOutboundToo, outcome }) =>
                storedMessage(
                  new Date(Date.UTC(2026, 8, 20, hours)),
                  size,
                  [
                    ...recipients,
                    ...(isOutboundToo ? [{ address: 'x@else.example', direction: 'outbound' as const }] : []),
                  ],
                  { outcome, sender: 'ben@acme.example' },
                ),
              )
              await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
            } else if (each.kind === 'correct') await correct(tenantId, (correction += 1n), each.places, each.isSame)
            else if (each.kind === 'rebuild') await rebuildUsageRollup(test.database, tenantId)
            else await eraseAddress({ database: test.database, tenantId, address: addresses[0]!, actor: 'root', isDry: false })
          }
          await expectSumsEqualEntries(tenantId)
          const before = await storedSums(tenantId)
          await rebuildUsageRollup(test.database, tenantId)
          expect(await storedSums(tenantId)).toEqual(before)
        },
      ),
      { numRuns: 8 },
    )
  })

  const storedSums = async (tenantId: string) =>
    (
      await test.database.pool.query(
        `select to_jsonb(r)::text as row from usage_rollup r where tenant_id = $1 and to_jsonb(r) is not null order by 1`,
        [tenantId],
      )
    ).rows

  const sizes = async (tenantId: string, by: 'client' | 'direction' = 'client') => {
    const report = await usageReport({ database: test.database, tenantId, period: '2026-11', by })
    const rows: string[] = []
    for await (const row of report.rows)
      rows.push([row.clientId, row.direction, row.messageCount, row.billedBytes].join(' '))
    return rows
  }

  it('hold a batch once, also where it is metered again', async () => {
    const tenantId = await tenantWith(test.database, {}, directory)
    const batchId = await storeBatch(test.database, tenantId, [
      storedMessage('2026-11-05T00:00:00Z', 7, [addresses[0]!]),
    ])
    await meterBatch(test.database, tenantId, batchId)
    await meterBatch(test.database, tenantId, batchId)
    await Promise.all([meterBatch(test.database, tenantId, batchId), meterBatch(test.database, tenantId, batchId)])
    expect(await sizes(tenantId)).toEqual(['acme inbound 1 7'])
    await expectSumsEqualEntries(tenantId)
  })

  it('hold every batch when many workers meter at once', async () => {
    const tenantId = await tenantWith(test.database, {}, directory)
    const batchIds: bigint[] = []
    for (let index = 0; index < 8; index += 1) {
      batchIds.push(
        await storeBatch(test.database, tenantId, [
          storedMessage('2026-11-05T00:00:00Z', 7, addresses.slice(index % 3)),
          storedMessage('2026-11-06T00:00:00Z', 9, addresses.slice(0, 1 + (index % 4))),
        ]),
      )
    }
    await Promise.all(batchIds.map(async (batchId) => await meterBatch(test.database, tenantId, batchId)))
    expect((await sizes(tenantId)).length).toBeGreaterThan(0)
    await expectSumsEqualEntries(tenantId)
  })

  it('count a message once in a group that a correction adds to, and once in a new one', async () => {
    const tenantId = await tenantWith(test.database, {}, directory)
    const batchId = await storeBatch(test.database, tenantId, [
      storedMessage('2026-11-05T00:00:00Z', 7, [addresses[0]!]),
    ])
    await meterBatch(test.database, tenantId, batchId)
    await correct(tenantId, 1n, [1], true)
    expect(await sizes(tenantId)).toEqual(['acme inbound 1 0'])
    await correct(tenantId, 2n, [1], false)
    expect(await sizes(tenantId)).toEqual(['acme inbound 1 0', 'borealis inbound 1 -7'])
    expect(await sizes(tenantId, 'direction')).toEqual([' inbound 1 -7'])
  })

  it('follow a change of the mode within the month and of the zone at the start of the next', async () => {
    const tenantId = await tenantWith(test.database, { mode: 'full', timeZone: 'Europe/Berlin' }, directory)
    const mail = async (times: string[]) =>
      await meterBatch(
        test.database,
        tenantId,
        await storeBatch(
          test.database,
          tenantId,
          times.map((time) => storedMessage(time, 101, addresses)),
        ),
      )
    await mail(['2026-10-05T00:00:00Z', '2026-10-31T22:59:59Z'])
    await ensureBillingPolicy(
      test.database,
      tenantId,
      policySettings({ mode: 'split', timeZone: 'Pacific/Apia' }),
      new Date('2026-11-10T00:00:00Z'),
    )
    await mail([
      '2026-10-06T00:00:00Z',
      '2026-11-09T00:00:00Z',
      '2026-11-12T00:00:00Z',
      '2026-11-30T22:59:59Z',
      '2026-11-30T23:00:00Z',
      '2026-12-05T10:00:00Z',
      '2026-12-31T10:59:59Z',
      '2026-12-31T11:00:00Z',
    ])
    expect((await usagePeriods(test.database, tenantId)).labels).toEqual(['2027-01', '2026-12', '2026-11', '2026-10'])
    await expectSumsEqualEntries(tenantId)
  })

  it('are not read for entries older than they are, until they have been added', async () => {
    const tenantId = await tenantWith(test.database, {}, directory)
    const mail = async (time: string) =>
      await meterBatch(
        test.database,
        tenantId,
        await storeBatch(test.database, tenantId, [storedMessage(time, 7, addresses)]),
      )
    await mail('2026-11-05T00:00:00Z')
    // As a tenant is found whose mail was metered before there were sums.
    await test.database.pool.query('delete from usage_rollup where tenant_id = $1', [tenantId])
    await test.database.pool.query('delete from usage_rollup_tenant where tenant_id = $1', [tenantId])
    await mail('2026-11-06T00:00:00Z')
    const isRolled = async () =>
      await inTransaction(
        test.database,
        async (transaction) =>
          await isUsageRolled(transaction, tenantId, {
            label: '2026-11',
            from: new Date('2026-11-01'),
            upto: new Date('2026-12-01'),
            timeZone: 'UTC',
          }),
      )
    expect(await isRolled()).toBe(false)
    await expectSumsEqualEntries(tenantId)
    await ensureUsageRollup(test.database, tenantId)
    expect(await isRolled()).toBe(true)
    await expectSumsEqualEntries(tenantId)
  })

  it('are not read for a month of which retention has removed entries, and are kept by a rebuild', async () => {
    const tenantId = await tenantWith(test.database, {}, directory)
    await meterBatch(
      test.database,
      tenantId,
      await storeBatch(test.database, tenantId, [
        storedMessage('2026-09-05T00:00:00Z', 7, addresses),
        storedMessage('2026-11-25T00:00:00Z', 7, addresses),
      ]),
    )
    const before = await storedSums(tenantId)
    await test.database.pool.query(
      `insert into retention_removal (tenant_id, kind, month) values ($1, 'usage', '2026-09-01T00:00:00Z')`,
      [tenantId],
    )
    const owner = new pg.Client({ connectionString: test.url })
    await owner.connect()
    await owner.query(`delete from usage_entry where tenant_id = $1 and ended_at < '2026-10-01'`, [tenantId])
    await owner.end()
    expect(await rebuildUsageRollup(test.database, tenantId)).toEqual([])
    expect(await storedSums(tenantId)).toEqual(before)
    const report = await usageReport({ database: test.database, tenantId, period: '2026-09', by: 'client' })
    await report.close()
    expect(report.totals.messageCount).toBe('0')
  })
})
