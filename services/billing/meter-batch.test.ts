import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storedEntries } from '../../test/billing-entries.ts'
import { storeBatch, storedMessage, type StoredMessage } from '../../test/billing-log.ts'
import { policySettings, tenantWith, type PolicyChanges } from '../../test/billing-tenant.ts'
import { waitingForLock } from '../../test/billing-waiting.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { recipientIdOf } from '../ingest/recipient-id.ts'
import { ensureBillingPolicy } from './billing-policy.ts'
import { takeEntryLock } from './entry-lock.ts'
import { inTransaction } from './in-transaction.ts'
import { meterBatch, unmeteredBatches } from './meter-batch.ts'
import { ensureNetworkClients } from './network-clients.ts'

const at = '2026-11-10T12:00:00.000Z'
const directory = {
  acme: ['anna@acme.example', 'ben@acme.example'],
  borealis: ['*@borealis.example', 'zoe@shared.example'],
  cargo: ['carl@borealis.example'],
}

describe('metering a message', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  const newTenant = async (changes: PolicyChanges = {}) => await tenantWith(test.database, changes, directory)

  /** Address, client, full, split, and why it is not billed. */
  async function metered(tenantId: string, ...messages: StoredMessage[]) {
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
    const entries = await storedEntries(test.database, tenantId)
    expect(entries.every((entry) => entry.isBillable === (entry.reason === null))).toBe(true)
    return entries.map((entry) => [
      entry.address,
      entry.clientId ?? 'house',
      entry.full,
      entry.split,
      entry.reason ?? 'billed',
    ])
  }

  it('gives the remainder of a split to the first recipients in byte order, whatever their order in the log', async () => {
    const message = storedMessage(at, 1_001, ['zoe@shared.example', 'ben@acme.example', 'anna@acme.example'])
    expect(await metered(await newTenant(), message)).toEqual([
      ['anna@acme.example', 'acme', 1_001n, 334n, 'billed'],
      ['ben@acme.example', 'acme', 1_001n, 334n, 'billed'],
      ['zoe@shared.example', 'borealis', 1_001n, 333n, 'billed'],
    ])
  })

  it('counts two addresses of one client twice in full, and a repeated RCPT once', async () => {
    const message = storedMessage(at, 700, ['anna@acme.example', 'ben@acme.example', 'anna@acme.example'])
    expect(await metered(await newTenant(), message)).toEqual([
      ['anna@acme.example', 'acme', 700n, 350n, 'billed'],
      ['ben@acme.example', 'acme', 700n, 350n, 'billed'],
    ])
  })

  it('keeps a recipient that nobody holds in the divisor, as an entry of the house', async () => {
    const message = storedMessage(at, 1_000, ['anna@acme.example', 'nobody@acme.example', 'zoe@shared.example'])
    expect(await metered(await newTenant(), message)).toEqual([
      ['anna@acme.example', 'acme', 1_000n, 334n, 'billed'],
      ['nobody@acme.example', 'house', 1_000n, 333n, 'billed'],
      ['zoe@shared.example', 'borealis', 1_000n, 333n, 'billed'],
    ])
  })

  it('prefers who holds an address by name to who holds its domain', async () => {
    const message = storedMessage(at, 10, ['carl@borealis.example', 'other@borealis.example'])
    expect(await metered(await newTenant(), message)).toEqual([
      ['carl@borealis.example', 'cargo', 10n, 5n, 'billed'],
      ['other@borealis.example', 'borealis', 10n, 5n, 'billed'],
    ])
  })

  it('leaves refused and deferred recipients out of the divisor, and keeps discarded and quarantined ones in it', async () => {
    const message = storedMessage(at, 900, [
      'anna@acme.example',
      { address: 'ben@acme.example', outcome: 'refused' },
      { address: 'x@acme.example', outcome: 'deferred' },
      { address: 'y@acme.example', outcome: 'discarded' },
      { address: 'z@acme.example', outcome: 'quarantined' },
    ])
    expect(await metered(await newTenant(), message)).toEqual([
      ['anna@acme.example', 'acme', 900n, 300n, 'billed'],
      ['y@acme.example', 'house', 900n, 300n, 'billed'],
      ['z@acme.example', 'house', 900n, 300n, 'billed'],
    ])
  })

  it('enters what was refused for its content unbilled: the message at complete, the octets received at header', async () => {
    const atComplete = storedMessage(
      at,
      800,
      ['anna@acme.example', { address: 'ben@acme.example', outcome: 'refused' }],
      { outcome: 'refused' },
    )
    const atHeader = storedMessage(at, 0, ['zoe@shared.example'], {
      outcome: 'refused',
      stage: 'header',
      messageBytes: 900,
      dataBytes: 300,
    })
    const entries = await metered(await newTenant(), atComplete, atHeader)
    expect(entries).toHaveLength(2)
    expect(entries).toEqual(
      expect.arrayContaining([
        ['anna@acme.example', 'acme', 800n, 800n, 'refused-at-complete'],
        ['zoe@shared.example', 'borealis', 300n, 300n, 'refused-at-header'],
      ]),
    )
  })

  it('bills what was refused for its content where the tenant says so', async () => {
    const message = storedMessage(at, 800, ['anna@acme.example'], { outcome: 'refused' })
    expect(await metered(await newTenant({ billRefusedContent: true }), message)).toEqual([
      ['anna@acme.example', 'acme', 800n, 800n, 'billed'],
    ])
  })

  it.each([
    ['deferred', 'complete'],
    ['aborted', 'complete'],
    ['reset', 'rcpt'],
    ['refused', 'rcpt'],
    ['refused', 'mail'],
    ['refused', 'connect'],
  ] as const)('meters nothing of a transaction that ended as %s at %s', async (outcome, stage) => {
    expect(
      await metered(await newTenant(), storedMessage(at, 800, ['anna@acme.example'], { outcome, stage })),
    ).toEqual([])
  })

  it.each(['accepted', 'marked', 'discarded', 'quarantined'] as const)(
    'bills a message that ended as %s',
    async (outcome) => {
      expect(await metered(await newTenant(), storedMessage(at, 5, ['anna@acme.example'], { outcome }))).toEqual([
        ['anna@acme.example', 'acme', 5n, 5n, 'billed'],
      ])
    },
  )

  it('enters a recognised duplicate unbilled, and bills it where the tenant says so', async () => {
    const original = storedMessage(at, 100, ['anna@acme.example'])
    const repeated = () => storedMessage(at, 100, ['anna@acme.example'], { duplicateOf: original.transactionId })
    expect(await metered(await newTenant(), repeated())).toEqual([
      ['anna@acme.example', 'acme', 100n, 100n, 'duplicate'],
    ])
    expect(await metered(await newTenant({ billDuplicates: true }), repeated())).toEqual([
      ['anna@acme.example', 'acme', 100n, 100n, 'billed'],
    ])
  })

  it('decides what is billed by the policy at the time of the message', async () => {
    const tenantId = await newTenant()
    await metered(tenantId, storedMessage('2026-11-01T00:00:00.000Z', 1, ['anna@acme.example']))
    const change = new Date(at)
    await ensureBillingPolicy(test.database, tenantId, policySettings({ billDuplicates: true }), change)
    const { transactionId: duplicateOf } = storedMessage(at, 1, [])
    const around = [-1, 0, 1].map((offset) =>
      storedMessage(new Date(change.getTime() + offset), 1, ['anna@acme.example'], { duplicateOf }),
    )
    await metered(tenantId, ...around)
    const entries = await storedEntries(test.database, tenantId)
    expect(entries.map((entry) => entry.reason)).toEqual([null, 'duplicate', null, null])
  })

  it('enters a recipient of a disabled client unbilled where its mail is taken all the same', async () => {
    const message = storedMessage(at, 100, [
      { address: 'anna@acme.example', reason: 'client-blocked' },
      'zoe@shared.example',
    ])
    expect(await metered(await newTenant(), message)).toEqual([
      ['anna@acme.example', 'acme', 100n, 50n, 'client-blocked'],
      ['zoe@shared.example', 'borealis', 100n, 50n, 'billed'],
    ])
  })

  it('counts what goes out to the client of the sender, else of the network, else to the house, in one divisor', async () => {
    const tenantId = await newTenant()
    await ensureNetworkClients(test.database, tenantId, [
      { name: 'printers', class: 'device', cidrs: ['10.0.0.0/8'], relay: true, client: 'cargo' },
    ])
    const outside = (address: string) => ({ address, direction: 'outbound' as const })
    const entries = await metered(
      tenantId,
      storedMessage(at, 11, ['zoe@shared.example', outside('a@else.example')], {
        sender: 'Anna@ACME.example',
        networkName: 'printers',
      }),
      storedMessage(at, 20, [outside('b@else.example')], {
        sender: 'Scan@borealis.example',
        networkName: 'printers',
      }),
      storedMessage(at, 30, [outside('c@else.example')], { sender: 'scan@device.example', networkName: 'printers' }),
      storedMessage(at, 40, [outside('d@else.example')], { sender: '', networkName: 'printers' }),
      storedMessage(at, 60, ['nobody@acme.example'], { networkName: 'printers' }),
      storedMessage(at, 50, [outside('e@else.example')], { sender: null, networkName: 'office' }),
    )
    expect(entries.sort()).toEqual([
      ['a@else.example', 'acme', 11n, 6n, 'billed'],
      ['b@else.example', 'borealis', 20n, 20n, 'billed'],
      ['c@else.example', 'cargo', 30n, 30n, 'billed'],
      ['d@else.example', 'cargo', 40n, 40n, 'billed'],
      ['e@else.example', 'house', 50n, 50n, 'billed'],
      ['nobody@acme.example', 'house', 60n, 60n, 'billed'],
      ['zoe@shared.example', 'borealis', 11n, 5n, 'billed'],
    ])
  })

  it('compares the sender as the tenant compares addresses', async () => {
    const outside = { address: 'a@else.example', direction: 'outbound' as const }
    const sent = (sender: string) => storedMessage(at, 1, [outside], { sender })
    const strict = await tenantWith(test.database, { lowerCaseLocalPart: false }, { acme: ['Anna@acme.example'] })
    const owners = (await metered(strict, sent('Anna@Acme.Example'), sent('anna@acme.example'))).map(
      (entry) => entry[1],
    )
    expect(owners.sort()).toEqual(['acme', 'house'])
    const lowering = await tenantWith(test.database, {}, { acme: ['INGE.ÖBERG@acme.example'] })
    expect((await metered(lowering, sent('Inge.Öberg@acme.example'))).map((entry) => entry[1])).toEqual(['acme'])
  })

  it('keeps the octets of a log that knows only its queue, and says so', async () => {
    const tenantId = await newTenant()
    await metered(tenantId, storedMessage(at, 77, ['anna@acme.example'], { sizeSource: 'queue', dataBytes: 0 }))
    expect((await storedEntries(test.database, tenantId)).map((entry) => [entry.full, entry.sizeSource])).toEqual([
      [77n, 'queue'],
    ])
  })

  it('enters what another MTA took without telling its size unbilled: unknown is not 0 octets', async () => {
    const unknown = { sizeSource: 'queue', messageBytes: null, dataBytes: 0 } as const
    const taken = (['accepted', 'discarded', 'quarantined'] as const).map((outcome) =>
      storedMessage(at, 0, ['anna@acme.example'], { outcome, ...unknown }),
    )
    expect(await metered(await newTenant(), ...taken)).toEqual(
      taken.map(() => ['anna@acme.example', 'acme', 0n, 0n, 'size-unknown']),
    )
    const refused = () => storedMessage(at, 0, ['anna@acme.example'], { outcome: 'refused', ...unknown })
    const refusedAtHeader = () => ({ ...refused(), stage: 'header' as const })
    expect(await metered(await newTenant(), refused())).toMatchObject([{ 4: 'refused-at-complete' }])
    expect(
      await metered(await newTenant({ billRefusedContent: true }), refused(), refusedAtHeader()),
    ).toMatchObject([{ 4: 'size-unknown' }, { 4: 'size-unknown' }])
    const blocked = { address: 'anna@acme.example', reason: 'client-blocked' }
    expect(await metered(await newTenant(), storedMessage(at, 0, [blocked], unknown))).toMatchObject([
      { 4: 'client-blocked' },
    ])
  })

  it('bills a size of 0 octets that is known, and the octets received where the log has no other size', async () => {
    const queued = (messageBytes: number | null, dataBytes: number) =>
      storedMessage(at, 0, ['anna@acme.example'], { sizeSource: 'queue', messageBytes, dataBytes })
    expect(await metered(await newTenant(), queued(0, 0))).toMatchObject([{ 2: 0n, 4: 'billed' }])
    expect(await metered(await newTenant(), queued(null, 30))).toMatchObject([{ 2: 30n, 4: 'billed' }])
  })

  it('meters an empty message and a message past 2^53 octets exactly', async () => {
    const huge = 9_007_199_254_740_991
    const entries = await metered(
      await newTenant(),
      storedMessage(at, 0, ['anna@acme.example']),
      storedMessage('2026-11-10T12:00:01.000Z', huge, ['anna@acme.example', 'ben@acme.example']),
    )
    expect(entries).toEqual([
      ['anna@acme.example', 'acme', 0n, 0n, 'billed'],
      ['anna@acme.example', 'acme', 9_007_199_254_740_991n, 4_503_599_627_370_496n, 'billed'],
      ['ben@acme.example', 'acme', 9_007_199_254_740_991n, 4_503_599_627_370_495n, 'billed'],
    ])
  })

  it('meters a batch once, however often and by however many workers it is taken', async () => {
    const tenantId = await newTenant()
    const batchId = await storeBatch(test.database, tenantId, [
      storedMessage(at, 10, ['anna@acme.example', 'ben@acme.example']),
    ])
    const counts = await Promise.all(Array.from({ length: 6 }, () => meterBatch(test.database, tenantId, batchId)))
    expect(counts.filter((count) => count !== null)).toEqual([2n])
    expect(await meterBatch(test.database, tenantId, batchId)).toBeNull()
    expect(await storedEntries(test.database, tenantId)).toHaveLength(2)
    expect(await unmeteredBatches(test.database, tenantId, 0n, 10)).toEqual([])
  })

  it('leaves a batch that another worker has in hand, without waiting', async () => {
    const tenantId = await newTenant()
    const batchId = await storeBatch(test.database, tenantId, [storedMessage(at, 1, ['anna@acme.example'])])
    await inTransaction(test.database, async (transaction) => {
      await transaction.query(
        `select pg_advisory_xact_lock(hashtextextended('tollgate batch ' || $1::text || ' ' || $2::text, 0))`,
        [tenantId, batchId],
      )
      expect(await meterBatch(test.database, tenantId, batchId)).toBeNull()
    })
    expect(await meterBatch(test.database, tenantId, batchId)).toBe(1n)
  })

  it('waits for a change of owners that has begun, and then goes by it', async () => {
    const tenantId = await newTenant()
    const batchId = await storeBatch(test.database, tenantId, [storedMessage(at, 1, ['anna@acme.example'])])
    let metering: Promise<unknown> = Promise.resolve()
    await inTransaction(test.database, async (transaction) => {
      await takeEntryLock(transaction, tenantId)
      metering = meterBatch(test.database, tenantId, batchId)
      await waitingForLock(test.database, metering)
      await transaction.query(
        `update client_address set client_id = 'cargo' where tenant_id = $1 and address = 'anna@acme.example'`,
        [tenantId],
      )
    })
    await metering
    expect((await storedEntries(test.database, tenantId)).map((entry) => entry.clientId)).toEqual(['cargo'])
  })

  it('marks a batch without messages as metered', async () => {
    const tenantId = await newTenant()
    expect(await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, []))).toBe(0n)
    expect(await unmeteredBatches(test.database, tenantId, 0n, 10)).toEqual([])
  })

  it('meters for its own tenant alone, though another has the same addresses, ids and batch', async () => {
    const first = await tenantWith(test.database, {}, { acme: ['anna@acme.example'] })
    const second = await tenantWith(
      test.database,
      { billDuplicates: true },
      { other: ['anna@acme.example', '*@acme.example'] },
    )
    await ensureNetworkClients(test.database, second, [
      { name: 'office', class: 'trusted', cidrs: ['10.0.0.0/8'], relay: false, client: 'other' },
    ])
    const messages = [
      storedMessage(at, 9, ['anna@acme.example', 'ben@acme.example'], {
        duplicateOf: storedMessage(at, 1, []).transactionId,
      }),
      storedMessage('2026-11-10T12:00:01.000Z', 9, [{ address: 'a@else.example', direction: 'outbound' }], {
        sender: 'x@else.example',
        networkName: 'office',
      }),
    ]
    const deferred = storedMessage('2026-11-10T12:00:02.000Z', 9, ['anna@acme.example'], { outcome: 'deferred' })
    const inFirst = await storeBatch(test.database, first, [...messages, deferred])
    const inSecond = await storeBatch(
      test.database,
      second,
      [...messages, { ...deferred, outcome: 'accepted' }],
      inFirst,
    )
    await meterBatch(test.database, second, inSecond)
    await meterBatch(test.database, first, inFirst)
    const ownersOf = async (tenantId: string) =>
      (await storedEntries(test.database, tenantId)).map((entry) => [
        entry.address,
        entry.clientId,
        entry.split,
        entry.reason,
      ])
    expect(await ownersOf(first)).toEqual([
      ['anna@acme.example', 'acme', 5n, 'duplicate'],
      ['ben@acme.example', null, 4n, 'duplicate'],
      ['a@else.example', null, 9n, null],
    ])
    expect(await ownersOf(second)).toEqual([
      ['anna@acme.example', 'other', 5n, null],
      ['ben@acme.example', 'other', 4n, null],
      ['a@else.example', 'other', 9n, null],
      ['anna@acme.example', 'other', 9n, null],
    ])
  })

  it('writes nothing and leaves the batch unmetered where the tenant has no policy', async () => {
    const tenantId = 'without-policy'
    await ensureTenant(test.database, tenantId)
    const batchId = await storeBatch(test.database, tenantId, [storedMessage(at, 1, ['anna@acme.example'])])
    await expect(meterBatch(test.database, tenantId, batchId)).rejects.toThrow(/is_billable/)
    expect(await storedEntries(test.database, tenantId)).toEqual([])
    await ensureBillingPolicy(test.database, tenantId, policySettings())
    expect(await meterBatch(test.database, tenantId, batchId)).toBe(1n)
  })

  it('keeps the name of an erased recipient away when the same mail is metered again', async () => {
    const tenantId = await newTenant()
    const owner = await storeBatch(test.database, tenantId, [storedMessage(at, 1, ['anna@acme.example'])])
    const { recipientKey } = await ensureTenant(test.database, tenantId)
    const recipientId = recipientIdOf(recipientKey, 'anna@acme.example')
    await test.database.pool.query('insert into recipient_name (tenant_id, recipient_id) values ($1, $2)', [
      tenantId,
      recipientId,
    ])
    await meterBatch(test.database, tenantId, owner)
    const { rows } = await test.database.pool.query(
      'select address, domain from recipient_name where tenant_id = $1',
      [tenantId],
    )
    expect(rows).toEqual([{ address: null, domain: null }])
  })

  it('may not change or remove an entry, a name, a policy or the mark of a metered batch, even if it tries', async () => {
    for (const table of ['usage_entry', 'metered_batch', 'billing_policy', 'recipient_name']) {
      await expect(test.database.pool.query(`delete from ${table}`)).rejects.toThrow(/permission denied/)
      await expect(test.database.pool.query(`update ${table} set tenant_id = tenant_id`)).rejects.toThrow(
        /permission denied/,
      )
    }
    for (const table of ['client_address', 'network_client', 'client']) {
      await expect(test.database.pool.query(`delete from ${table}`)).rejects.toThrow(/permission denied/)
    }
  })
})
