import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storedEntries } from '../../test/billing-entries.ts'
import { storeBatch, storedMessage } from '../../test/billing-log.ts'
import { directoryOf, tenantWith } from '../../test/billing-tenant.ts'
import { waitingForLock } from '../../test/billing-waiting.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import type { DirectoryFile } from '../contracts/directory.ts'
import { shareEntryLock } from './entry-lock.ts'
import { DirectoryFault, importDirectory, type DirectoryChange } from './import-directory.ts'
import { inTransaction } from './in-transaction.ts'
import { meterBatch } from './meter-batch.ts'

const first = new Date('2026-11-01T00:00:00.000Z')
const later = new Date('2026-11-15T10:00:00.000Z')

describe('importing a directory', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  const take = async (
    tenantId: string,
    directory: DirectoryFile,
    at: Date,
    options: { dryRun?: boolean; force?: boolean } = {},
  ) => await importDirectory({ database: test.database, tenantId, directory, at, ...options })

  async function holdings(tenantId: string) {
    const { rows } = await test.database.pool.query<{ text: string }>(
      `select address || ' ' || client_id || ' ' || coalesce(to_char(lower(valid), 'YYYY-MM-DD"T"HH24:MI:SS.MS'), '') || '..'
         || coalesce(to_char(upper(valid), 'YYYY-MM-DD"T"HH24:MI:SS.MS'), '') as text
       from client_address where tenant_id = $1 order by address, lower(valid) nulls first`,
      [tenantId],
    )
    return rows.map((row) => row.text)
  }

  it('holds from the beginning of time the first time, and from its own time after that', async () => {
    const tenantId = await tenantWith(test.database)
    expect(await take(tenantId, directoryOf({ acme: ['Anna@ACME.example', 'ben@acme.example'] }), first)).toEqual([
      { kind: 'client-added', clientId: 'acme', name: 'The acme company' },
      { kind: 'address-gained', address: 'anna@acme.example', clientId: 'acme', at: null },
      { kind: 'address-gained', address: 'ben@acme.example', clientId: 'acme', at: null },
    ])
    const changed = directoryOf({ acme: ['anna@acme.example', 'new@acme.example'], cargo: ['ben@acme.example'] })
    expect(await take(tenantId, changed, later)).toEqual([
      { kind: 'client-added', clientId: 'cargo', name: 'The cargo company' },
      { kind: 'address-moved', address: 'ben@acme.example', fromClientId: 'acme', clientId: 'cargo', at: later },
      { kind: 'address-gained', address: 'new@acme.example', clientId: 'acme', at: later },
    ])
    expect(
      await take(
        tenantId,
        directoryOf({ acme: ['anna@acme.example'], cargo: ['ben@acme.example'] }),
        new Date(later.getTime() + 1_000),
      ),
    ).toEqual([
      { kind: 'address-lost', address: 'new@acme.example', clientId: 'acme', at: new Date(later.getTime() + 1_000) },
    ])
    expect(await holdings(tenantId)).toEqual([
      'anna@acme.example acme ..',
      'ben@acme.example acme ..2026-11-15T10:00:00.000',
      'ben@acme.example cargo 2026-11-15T10:00:00.000..',
      'new@acme.example acme 2026-11-15T10:00:00.000..2026-11-15T10:00:01.000',
    ])
  })

  it('changes nothing the second time', async () => {
    const tenantId = await tenantWith(test.database)
    const directory = directoryOf({ acme: ['anna@acme.example'], cargo: [] })
    await take(tenantId, directory, first)
    expect(await take(tenantId, directory, later)).toEqual([])
    expect(await holdings(tenantId)).toEqual(['anna@acme.example acme ..'])
  })

  it('tells the changes of a client by their names', async () => {
    const tenantId = await tenantWith(test.database)
    await take(
      tenantId,
      {
        clients: [
          { id: 'dept', name: 'Department', parent: 'acme', addresses: [] },
          { id: 'acme', name: 'Acme', addresses: [] },
        ],
      },
      first,
    )
    const changed: DirectoryFile = {
      clients: [
        { id: 'dept', name: 'Sales', state: 'blocked', addresses: [] },
        { id: 'acme', name: 'Acme', parent: 'dept', addresses: [] },
      ],
    }
    expect(await take(tenantId, changed, later)).toEqual([
      { kind: 'client-renamed', clientId: 'dept', from: 'Department', to: 'Sales' },
      { kind: 'client-parent-changed', clientId: 'dept', from: 'acme', to: null },
      { kind: 'client-state-changed', clientId: 'dept', from: 'active', to: 'blocked' },
      { kind: 'client-parent-changed', clientId: 'acme', from: null, to: 'dept' },
    ])
    const { rows } = await test.database.pool.query(
      'select client_id, name, parent_id, state from client where tenant_id = $1 order by 1',
      [tenantId],
    )
    expect(rows).toEqual([
      { client_id: 'acme', name: 'Acme', parent_id: 'dept', state: 'active' },
      { client_id: 'dept', name: 'Sales', parent_id: null, state: 'blocked' },
    ])
  })

  it('bills each message of a moved address to exactly one client: the moment of the change belongs to the new one', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['anna@acme.example'], cargo: ['*@acme.example'] })
    await take(tenantId, directoryOf({ acme: [], cargo: ['*@acme.example', 'anna@acme.example'] }), later)
    const around = [-1, 0, 1].map((offset) =>
      storedMessage(new Date(later.getTime() + offset), 10, ['anna@acme.example']),
    )
    for (const message of around.reverse())
      await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, [message]))
    const entries = await storedEntries(test.database, tenantId)
    expect(entries.map((entry) => [entry.endedAt.toISOString(), entry.clientId])).toEqual([
      ['2026-11-15T09:59:59.999Z', 'acme'],
      ['2026-11-15T10:00:00.000Z', 'cargo'],
      ['2026-11-15T10:00:00.001Z', 'cargo'],
    ])
  })

  it('never changes the owner of a message that is metered: the change waits for the millisecond after it', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['anna@acme.example'] })
    const message = () => storedMessage('2026-11-20T00:00:00.000Z', 10, ['anna@acme.example'])
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, [message()]))
    const changes = await take(tenantId, directoryOf({ acme: [], cargo: ['anna@acme.example'] }), later)
    expect(changes.at(-1)).toEqual({
      kind: 'address-moved',
      address: 'anna@acme.example',
      fromClientId: 'acme',
      clientId: 'cargo',
      at: new Date('2026-11-20T00:00:00.001Z'),
    })
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, [message()]))
    expect((await storedEntries(test.database, tenantId)).map((entry) => entry.clientId)).toEqual(['acme', 'acme'])
  })

  it('holds from its own time where mail was metered for the house before there was a directory', async () => {
    const tenantId = await tenantWith(test.database)
    await meterBatch(
      test.database,
      tenantId,
      await storeBatch(test.database, tenantId, [storedMessage(first, 1, ['anna@acme.example'])]),
    )
    await take(tenantId, directoryOf({ acme: ['anna@acme.example'] }), later)
    expect(await holdings(tenantId)).toEqual(['anna@acme.example acme 2026-11-15T10:00:00.000..'])
  })

  it('goes on in order where two imports ask for the same moment', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['anna@acme.example'], cargo: [] })
    await take(tenantId, directoryOf({ acme: [], cargo: ['anna@acme.example'] }), later)
    await take(tenantId, directoryOf({ acme: ['anna@acme.example'], cargo: [] }), later)
    expect(await holdings(tenantId)).toEqual([
      'anna@acme.example acme ..2026-11-15T10:00:00.000',
      'anna@acme.example cargo 2026-11-15T10:00:00.000..2026-11-15T10:00:00.001',
      'anna@acme.example acme 2026-11-15T10:00:00.001..',
    ])
  })

  it('tells in a dry run what it would change, and changes nothing', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['anna@acme.example'] })
    const changes = await take(tenantId, directoryOf({ acme: [], cargo: [] }), later, { dryRun: true })
    expect(changes.map((change) => change.kind)).toEqual(['client-added', 'address-lost'])
    expect(await holdings(tenantId)).toEqual(['anna@acme.example acme ..'])
    const { rows } = await test.database.pool.query('select client_id from client where tenant_id = $1', [tenantId])
    expect(rows).toEqual([{ client_id: 'acme' }])
  })

  it('refuses to take away more than half of the addresses unless forced', async () => {
    const tenantId = await tenantWith(
      test.database,
      {},
      { acme: ['a@x.example', 'b@x.example', 'c@x.example', 'd@x.example'] },
    )
    const refused = take(tenantId, directoryOf({ acme: ['a@x.example'] }), later)
    await expect(refused).rejects.toThrow(/3 of 4 addresses would be gone, which is more than half/)
    expect(await holdings(tenantId)).toHaveLength(4)
    await take(tenantId, directoryOf({ acme: ['a@x.example', 'b@x.example'] }), later)
    await take(tenantId, directoryOf({ acme: [] }), later, { force: true })
    expect((await holdings(tenantId)).filter((holding) => holding.endsWith('..'))).toEqual([])
  })

  it('counts a moved address as kept', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['a@x.example', 'b@x.example'] })
    expect(
      await take(tenantId, directoryOf({ acme: [], cargo: ['a@x.example', 'b@x.example'] }), later),
    ).toHaveLength(3)
  })

  it('lists everything that is wrong with a directory, naming clients and address, and writes nothing', async () => {
    const tenantId = await tenantWith(test.database)
    const directory: DirectoryFile = {
      clients: [
        { id: 'acme', name: 'Acme', addresses: ['anna@acme.example'] },
        { id: 'cargo', name: 'Cargo', parent: 'missing', addresses: ['ANNA@acme.example'] },
        { id: 'house', name: 'House', addresses: [] },
        { id: 'acme', name: 'Acme again', addresses: [] },
        { id: 'p', name: 'P', parent: 'q', addresses: [] },
        { id: 'q', name: 'Q', parent: 'p', addresses: [] },
      ],
    }
    const fault = await take(tenantId, directory, first).catch((error: unknown) => error)
    expect(fault).toBeInstanceOf(DirectoryFault)
    expect((fault as DirectoryFault).faults).toEqual([
      'client "house": the name stands for addresses that nobody holds, take another',
      'client "acme" is listed twice: keep one',
      'address anna@acme.example is listed for two clients, "acme" and "cargo": take it from one',
      'client "cargo": its parent "missing" is not in the directory',
      'client "p" is its own ancestor: break the circle of parents',
      'client "q" is its own ancestor: break the circle of parents',
    ])
    const { rows } = await test.database.pool.query('select from client where tenant_id = $1', [tenantId])
    expect(rows).toEqual([])
  })

  it('takes two spellings of one address for two where the tenant says so', async () => {
    const tenantId = await tenantWith(
      test.database,
      { lowerCaseLocalPart: false },
      { acme: ['Anna@acme.example'], cargo: ['anna@ACME.example'] },
    )
    expect(await holdings(tenantId)).toEqual(['Anna@acme.example acme ..', 'anna@acme.example cargo ..'])
  })

  it('refuses a time that has not come', async () => {
    const tenantId = await tenantWith(test.database)
    const tomorrow = new Date(Date.now() + 86_400_000)
    await expect(take(tenantId, directoryOf({ acme: [] }), tomorrow)).rejects.toThrow(
      /cannot be imported ahead of time/,
    )
  })

  it('gives an address to one client only, whatever writes it', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['anna@acme.example'], cargo: [] })
    const stolen = test.database.pool.query(
      `insert into client_address (tenant_id, address, client_id, valid) values ($1, 'anna@acme.example', 'cargo', '[2026-11-15,)')`,
      [tenantId],
    )
    await expect(stolen).rejects.toThrow(/client_address_has_one_owner/)
  })

  it('waits for metering that has begun, and changes owners only after what it wrote', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['anna@acme.example'], cargo: [] })
    const message = storedMessage('2026-11-20T00:00:00.000Z', 10, ['anna@acme.example'])
    await storeBatch(test.database, tenantId, [message])
    let changes: Promise<DirectoryChange[]> = Promise.resolve([])
    await inTransaction(test.database, async (transaction) => {
      await shareEntryLock(transaction, tenantId)
      changes = take(tenantId, directoryOf({ acme: [], cargo: ['anna@acme.example'] }), later)
      await waitingForLock(test.database, changes)
      await transaction.query(
        `insert into usage_entry (tenant_id, transaction_id, id_time, recipient_id, ended_at, direction, full_bytes,
           split_bytes, is_billable, size_source)
         select tenant_id, transaction_id, id_time, transaction_id, ended_at, 'inbound', 10, 10, true, 'data'
         from mail_transaction where tenant_id = $1`,
        [tenantId],
      )
    })
    expect((await changes).map((change) => ('at' in change ? change.at : null))).toEqual([
      new Date('2026-11-20T00:00:00.001Z'),
    ])
  })

  it('lets concurrent imports and metering pass one after the other', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['a@x.example'], cargo: ['b@x.example'] })
    const batches = await Promise.all(
      [0, 1, 2, 3].map(
        async (second) =>
          await storeBatch(test.database, tenantId, [
            storedMessage(new Date(later.getTime() + second * 1_000), 3, ['a@x.example', 'b@x.example']),
          ]),
      ),
    )
    const swapped = directoryOf({ acme: ['b@x.example'], cargo: ['a@x.example'] })
    await Promise.all([
      ...batches.map((batchId) => meterBatch(test.database, tenantId, batchId)),
      take(tenantId, swapped, later),
    ])
    const { rows } = await test.database.pool.query<{ wrong: bigint; entries: bigint }>(
      `select count(*) as entries, count(*) filter (where held.client_id is distinct from entry.client_id) as wrong
       from usage_entry entry join recipient_name using (tenant_id, recipient_id)
       left join client_address held on held.tenant_id = entry.tenant_id and held.address = recipient_name.address and held.valid @> entry.ended_at
       where entry.tenant_id = $1`,
      [tenantId],
    )
    expect(rows).toEqual([{ entries: 8n, wrong: 0n }])
  })
})
