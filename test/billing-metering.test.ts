/**
 * Metering held against a reference written from BILLING.md, on random messages, directories that change, and any
 * order, size and repetition of batches.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { importDirectory } from '../services/billing/import-directory.ts'
import { meterBatch } from '../services/billing/meter-batch.ts'
import { ensureNetworkClients } from '../services/billing/network-clients.ts'
import { transactionIdOf } from '../services/contracts/transaction-id.ts'
import { outcomes, recipientOutcomes, stages } from '../services/contracts/vocabulary.ts'
import { storedEntries } from './billing-entries.ts'
import { storeBatch, type StoredMessage } from './billing-log.ts'
import { referenceEntries, type Holding, type ReferenceEntry } from './billing-reference.ts'
import { directoryOf, tenantWith } from './billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const startMs = Date.UTC(2026, 9, 31, 22, 0, 0)
const clients = ['acme', 'borealis', 'cargo']
// Byte order is not the order of UTF-16: U+FFEE sorts before U+1D11E in octets only.
const localParts = ['anna', 'Ben', 'ben', '\uffee', '\u{1d11e}', 'z', '*']
const addresses = localParts.flatMap((local) =>
  ['acme.example', 'shared.example'].map((domain) => `${local}@${domain}`),
)
const holdable = [...addresses.filter((address) => !address.startsWith('*')), '*@acme.example', '*@shared.example']

const directory = fc.dictionary(fc.constantFrom(...holdable), fc.constantFrom(...clients)).map((ownerOf) => {
  const held: Record<string, string[]> = Object.fromEntries(clients.map((client) => [client, [] as string[]]))
  for (const [address, client] of Object.entries(ownerOf)) held[client]!.push(address)
  return held
})

const message: fc.Arbitrary<StoredMessage> = fc.record({
  transactionId: fc
    .tuple(fc.integer({ min: -3_600_000, max: 3_600_000 }), fc.uint8Array({ minLength: 10, maxLength: 10 }))
    .map(([offset, entropy]) => transactionIdOf(startMs + offset, entropy)),
  // Few distinct times, so that some fall on the very moment of a change and on its last millisecond before.
  endedAt: fc
    .constantFrom(0, 1_000, 1_999, 2_000, 2_001, 3_999, 4_000, 5_000)
    .map((offset) => new Date(startMs + offset)),
  outcome: fc.constantFrom(...outcomes),
  stage: fc.constantFrom(...stages),
  messageBytes: fc.option(fc.nat(), { freq: 4 }),
  dataBytes: fc.oneof(fc.constant(0), fc.nat()),
  recipients: fc.array(
    fc.record({
      address: fc.constantFrom(...addresses),
      outcome: fc.constantFrom(...recipientOutcomes, 'accepted' as const, 'accepted' as const),
      direction: fc.constantFrom('inbound' as const, 'inbound' as const, 'outbound' as const),
      reason: fc.constantFrom(null, null, 'rule', 'client-blocked', 'client-quota'),
    }),
    { maxLength: 7 },
  ),
  sender: fc.oneof(
    fc.constantFrom(null, '', 'Ben@ACME.example', 'nobody@shared.example', 'x@else.example'),
    fc.constantFrom(...addresses),
  ),
  networkName: fc.constantFrom(null, 'printers', 'office'),
  duplicateOf: fc.constantFrom(null, null, null, '019a3c5e-0000-7000-8000-000000000000'),
  sizeSource: fc.constantFrom('data' as const, 'queue' as const),
})

const scenario = fc.record({
  policy: fc.record({
    billRefusedContent: fc.boolean(),
    billDuplicates: fc.boolean(),
    lowerCaseLocalPart: fc.boolean(),
  }),
  directories: fc.tuple(directory, directory, directory),
  networks: fc.tuple(fc.option(fc.constantFrom(...clients)), fc.option(fc.constantFrom(...clients))),
  messages: fc.uniqueArray(message, { selector: ({ transactionId }) => transactionId, minLength: 1, maxLength: 14 }),
})

/** In what batches, in what order, and how often. */
const shipping = fc.record({
  seed: fc.nat(),
  batchSize: fc.integer({ min: 1, max: 14 }),
  repeats: fc.integer({ min: 1, max: 3 }),
  isConcurrent: fc.boolean(),
})

