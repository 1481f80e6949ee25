import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage, type StoredMessage } from '../../../test/billing-log.ts'
import { tenantWith } from '../../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../../test/test-database.ts'
import type { TariffComponent, TariffDefinition } from '../../contracts/tariff.ts'
import { eraseAddress } from '../../database/erasure/erase-address.ts'
import { shareEntryLock } from '../entry-lock.ts'
import { importDirectory } from '../import-directory.ts'
import { enterCorrection } from '../corrections/enter-correction.ts'
import { meterBatch } from '../meter-batch.ts'
import { rateUsage } from '../rating/rate-usage.ts'
import { linesOfMessage } from '../statements/lines-of-message.ts'
import { listStatements, messagesOfLine, readStatement } from '../statements/read-statements.ts'
import { simulateTariff } from '../tariffs/simulate-tariff.ts'
import { simulationResult } from '../tariffs/simulation-result.ts'
import { addTariffVersion, assignTariff, listTariffs } from '../tariffs/tariff-store.ts'
import { rebuildUsageRollup } from '../usage-rollup.ts'
import { CloseRefusal, closePeriod, type CloseOptions } from './close-period.ts'
import { openPeriods } from './period-store.ts'

const directory = { acme: ['anna@acme.example', 'ben@acme.example'], borealis: ['zoe@shared.example'] }
/** Long after every period of these tests. */
const later = new Date('2027-03-01T00:00:00Z')
const mega = 1_000_000

const tiers = [{ upto: '100', price: '0.10' }, { upto: '1000', price: '0.05' }, { upto: null, price: '0.01' }]
const graduated: TariffComponent[] = [{ kind: 'graduated', tiers }]
const volume: TariffComponent[] = [{ kind: 'volume', tiers }]

