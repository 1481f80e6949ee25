import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage, type StoredMessage } from '../../test/billing-log.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { ensureBillingPolicy, type PolicySettings } from './billing-policy.ts'
import { importDirectory } from './import-directory.ts'
import { meterBatch } from './meter-batch.ts'
import { ensureNetworkClients } from './network-clients.ts'

const at = '2026-11-10T12:00:00.000Z'
const settings = {
  billing: { mode: 'full', unit: 'MB', timeZone: 'UTC', currency: 'EUR', billRefusedContent: false, billDuplicates: false },
  recipients: { lowerCaseLocalPart: true },
} as PolicySettings

describe('metering a message', () => {
  let test: TestDatabase
  let tenantCount = 0
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  async function tenantWith(billing: Partial<PolicySettings['billing']> = {}): Promise<string> {
    const tenantId = `tenant-${(tenantCount += 1)}`
    await ensureTenant(test.database, tenantId)
    await ensureBillingPolicy(test.database, tenantId, { ...settings, billing: { ...settings.billing, ...billing } })
    await importDirectory({
      database: test.database,
      tenantId,
      at: new Date(),
      directory: {
        clients: [
          { id: 'acme', name: 'Acme', addresses: ['anna@acme.example', 'ben@acme.example'] },
          { id: 'borealis', name: 'Borealis', addresses: ['*@borealis.example', 'zoe@shared.example'] },
          { id: 'cargo', name: 'Cargo', addresses: ['carl@borealis.example'] },
        ],
      },
    })
    return tenantId
  }

  type Entry = [string, string | null, bigint, bigint, string]
  /** Address, client, full, split, and why it is not billed (or `billed`). */
  async function metered(tenantId: string, ...messages: StoredMessage[]): Promise<Entry[]> {
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
    const rows = await test.database.kysely
      .selectFrom('usage_entry as entry')
      .innerJoin('recipient_name as name', (join) =>
        join.onRef('name.tenant_id', '=', 'entry.tenant_id').onRef('name.recipient_id', '=', 'entry.recipient_id'),
      )
      .select(['name.address', 'client_id', 'full_bytes', 'split_bytes', 'reason'])
      .where('entry.tenant_id', '=', tenantId)
      .orderBy('entry.ended_at')
      .orderBy('name.address')
      .execute()
    return rows.map((row) => [row.address!, row.client_id, row.full_bytes, row.split_bytes, row.reason ?? 'billed'])
  }

  it('gives the remainder of a split to the first recipients in byte order, whatever their order in the log', async () => {
    const message = storedMessage(at, 1_000, ['ben@acme.example', 'zoe@shared.example', 'anna@acme.example'])
    expect(await metered(await tenantWith(), message)).toEqual([
      ['anna@acme.example', 'acme', 1_000n, 334n, 'billed'],
      ['ben@acme.example', 'acme', 1_000n, 333n, 'billed'],
      ['zoe@shared.example', 'borealis', 1_000n, 333n, 'billed'],
    ])
  })

  it('counts a recipient outside the listed domains to the client of the sender', async () => {
    const tenantId = await tenantWith()
    await ensureNetworkClients(test.database, tenantId, [
      { name: 'printers', class: 'device', cidrs: ['10.0.0.0/8'], relay: true, client: 'cargo' },
    ])
    const outside = { address: 'x@else.example', direction: 'outbound' as const }
    expect(
      await metered(
        tenantId,
        storedMessage('2026-11-10T12:00:01.000Z', 10, ['zoe@shared.example', outside], { sender: 'Anna@acme.example', networkName: 'printers' }),
        storedMessage('2026-11-10T12:00:02.000Z', 20, [outside], { sender: 'scan@device.example', networkName: 'printers' }),
        storedMessage('2026-11-10T12:00:03.000Z', 30, [outside], { sender: '', networkName: null }),
      ),
    ).toEqual([
      ['x@else.example', 'acme', 10n, 5n, 'billed'],
      ['zoe@shared.example', 'borealis', 10n, 5n, 'billed'],
      ['x@else.example', 'cargo', 20n, 20n, 'billed'],
      ['x@else.example', null, 30n, 30n, 'billed'],
    ])
  })
})
