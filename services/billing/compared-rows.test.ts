import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage } from '../../test/billing-log.ts'
import { tenantWith } from '../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { usageGroupings, type UsageRow } from '../contracts/api.ts'
import { eraseAddress } from '../database/erasure/erase-address.ts'
import { meterBatch } from './meter-batch.ts'
import { usageReport, type UsageOptions } from './usage-report.ts'

const addresses = [
  'anna@acme.example',
  'Ben@acme.example',
  'zoé@shared.example',
  '😀@shared.example',
  '｡@x.example',
  'a.b@x.example',
  'a@x.example',
  'a-b@x.example',
  'z@x.example',
  'y@x.example',
]
const directory = {
  acme: addresses.slice(0, 2).map((address) => address.toLowerCase()),
  borealis: ['zoé@shared.example', 'z@x.example'],
}

describe('a comparison with the month before', () => {
  let test: TestDatabase
  let tenantId: string
  beforeAll(async () => {
    test = await createTestDatabase()
    tenantId = await tenantWith(test.database, { timeZone: 'Europe/Berlin' }, directory)
    let size = 100
    const messages = addresses.flatMap((address, index) => [
      ...(index % 3 === 0
        ? []
        : [storedMessage(`2026-10-${String(28 + (index % 4))}T10:00:00Z`, (size += 7), [address])]),
      ...(index % 3 === 1
        ? []
        : [storedMessage(`2026-11-${String(27 + (index % 4))}T10:00:00Z`, (size += 7), [address, addresses[0]!])]),
    ])
    messages.push(storedMessage('2026-11-03T10:00:00Z', 5, [{ address: 'x@out.example', direction: 'outbound' }]))
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
    for (const address of ['z@x.example', 'y@x.example', 'a@x.example']) {
      await eraseAddress({ database: test.database, tenantId, address, actor: 'root', isDry: false })
    }
  })
  afterAll(async () => {
    await test.drop()
  })

  async function read(asked: Pick<UsageOptions, 'period' | 'by' | 'compare' | 'readsEntries'>) {
    const report = await usageReport({ database: test.database, tenantId, ...asked })
    const rows: UsageRow[] = []
    for await (const row of report.rows) rows.push(row)
    return { report, rows }
  }

  const keyOf = ({ clientId, recipient, domain, day, direction }: UsageRow) =>
    JSON.stringify([clientId, recipient, domain, day?.slice(-2), direction])

  it.each(usageGroupings.flatMap((by) => [false, true].map((readsEntries) => [by, readsEntries] as const)))(
    'by %s has each row of either month once, with the figures of both (entries: %s)',
    async (by, readsEntries) => {
      const current = await read({ period: '2026-11', by, readsEntries })
      const before = await read({ period: '2026-10', by, readsEntries })
      const { report, rows } = await read({ period: '2026-11', by, readsEntries, compare: 'previous' })
      const currentOf = new Map(current.rows.map((row) => [keyOf(row), row]))
      const beforeOf = new Map(before.rows.map((row) => [keyOf(row), row]))
      expect(new Set(rows.map(keyOf))).toEqual(new Set([...currentOf.keys(), ...beforeOf.keys()]))
      expect(rows).toHaveLength(new Set(rows.map(keyOf)).size)
      for (const row of rows) {
        const [now, then] = [currentOf.get(keyOf(row)), beforeOf.get(keyOf(row))]
        expect(row).toEqual({
          ...(now ?? then),
          messageCount: now?.messageCount ?? '0',
          billedBytes: now?.billedBytes ?? '0',
          unbilledBytes: now?.unbilledBytes ?? '0',
          previousMessageCount: then?.messageCount ?? '0',
          previousBilledBytes: then?.billedBytes ?? '0',
          previousUnbilledBytes: then?.unbilledBytes ?? '0',
          billedBytesChange: String(BigInt(now?.billedBytes ?? 0) - BigInt(then?.billedBytes ?? 0)),
        })
      }
      expect(rows.filter((row) => currentOf.has(keyOf(row))).map(keyOf)).toEqual([...currentOf.keys()])
      expect([report.totals, report.previous!.totals, report.previous!.period.label]).toEqual([
        current.report.totals,
        before.report.totals,
        '2026-10',
      ])
    },
  )

  it('shows a day that the later month does not have under its own date', async () => {
    const { rows } = await read({ period: '2026-11', by: 'day', compare: 'previous' })
    const last = rows.at(-1)!
    expect([last.day, last.messageCount]).toEqual(['2026-10-31', '0'])
  })
})