describe('closing a period', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  async function tenant(components: TariffComponent[], clients: (keyof typeof directory)[] = ['acme', 'borealis'], more: Partial<TariffDefinition> = {}): Promise<string> {
    const tenantId = await tenantWith(test.database, { timeZone: 'UTC' }, directory)
    const store = { database: test.database, tenantId }
    await addTariffVersion(store, { tariffId: 'mail', definition: { name: 'Mail', currency: 'EUR', components, ...more }, from: null, by: 'test' })
    for (const clientId of clients) await assignTariff(store, { clientId, tariffId: 'mail', from: null, by: 'test' })
    return tenantId
  }

  async function meter(tenantId: string, messages: StoredMessage[]): Promise<StoredMessage[]> {
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
    return messages
  }

  const close = (tenantId: string, label: string, more: Partial<CloseOptions> = {}) =>
    closePeriod({ database: test.database, tenantId, label, accepted: [], by: 'test', graceHours: 72, now: later, ...more })

  const linesOf = async (tenantId: string, statementId: string): Promise<unknown[]> =>
    (await readStatement(test.database, tenantId, statementId, null))!.lines.map(({ kind, ofPeriod, tier, amount, tax }) => [kind, ofPeriod, tier, amount, tax])

  const statementsOf = async (tenantId: string): Promise<unknown[]> => {
    const heads = await listStatements(test.database, tenantId, { period: null, clientId: null })
    return await Promise.all(heads.map(({ statementId }) => readStatement(test.database, tenantId, statementId, null)))
  }

  it.each([
    ['graduated', graduated, [['usage', null, 0, '9.00', '1.71']],
      [['usage', null, 0, '1.00', '0.19'], ['reversal', '2026-09', null, '-9.00', '-1.71'], ['replacement', '2026-09', null, '11.00', '2.09']]],
    ['volume', volume, [['usage', null, 0, '9.00', '1.71']],
      [['usage', null, 0, '1.00', '0.19'], ['reversal', '2026-09', null, '-9.00', '-1.71'], ['replacement', '2026-09', null, '7.00', '1.33']]],
  ] as const)('a late message after the close, %s pricing: the whole month is rated again and shown in the next', async (name, components, before, after) => {
    const tenantId = await tenant([...components] as TariffComponent[], ['acme'], { taxPercent: '19' })
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', 90 * mega, ['anna@acme.example'])])
    await close(tenantId, '2026-09')
    expect(await linesOf(tenantId, '2026-09-0001')).toEqual(before)
    // September has 120 MB then: 100 at 0.10 and 20 at 0.05 graduated; or 140 MB, all of them at 0.05, by volume.
    await meter(tenantId, [
      storedMessage('2026-09-30T23:59:59.999Z', (name === 'graduated' ? 30 : 50) * mega, ['anna@acme.example']),
      storedMessage('2026-10-01T00:00:00Z', 10 * mega, ['anna@acme.example']),
    ])
    await close(tenantId, '2026-10')
    expect(await linesOf(tenantId, '2026-09-0001')).toEqual(before)
    expect(await linesOf(tenantId, '2026-10-0001')).toEqual(after)
    const october = (await readStatement(test.database, tenantId, '2026-10-0001', null))!
    // The tax of the month is that of its own lines.
    expect(october.taxes).toEqual([{ percent: '19', net: '1.00', tax: '0.19' }])
  })

  it('a late message of the first instant of a month is of that month, and one of the last before it of the other', async () => {
    const tenantId = await tenant([{ kind: 'per-unit', price: '1' }], ['acme'])
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', mega, ['anna@acme.example']), storedMessage('2026-10-10T00:00:00Z', mega, ['anna@acme.example'])])
    await close(tenantId, '2026-09')
    await close(tenantId, '2026-10')
    await meter(tenantId, [storedMessage('2026-10-01T00:00:00.000Z', 4 * mega, ['anna@acme.example']), storedMessage('2026-09-30T23:59:59.999Z', 2 * mega, ['anna@acme.example'])])
    await close(tenantId, '2026-11')
    expect((await linesOf(tenantId, '2026-11-0001')).map((line) => (line as unknown[]).filter((cell) => cell !== null))).toEqual([
      ['reversal', '2026-09', '-1.00', '0.00'], ['replacement', '2026-09', '3.00', '0.00'], ['reversal', '2026-10', '-1.00', '0.00'], ['replacement', '2026-10', '5.00', '0.00'],
    ])
  })

  it('nothing changes a period that is closed', async () => {
    const tenantId = await tenant([{ kind: 'flat', amount: '10' }, ...graduated])
    const [first] = await meter(tenantId, [
      storedMessage('2026-09-10T00:00:00Z', 90 * mega, ['anna@acme.example', 'zoe@shared.example']),
      storedMessage('2026-09-11T00:00:00Z', 5 * mega, ['ben@acme.example']),
    ])
    const closed = await close(tenantId, '2026-09')
    const statements = await statementsOf(tenantId)
    const store = { database: test.database, tenantId }
    await expect(addTariffVersion(store, { tariffId: 'mail', definition: { name: 'X', currency: 'EUR', components: volume }, from: '2026-09-15', by: 'test' })).rejects.toThrow('lies in a period that is closed')
    await expect(assignTariff(store, { clientId: 'acme', tariffId: null, from: '2026-09-30', by: 'test' })).rejects.toThrow('lies in a period that is closed')
    await addTariffVersion(store, { tariffId: 'mail', definition: { name: 'X', currency: 'EUR', components: volume }, from: '2026-10-01', by: 'test' })
    await meter(tenantId, [storedMessage('2026-09-12T00:00:00Z', 7 * mega, ['anna@acme.example'])])
    await enterCorrection(test.database, tenantId, { kind: 'cancel', why: 'test', by: 'test', transactionId: first!.transactionId }, later)
    await eraseAddress({ database: test.database, tenantId, address: 'anna@acme.example', actor: 'test', isDry: false })
    await rebuildUsageRollup(test.database, tenantId)
    await importDirectory({ database: test.database, tenantId, at: new Date(), force: true, directory: ({ clients }) => ({ clients: clients.map((client) => ({ ...client, name: `${client.name}, renamed`, addresses: [] })) }) })
    await close(tenantId, '2026-10')
    expect((await statementsOf(tenantId)).slice(-2)).toEqual(statements)
    expect((await openPeriods(test.database, tenantId, later)).find(({ label }) => label === '2026-09')).toEqual(closed)
    await expect(close(tenantId, '2026-09')).rejects.toThrow('2026-09 is closed already')
    const run = test.database.pool
    for (const statement of [
      `update billing_period set state = 'open' where tenant_id = $1 and label = '2026-09'`,
      `update statement set net_minor = 0 where tenant_id = $1`,
      `delete from statement_line where tenant_id = $1`,
      `update rating set net_minor = 0 where tenant_id = $1`,
      `delete from correction where tenant_id = $1`,
      `update usage_entry set full_bytes = 0 where tenant_id = $1`,
      `delete from billing_period where tenant_id = $1`,
    ]) await expect(run.query(statement, [tenantId]), statement).rejects.toThrow(/permission denied|the period/)
  })

  it('is begun again after a death between cut-off and statements, and ends in the same octets', async () => {
    const messages = [storedMessage('2026-09-10T00:00:00Z', 90 * mega, ['anna@acme.example', 'zoe@shared.example'])]
    const [undisturbed, dying] = [await tenant(graduated), await tenant(graduated)]
    for (const tenantId of [undisturbed, dying]) await meter(tenantId, messages.map((message) => ({ ...message })))
    await close(undisturbed, '2026-09')
    await expect(close(dying, '2026-09', { onCutOff: () => Promise.reject(new Error('died')) })).rejects.toThrow('died')
    expect((await openPeriods(test.database, dying, later))[0]).toMatchObject({ label: '2026-09', state: 'closing', hash: null })
    // What comes in between is late: the cut-off stands.
    await meter(dying, [storedMessage('2026-09-20T00:00:00Z', 1 * mega, ['anna@acme.example'])])
    // Two at once: one writes, the other finds it closed.
    const [first, ...others] = (await Promise.allSettled([close(dying, '2026-09'), close(dying, '2026-09')]))
      .flatMap((ending) => (ending.status === 'fulfilled' ? [ending.value] : []))
    for (const other of others) expect(other).toEqual(first)
    expect(first!.hash).toBe((await openPeriods(test.database, undisturbed, later))[0]!.hash)
    expect(await linesOf(dying, '2026-09-0001')).toEqual(await linesOf(undisturbed, '2026-09-0001'))
  })

  it('a month whose closing was interrupted comes before the next, so that nothing is billed twice', async () => {
    const tenantId = await tenant([{ kind: 'per-unit', price: '1' }], ['acme'])
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', 5 * mega, ['anna@acme.example']), storedMessage('2026-10-10T00:00:00Z', mega, ['anna@acme.example'])])
    await expect(close(tenantId, '2026-09', { onCutOff: () => Promise.reject(new Error('died')) })).rejects.toThrow('died')
    await meter(tenantId, [storedMessage('2026-09-11T00:00:00Z', 2 * mega, ['anna@acme.example'])])
    const refusal = await close(tenantId, '2026-10').then(() => null, (error: CloseRefusal) => error)
    expect(refusal!.blockers.map(({ name }) => name)).toEqual(['earlier-period'])
    await close(tenantId, '2026-09')
    await close(tenantId, '2026-10')
    expect((await listStatements(test.database, tenantId, { period: null, clientId: null })).map(({ net }) => net)).toEqual(['3.00', '5.00'])
  })

  it('a correction that would stand on no statement is refused: nobody to pay, or a month of which entries are gone', async () => {
    const tenantId = await tenant([{ kind: 'per-unit', price: '1' }], ['acme'])
    const [message] = await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', 5 * mega, ['anna@acme.example'])])
    const reassign = () => enterCorrection(test.database, tenantId, { kind: 'reassign', why: 'test', by: 'test', transactionId: message!.transactionId, toClientId: 'borealis' }, later)
    await close(tenantId, '2026-09')
    await expect(reassign()).rejects.toThrow('borealis carried no tariff when 2026-09 was closed')
    await test.database.pool.query(`insert into retention_removal (tenant_id, kind, month, newest_batch_id) values ($1, 'usage', '2026-09-01', 0)`, [tenantId])
    await expect(enterCorrection(test.database, tenantId, { kind: 'cancel', why: 'test', by: 'test', transactionId: message!.transactionId }, later)).rejects.toThrow('Entries of 2026-09 are removed by age')
    await close(tenantId, '2026-10')
    expect((await listStatements(test.database, tenantId, { period: null, clientId: null })).map(({ net }) => net)).toEqual(['5.00'])
  })

  it('waits for its end and the grace, for the month before, and for what is not metered', async () => {
    const tenantId = await tenant(graduated)
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', mega, ['anna@acme.example']), storedMessage('2026-10-10T00:00:00Z', mega, ['anna@acme.example'])])
    const namesOf = async (label: string, now: string, more: Partial<CloseOptions> = {}): Promise<string[]> =>
      await close(tenantId, label, { now: new Date(now), ...more }).then(() => [], (error: CloseRefusal) => error.blockers.map(({ name }) => name))
    expect(await namesOf('2026-10', '2026-10-15T00:00:00Z')).toEqual(['earlier-period', 'grace'])
    expect(await namesOf('2026-09', '2026-10-03T23:59:59.999Z')).toEqual(['grace'])
    await storeBatch(test.database, tenantId, [storedMessage('2026-09-11T00:00:00Z', mega, ['anna@acme.example'])])
    expect(await namesOf('2026-09', '2026-10-04T00:00:00Z')).toEqual(['unmetered'])
    // Only what is missing can be accepted, not what time or another command mends.
    expect(await namesOf('2026-09', '2026-10-04T00:00:00Z', { accepted: ['unmetered'] })).toEqual(['unmetered'])
    await expect(close(tenantId, '2026-11')).rejects.toThrow('cannot be closed yet')
    const other = await tenant(graduated)
    await meter(other, [storedMessage('2026-09-10T00:00:00Z', mega, ['anna@acme.example'])])
    // Mail of the month that runs is always on its way, and in nobody's.
    await storeBatch(test.database, other, [storedMessage('2026-10-04T00:00:00Z', mega, ['anna@acme.example'])])
    expect((await close(other, '2026-09')).state).toBe('closed')
    await expect(close(tenantId, '2031-01')).rejects.toThrow('There is no period "2031-01": there are 2026-09 to 2027-03')
  })

  it('is refused while a log is not complete, has a gap or a conflict, unless each is accepted by its name', async () => {
    const tenantId = await tenant(graduated)
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', mega, ['anna@acme.example'])])
    await test.database.pool.query(
      `insert into log_boot (tenant_id, node, boot, boot_number, seqs, newest_at, complete_at) values
         ($1, 'mx1', '00000000-0000-4000-8000-000000000001', 1, '{[1,5),[8,10)}', '2026-12-01', '2026-12-01'),
         ($1, 'mx2', '00000000-0000-4000-8000-000000000002', 1, '{[1,5)}', '2026-09-30T23:00:00Z', '2026-09-30T23:00:00Z')`, [tenantId])
    await test.database.pool.query(
      `insert into rejected_line (tenant_id, reason, detail, file_name, position_bytes, digest, line) values ($1, 'conflict', 'seq 7', 'f', 0, '\\x01', '{}')`, [tenantId])
    const refusal = await close(tenantId, '2026-09').then(() => null, (error: CloseRefusal) => error)
    const names = refusal!.blockers.map(({ name }) => name)
    expect(names).toEqual(['node:mx2', 'gap:mx1/1/5-8', expect.stringMatching(/^conflict:\d+$/)])
    for (const left of names) {
      const blockers = await close(tenantId, '2026-09', { accepted: names.filter((name) => name !== left) }).then(() => null, (error: CloseRefusal) => error.blockers)
      expect(blockers?.map(({ name }) => name)).toEqual([left])
    }
    await expect(close(tenantId, '2026-09', { accepted: [...names, 'gap:mx9'] })).rejects.toThrow('Nothing is called gap:mx9')
    expect((await close(tenantId, '2026-09', { accepted: names })).accepted!.map(({ name }) => name)).toEqual(names)
    // A conflict that was looked at once is no news the next month.
    expect((await close(tenantId, '2026-10').then(() => null, (error: CloseRefusal) => error))!.blockers.map(({ name }) => name)).toEqual(['node:mx2', 'gap:mx1/1/5-8'])
  })

  it('a tariff in another currency than the period is told before the cut-off', async () => {
    const tenantId = await tenantWith(test.database, { timeZone: 'UTC' }, directory)
    const store = { database: test.database, tenantId }
    await addTariffVersion(store, { tariffId: 'yen', definition: { name: 'Y', currency: 'JPY', components: graduated }, from: null, by: 'test' })
    await assignTariff(store, { clientId: 'acme', tariffId: 'yen', from: null, by: 'test' })
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', mega, ['anna@acme.example'])])
    const refusal = await close(tenantId, '2026-09').then(() => null, (error: CloseRefusal) => error)
    expect(refusal!.blockers.map(({ name }) => name)).toEqual(['tariff:yen@1'])
    expect((await openPeriods(test.database, tenantId, later))[0]!.state).toBe('open')
  })

  it('the cut-off waits for whoever is writing entries, so that none falls between it and what is late', async () => {
    const tenantId = await tenant([{ kind: 'per-unit', price: '1' }], ['acme'])
    await meter(tenantId, [storedMessage('2026-09-01T00:00:00Z', mega, ['anna@acme.example'])])
    const writer = await test.database.pool.connect()
    await writer.query('begin')
    await shareEntryLock(writer, tenantId)
    await writer.query(
      `insert into usage_entry select tenant_id, transaction_id, id_time, gen_random_uuid(), correction, ended_at, client_id, direction, full_bytes, split_bytes, is_billable, reason, size_source
       from usage_entry where tenant_id = $1`, [tenantId])
    let isClosed = false
    const closing = close(tenantId, '2026-09').finally(() => (isClosed = true))
    const isWaiting = async (): Promise<boolean> =>
      (await test.database.pool.query(`select from pg_locks where locktype = 'advisory' and not granted`)).rowCount! > 0
    while (!isClosed && !(await isWaiting())) await sleep(20)
    await writer.query('commit')
    writer.release()
    await closing
    expect((await readStatement(test.database, tenantId, '2026-09-0001', null))!.net).toBe('2.00')
  })

  it('an entry is before the cut-off or late, never both and never neither, while mail is being metered', async () => {
    const tenantId = await tenant([{ kind: 'per-unit', price: '1' }], ['acme'])
    await meter(tenantId, [storedMessage('2026-09-01T00:00:00Z', mega, ['anna@acme.example'])])
    const batches: bigint[] = []
    for (let index = 0; index < 30; index += 1) {
      batches.push(await storeBatch(test.database, tenantId, [storedMessage(new Date(Date.UTC(2026, 8, 2 + (index % 28))), mega, ['anna@acme.example'])]))
    }
    const metering = Promise.all([0, 1, 2].map(async (worker) => {
      for (const [index, batch] of batches.entries()) if (index % 3 === worker) await meterBatch(test.database, tenantId, batch)
    }))
    for (;;) {
      const isClosed = await close(tenantId, '2026-09').then(() => true, (error: unknown) => {
        if (!(error instanceof CloseRefusal)) throw error
        return false
      })
      if (isClosed) break
    }
    await metering
    await close(tenantId, '2026-10')
    const amounts = (await Promise.all(['2026-09-0001', '2026-10-0001'].map(async (id) => (await readStatement(test.database, tenantId, id, null))?.net ?? '0'))).map(Number)
    expect(amounts[0]! + amounts[1]!).toBe(31)
  })

  const component: fc.Arbitrary<TariffComponent[]> = fc.constantFrom<TariffComponent[]>(
    graduated, volume, [{ kind: 'flat', amount: '3.33' }, { kind: 'per-unit', price: '0.017' }, { kind: 'minimum', amount: '5' }],
    [{ kind: 'package', included: '20', size: '50', price: '1.99', taxPercent: '7' }, { kind: 'per-unit', price: '0.003' }],
  )
  const mail = fc.record({ kind: fc.constant('mail' as const), day: fc.nat(91), sizeMb: fc.integer({ min: 1, max: 120 }), recipients: fc.subarray(['anna@acme.example', 'ben@acme.example', 'zoe@shared.example'], { minLength: 1 }) })
  const correct = fc.record({ kind: fc.constantFrom('cancel' as const, 'reassign' as const), at: fc.nat(20) })
  const step = fc.oneof({ weight: 5, arbitrary: mail }, { weight: 2, arbitrary: correct }, { weight: 2, arbitrary: fc.constant({ kind: 'close' as const }) })

  it('all statements together come to the rating of the corrected history, tax included, whatever came late', async () => {
    await fc.assert(fc.asyncProperty(component, fc.array(step, { minLength: 3, maxLength: 14 }), async (components, steps) => {
      const tenantId = await tenant(components, ['acme', 'borealis'], { taxPercent: '19' })
      const months = ['2026-09', '2026-10', '2026-11', '2026-12']
      let closedCount = 0
      /** What is billed by now: a message's octets to each recipient's client. */
      const billed: { message: StoredMessage; client: string; octets: number }[] = []
      const owner = (address: string): string => (address === 'zoe@shared.example' ? 'borealis' : 'acme')
      const send = async (day: number, sizeMb: number, recipients: string[]): Promise<void> => {
        const [message] = await meter(tenantId, [storedMessage(new Date(Date.UTC(2026, 8, 1 + day, 12)), sizeMb * mega, recipients)])
        for (const recipient of recipients) billed.push({ message: message!, client: owner(recipient), octets: sizeMb * mega })
      }
      await send(0, 1, ['anna@acme.example'])
      for (const each of steps) {
        if (each.kind === 'mail') await send(each.day, each.sizeMb, each.recipients)
        else if (each.kind === 'close') {
          if (closedCount < 2) await close(tenantId, months[closedCount++]!)
        } else {
          const messages = [...new Set(billed.map(({ message }) => message))]
          const { transactionId } = messages[each.at % messages.length]!
          const own = billed.filter(({ message }) => message.transactionId === transactionId)
          const isEffective = own.some(({ client, octets }) => octets > 0 && (each.kind === 'cancel' || client !== 'borealis'))
          const entered = enterCorrection(test.database, tenantId, { kind: each.kind, why: 'a mistake', by: 'test', transactionId, ...(each.kind === 'reassign' ? { toClientId: 'borealis' } : {}) }, later)
          if (!isEffective) {
            await expect(entered).rejects.toThrow('found')
            continue
          }
          await entered
          for (const share of own) {
            if (each.kind === 'cancel') share.octets = 0
            else share.client = 'borealis'
          }
        }
      }
      while (closedCount < months.length) await close(tenantId, months[closedCount++]!)
      for (const clientId of ['acme', 'borealis']) {
        const statements = (await listStatements(test.database, tenantId, { period: null, clientId }))
        const told = { net: cents(statements.map(({ net }) => net)), tax: cents(statements.map(({ tax }) => tax)) }
        const expected = { net: 0n, tax: 0n }
        for (const month of months) {
          const octets = billed.filter(({ message, client }) => client === clientId && message.endedAt.toISOString().startsWith(month))
            .reduce((sum, share) => sum + BigInt(share.octets), 0n)
          const days = month === '2026-10' || month === '2026-12' ? 31 : 30
          const { netMinor, taxMinor } = rateUsage({ currency: 'EUR', unitBytes: mega, periodDays: days, spans: [{
            tariffId: 'mail', version: 1, definition: { name: 'Mail', currency: 'EUR', components, taxPercent: '19' }, days, quantities: { inbound: octets, outbound: 0n },
          }] })
          expected.net += netMinor
          expected.tax += taxMinor
        }
        expect(told).toEqual(expected)
      }
    }), { numRuns: 25 })
  }, 120_000)

  it('every line opens its messages, and they come to what the line counts', async () => {
    const tenantId = await tenant([{ kind: 'per-unit', price: '1' }, { kind: 'per-unit', direction: 'outbound', price: '2' }], ['acme'])
    await meter(tenantId, [
      storedMessage('2026-09-10T00:00:00Z', 3 * mega, ['anna@acme.example', 'ben@acme.example', 'zoe@shared.example']),
      storedMessage('2026-09-11T00:00:00Z', 5 * mega, [{ address: 'x@else.example', direction: 'outbound' }], { sender: 'ben@acme.example' }),
    ])
    await close(tenantId, '2026-09')
    await meter(tenantId, [storedMessage('2026-09-12T00:00:00Z', 7 * mega, ['anna@acme.example'])])
    await close(tenantId, '2026-10')
    const octetsOf = async (statementId: string, line: number): Promise<bigint> => {
      const page = await messagesOfLine(test.database, tenantId, { statementId, line, clientId: null, cursor: null })
      return page!.rows.reduce((sum, { octets }) => sum + BigInt(octets), 0n)
    }
    const first = (await readStatement(test.database, tenantId, '2026-09-0001', null))!
    expect(first.lines.map(({ quantity }) => quantity)).toEqual([String(6 * mega), String(5 * mega)])
    for (const { line, quantity } of first.lines) expect(String(await octetsOf('2026-09-0001', line))).toBe(quantity)
    const late = (await messagesOfLine(test.database, tenantId, { statementId: '2026-10-0001', line: 2, clientId: null, cursor: null }))!.rows.find(({ octets }) => octets === String(7 * mega))!
    // It came late: only the line that took it in knows it.
    expect((await linesOfMessage(test.database, tenantId, late.transactionId, null)).map(({ statementId, line }) => [statementId, line])).toEqual([['2026-10-0001', 2]])
    const second = (await readStatement(test.database, tenantId, '2026-10-0001', null))!
    expect(second.lines.map(({ kind, amount }) => [kind, amount])).toEqual([['reversal', '-16.00'], ['replacement', '23.00']])
    expect([await octetsOf('2026-10-0001', 1), await octetsOf('2026-10-0001', 2)]).toEqual([BigInt(11 * mega), BigInt(18 * mega)])
    expect(await readStatement(test.database, tenantId, '2026-09-0001', 'borealis')).toBeNull()
    expect(await messagesOfLine(test.database, tenantId, { statementId: '2026-09-0001', line: 9, clientId: null, cursor: null })).toBeNull()
  })

  it('a simulation of the tariff that is in force comes to what the statement does, before the close and behind it', async () => {
    const tenantId = await tenant([{ kind: 'flat', amount: '3' }, ...graduated], ['acme', 'borealis'], { taxPercent: '19' })
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', 150 * mega, ['anna@acme.example', 'zoe@shared.example'])])
    const simulate = async () => {
      const { definition } = (await listTariffs({ database: test.database, tenantId }))[0]!.versions[0]!
      const simulated = simulationResult('2026-09', await simulateTariff({ database: test.database, tenantId, period: '2026-09', tariff: 'mail', definition, clientId: null }))
      return simulated.clients.map(({ clientId, now, then, difference }) => [clientId, now!.net, now!.total, then!.total, difference])
    }
    const before = await simulate()
    await close(tenantId, '2026-09')
    const stated = (await statementsOf(tenantId)) as { clientId: string; net: string; total: string }[]
    expect(stated.map(({ clientId, net, total }) => [clientId, net, total, total, '0.00'])).toEqual(before)
    // The month was rated by who belonged to whom at the close: a later change of that is none of its.
    await test.database.pool.query(`update client set parent_id = 'acme' where tenant_id = $1 and client_id = 'borealis'`, [tenantId])
    expect((await simulate()).map(([clientId, net]) => [clientId, net])).toEqual(before.map(([clientId, net]) => [clientId, net]))
  })

  it('departments without a tariff are invoiced to their parent, tiers over the sum of all', async () => {
    const tenantId = await tenant(graduated, ['acme'])
    await test.database.pool.query(`update client set parent_id = 'acme' where tenant_id = $1 and client_id = 'borealis'`, [tenantId])
    await meter(tenantId, [storedMessage('2026-09-10T00:00:00Z', 80 * mega, ['anna@acme.example', 'zoe@shared.example'])])
    await close(tenantId, '2026-09')
    const [statement, ...others] = (await statementsOf(tenantId)) as { clientId: string; net: string; usage: unknown }[]
    expect(others).toEqual([])
    expect([statement!.clientId, statement!.net]).toEqual(['acme', '13.00'])
    expect(statement!.usage).toEqual([{ clientId: 'acme', direction: 'inbound', octets: '80000000' }, { clientId: 'borealis', direction: 'inbound', octets: '80000000' }])
  })
})

function cents(amounts: string[]): bigint {
  return amounts.reduce((sum, amount) => sum + BigInt(amount.replace('.', '')), 0n)
}
