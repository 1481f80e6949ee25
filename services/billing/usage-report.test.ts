import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storedEntries } from '../../test/billing-entries.ts'
import { storeBatch, storedMessage, type StoredMessage } from '../../test/billing-log.ts'
import { policySettings, tenantWith, type PolicyChanges } from '../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import type { UsageRow } from '../contracts/api.ts'
import { monthLabelAt } from '../contracts/period.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { recipientIdOf } from '../ingest/recipient-id.ts'
import { ensureBillingPolicy } from './billing-policy.ts'
import { meterBatch } from './meter-batch.ts'
import { usagePeriods } from './usage-periods.ts'
import { usageReport, type UsageOptions, type UsageReport } from './usage-report.ts'

const directory = { acme: ['anna@acme.example', 'ben@acme.example'], borealis: ['zoe@shared.example'] }

describe('the usage report', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  async function tenantWithMail(messages: StoredMessage[], changes: PolicyChanges = {}): Promise<string> {
    const tenantId = await tenantWith(test.database, changes, directory)
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
    return tenantId
  }

  type Asked = Partial<Omit<UsageOptions, 'database' | 'tenantId'>>
  const open = async (tenantId: string, asked: Asked = {}) =>
    await usageReport({ database: test.database, tenantId, period: '2026-11', by: 'client', ...asked })

  async function read(tenantId: string, asked: Asked = {}): Promise<{ report: UsageReport; rows: UsageRow[] }> {
    const report = await open(tenantId, asked)
    const rows: UsageRow[] = []
    for await (const row of report.rows) rows.push(row)
    return { report, rows }
  }

  /** Keys that are set, then messages, billed and unbilled octets. */
  const shortRows = (rows: UsageRow[]) =>
    rows.map(({ clientName: _name, messageCount, billedBytes, unbilledBytes, ...keys }) =>
      [...Object.values(keys).filter((key) => key !== null), messageCount, billedBytes, unbilledBytes].join(' '),
    )

  const november = [
    storedMessage('2026-11-02T10:00:00.000Z', 1_000, ['anna@acme.example', 'ben@acme.example', 'zoe@shared.example']),
    storedMessage('2026-11-02T11:00:00.000Z', 500, ['anna@acme.example', 'nobody@acme.example']),
    storedMessage('2026-11-03T10:00:00.000Z', 70, ['anna@acme.example'], { outcome: 'refused' }),
    storedMessage('2026-11-03T11:00:00.000Z', 40, [{ address: 'x@else.example', direction: 'outbound' }], {
      sender: 'ben@acme.example',
    }),
  ]

  it('adds up by client, with the house last and each direction apart', async () => {
    const tenantId = await tenantWithMail(november)
    const full = await read(tenantId)
    expect(shortRows(full.rows)).toEqual([
      'acme inbound 3 2500 70',
      'acme outbound 1 40 0',
      'borealis inbound 1 1000 0',
      'inbound 1 500 0',
    ])
    expect(full.rows.map((row) => row.clientName)).toEqual([
      'The acme company',
      'The acme company',
      'The borealis company',
      null,
    ])
    const split = await read(tenantId, { mode: 'split' })
    expect(shortRows(split.rows)).toEqual([
      'acme inbound 3 917 70',
      'acme outbound 1 40 0',
      'borealis inbound 1 333 0',
      'inbound 1 250 0',
    ])
    for (const { report } of [full, split]) {
      expect(report.totals).toEqual({ fullBytes: '4040', splitBytes: '1540', messageCount: '4' })
      expect([report.unitBytes, report.unmeteredBatchCount]).toEqual([1_000_000, 0])
    }
    expect([full.report.mode, split.report.mode]).toEqual(['full', 'split'])
  })

  it('counts a message of unknown size among the messages, and adds no octets for it', async () => {
    const unknown = { outcome: 'discarded', sizeSource: 'queue', messageBytes: null } as const
    const tenantId = await tenantWithMail([storedMessage('2026-11-02T10:00:00.000Z', 0, ['anna@acme.example'], unknown)])
    const { report, rows } = await read(tenantId)
    expect(shortRows(rows)).toEqual(['acme inbound 1 0 0'])
    expect(report.totals).toEqual({ fullBytes: '0', splitBytes: '0', messageCount: '1' })
  })

  it('adds up by recipient, by day and by domain', async () => {
    const tenantId = await tenantWithMail(november)
    expect(shortRows((await read(tenantId, { by: 'recipient' })).rows)).toEqual([
      'acme anna@acme.example acme.example inbound 3 1500 70',
      'acme ben@acme.example acme.example inbound 1 1000 0',
      'acme x@else.example else.example outbound 1 40 0',
      'borealis zoe@shared.example shared.example inbound 1 1000 0',
      'nobody@acme.example acme.example inbound 1 500 0',
    ])
    expect(shortRows((await read(tenantId, { by: 'day' })).rows)).toEqual([
      '2026-11-02 inbound 2 4000 0',
      '2026-11-03 inbound 1 0 70',
      '2026-11-03 outbound 1 40 0',
    ])
    expect(shortRows((await read(tenantId, { by: 'domain' })).rows)).toEqual([
      'acme.example inbound 3 3000 70',
      'else.example outbound 1 40 0',
      'shared.example inbound 1 1000 0',
    ])
  })

  it('shows one client alone where asked, or the house', async () => {
    const tenantId = await tenantWithMail(november)
    const acme = await read(tenantId, { by: 'recipient', clientId: 'borealis' })
    expect(shortRows(acme.rows)).toEqual(['borealis zoe@shared.example shared.example inbound 1 1000 0'])
    expect(acme.report.totals).toEqual({ fullBytes: '1000', splitBytes: '333', messageCount: '1' })
    const house = await read(tenantId, { clientId: 'house' })
    expect(shortRows(house.rows)).toEqual(['inbound 1 500 0'])
    expect(house.report.totals.fullBytes).toBe('500')
  })

  it('holds the first instant of the period and not the one of the next, in the zone of the tenant', async () => {
    const times = [
      '2026-10-31T22:59:59.999Z',
      '2026-10-31T23:00:00.000Z',
      '2026-11-30T22:59:59.999Z',
      '2026-11-30T23:00:00.000Z',
    ]
    const tenantId = await tenantWithMail(
      times.map((time, index) => storedMessage(time, 10 ** index, ['anna@acme.example'])),
      { timeZone: 'Europe/Berlin' },
    )
    const { report, rows } = await read(tenantId, { by: 'day' })
    expect(shortRows(rows)).toEqual(['2026-11-01 inbound 1 10 0', '2026-11-30 inbound 1 100 0'])
    expect([report.period.from.toISOString(), report.period.upto.toISOString()]).toEqual([times[1], times[3]])
    expect(report.totals.fullBytes).toBe('110')
    expect(await usagePeriods(test.database, tenantId)).toEqual({
      labels: ['2026-12', '2026-11', '2026-10'],
      timeZone: 'Europe/Berlin',
    })
  })

  it('puts each message on the day that the clocks of the zone show, also on the day of 25 hours', async () => {
    const times = [
      '2026-10-24T21:59:59.999Z',
      '2026-10-24T22:00:00.000Z',
      '2026-10-25T22:59:59.999Z',
      '2026-10-25T23:00:00.000Z',
    ]
    const tenantId = await tenantWithMail(
      times.map((time) => storedMessage(time, 1, ['anna@acme.example'])),
      { timeZone: 'Europe/Berlin' },
    )
    const { rows } = await read(tenantId, { by: 'day', period: '2026-10' })
    expect(shortRows(rows)).toEqual([
      '2026-10-24 inbound 1 1 0',
      '2026-10-25 inbound 2 2 0',
      '2026-10-26 inbound 1 1 0',
    ])
  })

  it('counts each message in the mode of its time where the policy changed within the period', async () => {
    const tenantId = await tenantWithMail([
      storedMessage('2026-11-10T00:00:00.000Z', 100, ['anna@acme.example', 'zoe@shared.example']),
    ])
    await ensureBillingPolicy(
      test.database,
      tenantId,
      policySettings({ mode: 'split' }),
      new Date('2026-11-15T00:00:00.000Z'),
    )
    const late = ['2026-11-14T23:59:59.999Z', '2026-11-15T00:00:00.000Z'].map((time) =>
      storedMessage(time, 100, ['anna@acme.example', 'zoe@shared.example']),
    )
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, late))
    const { report, rows } = await read(tenantId)
    expect(shortRows(rows)).toEqual(['acme inbound 3 250 0', 'borealis inbound 3 250 0'])
    expect([report.mode, report.modeSpans]).toEqual([
      'split',
      [
        { mode: 'full', from: new Date('2026-11-01T00:00:00.000Z') },
        { mode: 'split', from: new Date('2026-11-15T00:00:00.000Z') },
      ],
    ])
    expect(shortRows((await read(tenantId, { mode: 'full' })).rows)).toEqual([
      'acme inbound 3 300 0',
      'borealis inbound 3 300 0',
    ])
  })

  it('shows an erased recipient by its opaque id, apart from others that are erased', async () => {
    const tenantId = await tenantWith(test.database, {}, directory)
    const { recipientKey } = await ensureTenant(test.database, tenantId)
    const ids = ['anna@acme.example', 'ben@acme.example'].map((address) => recipientIdOf(recipientKey, address))
    for (const id of ids)
      await test.database.pool.query('insert into recipient_name (tenant_id, recipient_id) values ($1, $2)', [
        tenantId,
        id,
      ])
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, november))
    const { rows } = await read(tenantId, { by: 'recipient', clientId: 'acme' })
    const expected = ids.sort().map((id) => `erased-${id.replaceAll('-', '').slice(0, 12)}`)
    expect(rows.map((row) => row.recipient)).toEqual(['x@else.example', ...expected])
    expect(rows.map((row) => row.domain)).toEqual(['else.example', 'erased', 'erased'])
    expect(shortRows((await read(tenantId, { by: 'domain', clientId: 'acme' })).rows)[1]).toBe(
      'erased inbound 3 2500 70',
    )
  })

  it('counts the batches with messages that are not metered yet', async () => {
    const tenantId = await tenantWithMail(november)
    await storeBatch(test.database, tenantId, [storedMessage('2026-11-05T00:00:00.000Z', 1, ['anna@acme.example'])])
    await storeBatch(test.database, tenantId, [])
    const { report } = await read(tenantId)
    expect([report.unmeteredBatchCount, report.totals.messageCount]).toEqual([1, '4'])
  })

  it('shows totals and rows of one moment, whatever is metered while it is read', async () => {
    const tenantId = await tenantWithMail(november)
    const report = await open(tenantId)
    await meterBatch(
      test.database,
      tenantId,
      await storeBatch(test.database, tenantId, [
        storedMessage('2026-11-05T00:00:00.000Z', 1, ['anna@acme.example']),
      ]),
    )
    const rows: UsageRow[] = []
    for await (const row of report.rows) rows.push(row)
    expect(shortRows(rows)[0]).toBe('acme inbound 3 2500 70')
    expect(shortRows((await read(tenantId)).rows)[0]).toBe('acme inbound 4 2501 70')
  })

  it('shows totals and rows of one moment, whatever is metered between the two', async () => {
    const tenantId = await tenantWithMail(november)
    const late = await storeBatch(test.database, tenantId, [
      storedMessage('2026-11-05T00:00:00.000Z', 1, ['anna@acme.example']),
    ])
    const client = await test.database.pool.connect()
    const query = client.query.bind(client) as (...given: unknown[]) => Promise<unknown>
    const slow = Object.assign(Object.create(client) as typeof client, {
      query: async (...given: unknown[]) => {
        if (String(given[0]).startsWith('declare')) await meterBatch(test.database, tenantId, late)
        return await query(...given)
      },
      release: client.release.bind(client),
    })
    const pool = { connect: async () => slow } as unknown as typeof test.database.pool
    const report = await usageReport({
      database: { ...test.database, pool },
      tenantId,
      period: '2026-11',
      by: 'client',
    })
    let billed = 0n
    for await (const row of report.rows) billed += BigInt(row.billedBytes)
    expect(String(billed)).toBe(report.totals.fullBytes)
    expect((await read(tenantId)).report.totals.fullBytes).toBe(String(billed + 1n))
  })

  it('gives its connection back when it is read, closed, left early, or refused', async () => {
    const tenantId = await tenantWithMail(november)
    for (let turn = 0; turn < 20; turn += 1) {
      await (await open(tenantId)).close()
      for await (const _row of (await open(tenantId)).rows) break
      await read(tenantId)
      await open(tenantId, { period: '2026-13' }).catch(() => {})
    }
    const { totalCount, idleCount } = test.database.pool
    expect(idleCount).toBe(totalCount)
  })

  it('refuses what does not exist, with the remedy', async () => {
    const tenantId = await tenantWithMail(november)
    await expect(open(tenantId, { period: '2026-13' })).rejects.toThrow(RangeError)
    await expect(open(tenantId, { period: '2026-13' })).rejects.toThrow(/write year and month, like 2026-11/)
    await expect(open(tenantId, { clientId: 'acmee' })).rejects.toThrow(
      'There is no client "acmee": see the ids in the directory, or write house',
    )
  })

  it('is empty for a month without mail, and tells of no month before the first', async () => {
    const tenantId = await tenantWith(test.database)
    const { report, rows } = await read(tenantId)
    expect([rows, report.totals]).toEqual([[], { fullBytes: '0', splitBytes: '0', messageCount: '0' }])
    expect((await usagePeriods(test.database, tenantId)).labels).toEqual([])
  })

  it('lists only the months that hold entries', async () => {
    const tenantId = await tenantWithMail(
      ['2026-08-31T23:59:59.999Z', '2026-11-01T00:00:00.000Z'].map((time) =>
        storedMessage(time, 1, ['anna@acme.example']),
      ),
    )
    expect((await usagePeriods(test.database, tenantId)).labels).toEqual(['2026-11', '2026-08'])
  })

  it('adds up to the entries, by every grouping and in both modes, over all months', async () => {
    const message = fc.tuple(
      fc.integer({ min: 0, max: 70 * 24 * 60 }),
      fc.nat({ max: 5_000 }),
      fc.subarray(['anna@acme.example', 'ben@acme.example', 'zoe@shared.example', 'n@acme.example'], {
        minLength: 1,
      }),
      fc.constantFrom('accepted' as const, 'refused' as const),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 1, maxLength: 12 }),
        fc.constantFrom('Europe/Berlin', 'Pacific/Apia', 'America/Havana'),
        async (drawn, timeZone) => {
          const messages = drawn.map(([minutes, size, recipients, outcome]) =>
            storedMessage(new Date(Date.UTC(2026, 8, 20, 0, minutes)), size, recipients, { outcome }),
          )
          const tenantId = await tenantWithMail(messages, { timeZone })
          const entries = await storedEntries(test.database, tenantId)
          const { labels } = await usagePeriods(test.database, tenantId)
          expect(labels).toEqual(
            [...new Set(entries.map((entry) => monthLabelAt(entry.endedAt, timeZone)))].sort().reverse(),
          )
          for (const period of labels) {
            const within = entries.filter((entry) => monthLabelAt(entry.endedAt, timeZone) === period)
            for (const mode of ['full', 'split'] as const) {
              const sum = (isBillable: boolean) =>
                within
                  .filter((entry) => entry.isBillable === isBillable)
                  .reduce((total, entry) => total + entry[mode], 0n)
              for (const by of ['client', 'recipient', 'day', 'domain'] as const) {
                const { report, rows } = await read(tenantId, { period, by, mode })
                expect(rows.reduce((total, row) => total + BigInt(row.billedBytes), 0n)).toBe(sum(true))
                expect(rows.reduce((total, row) => total + BigInt(row.unbilledBytes), 0n)).toBe(sum(false))
                expect(BigInt(report.totals[`${mode}Bytes`])).toBe(sum(true))
                expect(Number(report.totals.messageCount)).toBe(
                  new Set(within.map((entry) => entry.transactionId)).size,
                )
              }
            }
          }
        },
      ),
      { numRuns: 12 },
    )
  })
})