describe('metering', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  type Scenario = typeof scenario extends fc.Arbitrary<infer Value> ? Value : never
  type Shipping = typeof shipping extends fc.Arbitrary<infer Value> ? Value : never

  async function preparedTenant({ policy, directories, networks }: Scenario): Promise<string> {
    const tenantId = await tenantWith(test.database, policy)
    const seconds = [0, 2, 4]
    for (const [index, held] of directories.entries()) {
      const at = new Date(startMs + seconds[index]! * 1_000)
      await importDirectory({
        database: test.database,
        tenantId,
        directory: withoutClashes(held, policy.lowerCaseLocalPart),
        at,
        force: true,
      })
    }
    for (const [index, client] of networks.entries()) {
      const printers = {
        name: 'printers',
        class: 'device' as const,
        cidrs: ['10.0.0.0/8'],
        relay: true,
        ...(client === null ? {} : { client }),
      }
      await ensureNetworkClients(test.database, tenantId, [printers], new Date(startMs + index * 2_000))
    }
    return tenantId
  }

  async function ship(
    tenantId: string,
    messages: readonly StoredMessage[],
    { seed, batchSize, repeats, isConcurrent }: Shipping,
  ): Promise<void> {
    const shuffled = messages
      .map((each, index) => ({
        each,
        rank: (Math.imul(seed + 1, 2_654_435_761) ^ Math.imul(index + 7, 40_503)) >>> 0,
      }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ each }) => each)
    const batchIds: bigint[] = []
    for (let from = 0; from < shuffled.length; from += batchSize)
      batchIds.push(await storeBatch(test.database, tenantId, shuffled.slice(from, from + batchSize)))
    for (let turn = 0; turn < repeats; turn += 1) {
      if (isConcurrent) await Promise.all(batchIds.map((batchId) => meterBatch(test.database, tenantId, batchId)))
      else for (const batchId of batchIds.reverse()) await meterBatch(test.database, tenantId, batchId)
    }
  }

  it('gives the entries of the reference, in any order, any size of batches and any number of replays', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, shipping, async (given, way) => {
        const tenantId = await preparedTenant(given)
        await ship(tenantId, given.messages, way)
        const entries = await storedEntries(test.database, tenantId)
        expect(entries.map(figuresOf)).toEqual(expectedEntries(given).map(figuresOf))
      }),
      { numRuns: 30 },
    )
  }, 180_000)

  it('gives every octet of a message to exactly one recipient when split, and n times its size in full', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, shipping, async (given, way) => {
        const tenantId = await preparedTenant(given)
        await ship(tenantId, given.messages, way)
        const { rows } = await test.database.pool.query<{
          id: string
          n: bigint
          full: string
          split: string
          spread: bigint
        }>(
          `select transaction_id as id, count(*) as n, sum(full_bytes) as full, sum(split_bytes) as split, max(split_bytes) - min(split_bytes) as spread
           from usage_entry where tenant_id = $1 group by 1`,
          [tenantId],
        )
        const sizeOf = new Map(
          given.messages.map(({ transactionId, outcome, stage, messageBytes, dataBytes }) => [
            transactionId,
            outcome === 'refused' && stage === 'header' ? dataBytes : (messageBytes ?? dataBytes),
          ]),
        )
        for (const { id, n, full, split, spread } of rows) {
          const size = BigInt(sizeOf.get(id)!)
          expect([BigInt(split), BigInt(full), spread <= 1n]).toEqual([size, size * n, true])
        }
      }),
      { numRuns: 15 },
    )
  }, 180_000)
})

/** Two spellings that the tenant takes for one address cannot go to two clients: the first one has it. */
function withoutClashes(held: Record<string, string[]>, lowersLocalPart: boolean) {
  const seen = new Set<string>()
  const key = (address: string) => (lowersLocalPart ? address.toLowerCase() : address)
  return directoryOf(
    Object.fromEntries(
      Object.entries(held).map(([client, list]) => [
        client,
        list.filter((address) => !seen.has(key(address)) && seen.add(key(address))),
      ]),
    ),
  )
}

/** What was imported, as holdings: each directory holds until the next one. */
function expectedEntries(given: {
  policy: { billRefusedContent: boolean; billDuplicates: boolean; lowerCaseLocalPart: boolean }
  directories: Record<string, string[]>[]
  networks: (string | null)[]
  messages: StoredMessage[]
}): ReferenceEntry[] {
  const { policy, directories, networks, messages } = given
  const spans = boundsOf(
    directories.map((held) =>
      withoutClashes(held, policy.lowerCaseLocalPart).clients.flatMap(({ id, addresses: list }) =>
        list.map((address) => ({ key: policy.lowerCaseLocalPart ? address.toLowerCase() : address, clientId: id })),
      ),
    ),
  )
  const payers = boundsOf(networks.map((clientId) => (clientId === null ? [] : [{ key: 'printers', clientId }])))
  const rules = {
    billsRefusedContent: policy.billRefusedContent,
    billsDuplicates: policy.billDuplicates,
    lowersLocalPart: policy.lowerCaseLocalPart,
  }
  return messages
    .flatMap((each) => referenceEntries(each, spans, payers, rules))
    .sort((a, b) =>
      a.transactionId === b.transactionId
        ? Buffer.compare(Buffer.from(a.address), Buffer.from(b.address))
        : a.transactionId < b.transactionId
          ? -1
          : 1,
    )
}

/** The first non-empty version holds from the beginning of time; each holds until the next one, two seconds later. */
function boundsOf(versions: { key: string; clientId: string }[][]): Holding[] {
  const first = versions.findIndex((version) => version.length > 0)
  return versions.flatMap((version, index) =>
    version.map((holding) => ({
      ...holding,
      from: index <= first ? null : new Date(startMs + index * 2_000),
      upto: index + 1 < versions.length ? new Date(startMs + (index + 1) * 2_000) : null,
    })),
  )
}

function figuresOf(entry: ReferenceEntry) {
  return [entry.transactionId, entry.address, entry.clientId, entry.direction, entry.full, entry.split, entry.reason]
}
