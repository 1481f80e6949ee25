import { connect, createServer, type Server, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storedEntries } from '../../test/billing-entries.ts'
import { storeBatch, storedMessage } from '../../test/billing-log.ts'
import { policySettings, type PolicyChanges } from '../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { openDatabase, type Database } from '../database/open-database.ts'
import type { Config } from '../kit/config.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { startBilling } from './main.ts'
import { unmeteredBatches } from './meter-batch.ts'

const at = '2026-11-10T12:00:00.000Z'

describe('the metering worker', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  const configOf = (tenant: string, changes: PolicyChanges = {}, networks: Config['networks'] = []) =>
    ({ ...policySettings(changes), tenant, networks }) as Config

  function capturedLog() {
    const lines: string[] = []
    const stream = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk))
        done()
      },
    })
    return { log: openOperatorLog('billing', { level: 'info', format: 'json', stream }), lines }
  }

  async function untilMetered(tenantId: string, exceptCount = 0): Promise<void> {
    while ((await unmeteredBatches(test.database, tenantId, 0n, 1_000)).length > exceptCount) await sleep(20)
  }

  it('meters what comes in while it runs, each batch once, however many workers there are', async () => {
    const config = configOf('many-workers')
    const databases: Database[] = [1, 2, 3].map(() => openDatabase(test.url, { applicationName: 'billing test' }))
    const workers = await Promise.all(
      databases.map((database) => startBilling({ config, database, log: capturedLog().log })),
    )
    const messages = Array.from({ length: 40 }, (_, index) =>
      storedMessage(new Date(Date.parse(at) + index), 10, ['a@x.example', 'b@x.example']),
    )
    await Promise.all(messages.map((message) => storeBatch(test.database, config.tenant, [message])))
    await untilMetered(config.tenant)
    await Promise.all(workers.map((worker) => worker.stop()))
    await Promise.all(databases.map((database) => database.close()))
    const entries = await storedEntries(test.database, config.tenant)
    expect(entries.map((entry) => entry.split)).toEqual(Array.from({ length: 80 }, () => 5n))
    const { rows } = await test.database.pool.query(
      'select sum(entry_count)::int as count from metered_batch where tenant_id = $1',
      [config.tenant],
    )
    expect(rows).toEqual([{ count: 80 }])
  })

  it('meters a batch that was numbered early and committed late', async () => {
    const config = configOf('late')
    const worker = await startBilling({ config, database: test.database, log: capturedLog().log })
    await storeBatch(test.database, config.tenant, [])
    const client = await test.database.pool.connect()
    await client.query('begin')
    const { rows } = await client.query<{ id: bigint }>(
      `insert into ingest_batch (tenant_id, transaction_count, event_count) values ($1, 0, 1) returning batch_id as id`,
      [config.tenant],
    )
    const later = await storeBatch(test.database, config.tenant, [storedMessage(at, 1, ['a@x.example'])])
    expect(later > rows[0]!.id).toBe(true)
    while ((await storedEntries(test.database, config.tenant)).length === 0) await sleep(20)
    await client.query('commit')
    client.release()
    expect(await unmeteredBatches(test.database, config.tenant, 0n, 10)).toEqual([rows[0]!.id])
    await untilMetered(config.tenant)
    await worker.stop()
  })

  it('goes on with the others where a batch cannot be metered, tells it, and leaves it unmetered', async () => {
    const config = configOf('poison')
    const { log, lines } = capturedLog()
    const worker = await startBilling({ config, database: test.database, log })
    const poisoned = storedMessage(at, 1, [{ address: 'a@x.example', direction: 'sideways' as 'inbound' }])
    const poisonedBatch = await storeBatch(test.database, config.tenant, [poisoned])
    await storeBatch(test.database, config.tenant, [storedMessage(at, 2, ['b@x.example'])])
    await untilMetered(config.tenant, 1)
    await worker.stop()
    expect((await storedEntries(test.database, config.tenant)).map((entry) => entry.full)).toEqual([2n])
    expect(await unmeteredBatches(test.database, config.tenant, 0n, 10)).toEqual([poisonedBatch])
    const told = lines.filter((line) => line.includes('could not be metered'))
    expect(told).toHaveLength(1)
    expect(JSON.parse(told[0]!)).toMatchObject({
      level: 'error',
      batchId: String(poisonedBatch),
      err: { message: expect.stringContaining('usage_entry_direction') },
    })
  })

  it('starts without Postgres, loses it and finds it again, and meters every batch once', async () => {
    const config = configOf('outage')
    const door = await openDoor(new URL(test.url))
    door.close()
    const database = openDatabase(door.url, { applicationName: 'billing outage' })
    const { log, lines } = capturedLog()
    const told = (words: string) => lines.filter((line) => line.includes(words)).length
    const worker = await startBilling({ config, database, log })
    while (told('cannot be reached') === 0) await sleep(20)
    await door.open()
    while (told('is back') === 0) await sleep(20)
    await storeBatch(test.database, config.tenant, [storedMessage(at, 1, ['a@x.example'])])
    await untilMetered(config.tenant)
    door.close()
    await storeBatch(test.database, config.tenant, [storedMessage(at, 2, ['a@x.example'])])
    while (told('cannot be reached') === 1) await sleep(20)
    await door.open()
    await untilMetered(config.tenant)
    await worker.stop()
    await database.close()
    door.close()
    expect((await storedEntries(test.database, config.tenant)).map((entry) => entry.full).sort()).toEqual([1n, 2n])
    expect(told('cannot be reached')).toBe(2)
  })

  it('stores the policy and the payers of networks, and warns of a client that nobody knows', async () => {
    const network = { name: 'printers', class: 'device' as const, cidrs: ['10.0.0.0/8'], relay: true, client: 'acme' }
    const config = configOf('set-up', { mode: 'split' }, [network])
    const { log, lines } = capturedLog()
    const worker = await startBilling({ config, database: test.database, log })
    await storeBatch(test.database, config.tenant, [
      storedMessage(at, 1, [{ address: 'x@else.example', direction: 'outbound' }], { networkName: 'printers' }),
    ])
    await storeBatch(test.database, config.tenant, [])
    await untilMetered(config.tenant)
    await worker.stop()
    expect((await storedEntries(test.database, config.tenant)).map((entry) => entry.clientId)).toEqual(['acme'])
    const { rows } = await test.database.pool.query('select mode from billing_policy where tenant_id = $1', [
      config.tenant,
    ])
    expect(rows).toEqual([{ mode: 'split' }])
    expect(lines.join('')).toMatch(
      /networks: \\"printers\\" names the client \\"acme\\", which the directory does not hold/,
    )
  })

  it('tells a zone that does not exist at the start', async () => {
    const started = startBilling({
      config: configOf('no-zone', { timeZone: 'Europe/Berlni' }),
      database: test.database,
      log: capturedLog().log,
    })
    await expect(started).rejects.toThrow(/billing\.timeZone: "Europe\/Berlni"/)
  })
})

/** A way to Postgres that can be shut: connections through it break, new ones are refused. */
async function openDoor(target: URL) {
  const sockets = new Set<Socket>()
  let server: Server | null = null
  let port = 0
  async function open(): Promise<void> {
    server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname)
      for (const socket of [near, far]) {
        sockets.add(socket)
        socket.on('error', () => {}).on('close', () => sockets.delete(socket))
      }
      near.pipe(far).pipe(near)
    })
    await new Promise<void>((resolve) => server!.listen(port, '127.0.0.1', resolve))
    port = (server.address() as { port: number }).port
  }
  await open()
  const url = new URL(target)
  url.port = String(port)
  return {
    url: url.href,
    open,
    close: () => {
      server?.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
