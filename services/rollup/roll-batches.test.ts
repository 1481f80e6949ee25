import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../test/test-database.ts'
import { transactionIdOf } from '../contracts/transaction-id.ts'
import { ensureTenant } from '../database/ensure-tenant.ts'
import { removeExpired } from '../database/retention/retention-pass.ts'
import { storeRetentionPolicy, type RetentionPolicy } from '../database/retention/retention-policy.ts'
import { rebuildRollups, type DayRange } from './rebuild-rollups.ts'
import { rollBatches } from './roll-batches.ts'
import { rollupTables } from './rollup-table.ts'

type Mail = {
  hourOffset: number
  /** From the begin of the transaction, whose time is in its id, to its end. */
  durationMinutes: number
  outcome: string
  reason: string | null
  country: string | null
  senderDomain: string | null
  bytes: number | null
  recipients: { domain: string; outcome: string; reason: string | null; clientId: string | null }[]
  hits: { ruleId: string; isShadow: boolean; weightMilli: number }[]
}

const start = Date.UTC(2024, 9, 31, 20)
const forever: RetentionPolicy = { detail: null, subject: null, message: null, total: null, usage: null, audit: null }
const word = (...words: string[]) => fc.constantFrom(...words)
const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: null })

const mail: fc.Arbitrary<Mail> = fc.record({
  hourOffset: fc.integer({ min: 0, max: 8 }),
  durationMinutes: fc.constantFrom(0, 10, 300),
  outcome: word('accepted', 'refused', 'marked'),
  reason: maybe(word('rule', 'unknown-recipient')),
  country: maybe(word('DE', 'JP')),
  senderDomain: maybe(word('a.test', 'b.test')),
  bytes: maybe(fc.integer({ min: 0, max: 5_000_000 })),
  recipients: fc.array(
    fc.record({
      domain: word('corp.test', 'shop.test'),
      outcome: word('accepted', 'refused'),
      reason: maybe(word('unknown-recipient', 'rule')),
      clientId: maybe(word('acme', 'birch')),
    }),
    { maxLength: 3 },
  ),
  hits: fc.array(
    fc.record({ ruleId: word('pills', 'helo'), isShadow: fc.boolean(), weightMilli: fc.integer({ min: -3000, max: 9000 }) }),
    { maxLength: 3 },
  ),
})

type Step =
  | { kind: 'ingest'; mails: Mail[] }
  | { kind: 'roll' }
  | { kind: 'rollTwice' }
  | { kind: 'meter' }
  | { kind: 'rebuild'; range: DayRange }
  | { kind: 'rebuildMeanwhile'; mails: Mail[] }
  | { kind: 'retain'; policy: RetentionPolicy }
const mails = fc.array(mail, { maxLength: 6 })
const range = fc.constantFrom<DayRange>(
  { from: null, upto: null },
  { from: '2024-10-31', upto: '2024-11-01' },
  { from: '2024-11-01', upto: null },
)
const withoutMessages: RetentionPolicy = { ...forever, message: 400 }
const withoutDetails: RetentionPolicy = { ...forever, detail: 30 }
const policy = fc.constantFrom(withoutMessages, withoutDetails)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('ingest' as const), mails }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'roll' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'rollTwice' as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'meter' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rebuild' as const), range }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rebuildMeanwhile' as const), mails }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('retain' as const), policy }) },
)

describe('the rollups', () => {
  let test: TestDatabase
  let tenants = 0
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  async function newTenant(): Promise<string> {
    tenants += 1
    const { tenantId } = await ensureTenant(test.database, `tenant-${tenants}`)
    return tenantId
  }

  async function ingest(tenantId: string, mails: Mail[]): Promise<void> {
    const times = mails.map((each) => new Date(start + each.hourOffset * 3_600_000))
    const begins = mails.map((each, index) => new Date(times[index]!.getTime() - each.durationMinutes * 60_000))
    const sorted = [...begins].sort((a, b) => a.getTime() - b.getTime())
    const { pool } = test.database
    // Retention may have dropped them.
    await pool.query(`select ensure_partitions('2024-10-31', '2024-11-02')`)
    const { rows } = await pool.query<{ batch_id: bigint }>(
      `insert into ingest_batch (tenant_id, from_time, upto_time, transaction_count, event_count) values ($1, $2, $3, $4, $4) returning batch_id`,
      [tenantId, sorted[0] ?? null, sorted.at(-1) ?? null, mails.length],
    )
    for (const [index, each] of mails.entries()) {
      const [time, ended] = [begins[index]!, times[index]!]
      const id = transactionIdOf(time.getTime(), randomBytes(10))
      await pool.query(
        `insert into mail_transaction (tenant_id, transaction_id, id_time, ended_at, batch_id, node, boot, seq, event_hash, source,
           network_class, sender_domain, outcome, stage, reason, remote_country, message_bytes, data_bytes, size_source, weight_milli,
           recipient_count, accepted_count, attachment_count)
         values ($1, $2, $3, $11, $4, 'n', $2, 1, 1, 'tollgate', 'public', $5, $6, 'rcpt', $7, $8, $9, 10, 'data', 0, $10, 0, 0)`,
        [tenantId, id, time, rows[0]!.batch_id, each.senderDomain, each.outcome, each.reason, each.country, each.bytes, each.recipients.length, ended],
      )
      for (const [position, recipient] of each.recipients.entries()) {
        await pool.query(
          `insert into transaction_recipient (tenant_id, transaction_id, id_time, position, batch_id, address, domain, recipient_id, direction,
             outcome, reason, reply_code, client_id)
           values ($1, $2, $3, $4, $5, 'x@' || $6::text, $6, '00000000-0000-4000-8000-000000000001', 'inbound', $7, $8, 250, $9)`,
          [tenantId, id, time, position, rows[0]!.batch_id, recipient.domain, recipient.outcome, recipient.reason, recipient.clientId],
        )
      }
      for (const [position, hit] of each.hits.entries()) {
        await pool.query(
          `insert into rule_hit (tenant_id, transaction_id, id_time, position, rule_id, revision, stage, branch, action, weight_milli, is_shadow)
           values ($1, $2, $3, $4, $5, 1, 'header', 'then', 'none', $6, $7)`,
          [tenantId, id, time, position, hit.ruleId, hit.weightMilli, hit.isShadow],
        )
      }
    }
  }

  /** What metering leaves: an entry a recipient, and the mark of the batch. */
  async function meter(tenantId: string): Promise<void> {
    await test.database.pool.query(
      `with batch as (insert into metered_batch (tenant_id, batch_id, entry_count)
         select tenant_id, batch_id, 0 from ingest_batch b where tenant_id = $1
           and not exists (select from metered_batch m where m.tenant_id = b.tenant_id and m.batch_id = b.batch_id)
         returning batch_id)
       insert into usage_entry (tenant_id, transaction_id, id_time, recipient_id, ended_at, client_id, direction, full_bytes,
         split_bytes, is_billable, reason, size_source)
       select r.tenant_id, r.transaction_id, r.id_time, ('00000000-0000-4000-8000-' || lpad(r.position::text, 12, '0'))::uuid,
         t.ended_at, r.client_id, 'inbound', coalesce(t.message_bytes, 0), 1, r.outcome = 'accepted',
         case when r.outcome <> 'accepted' then 'test' end, 'data'
       from mail_transaction t join transaction_recipient r using (tenant_id, transaction_id, id_time)
       where t.tenant_id = $1 and t.batch_id in (select batch_id from batch)`,
      [tenantId],
    )
  }

  async function rollAll(tenantId: string): Promise<void> {
    while ((await rollBatches(test.database, tenantId)) > 0);
  }

  it('equal a recomputation from the model after every step, late and concurrent batches included', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
        const tenantId = await newTenant()
        const known: Mail[] = []
        let meteredCount = 0
        for (const each of steps) {
          if (each.kind === 'ingest' || each.kind === 'rebuildMeanwhile') known.push(...each.mails)
          if (each.kind === 'ingest') await ingest(tenantId, each.mails)
          if (each.kind === 'meter' || each.kind === 'retain') {
            await meter(tenantId)
            meteredCount = known.length
          }
          if (each.kind === 'rebuild') await rebuildRollups(test.database, tenantId, each.range)
          if (each.kind === 'rebuildMeanwhile') {
            await Promise.all([rebuildRollups(test.database, tenantId), ingest(tenantId, each.mails).then(() => rollAll(tenantId))])
          }
          if (each.kind === 'retain') {
            await rollAll(tenantId)
            await storeRetentionPolicy(test.database, tenantId, each.policy)
            await removeExpired({ database: test.database, tenantId })
          }
          if (each.kind === 'rollTwice') await Promise.all([rollAll(tenantId), rollAll(tenantId)])
          else await rollAll(tenantId)
          expect(await stored(tenantId)).toEqual(recomputed(known, known.slice(0, meteredCount)))
        }
      }),
      {
        numRuns: 25,
        examples: [
          [[ingested, { kind: 'retain', policy: withoutMessages }, { kind: 'rebuild', range: { from: null, upto: null } }]],
          [[ingested, { kind: 'retain', policy: withoutDetails }, { kind: 'rebuild', range: { from: null, upto: null } }]],
          [[ingested, { kind: 'meter' }, { kind: 'rebuildMeanwhile', mails: ingested.mails }]],
        ],
      },
    )
  })

  it('count a batch once when many workers see it at the same moment', async () => {
    const tenantId = await newTenant()
    const mails = Array.from({ length: 40 }, (_, index) => ({ ...simpleMail, hourOffset: index % 4 }))
    for (const each of mails) await ingest(tenantId, [each])
    await Promise.all(Array.from({ length: 6 }, () => rollAll(tenantId)))
    expect(await stored(tenantId)).toEqual(recomputed(mails))
  })

  it('leave the batches of other tenants alone', async () => {
    const [one, two] = [await newTenant(), await newTenant()]
    await ingest(one, [simpleMail])
    await ingest(two, [simpleMail, simpleMail])
    await rollAll(one)
    expect(await stored(two)).toEqual(recomputed([]))
    await rollAll(two)
    expect(await stored(one)).toEqual(recomputed([simpleMail]))
    await rebuildRollups(test.database, one)
    expect(await stored(two)).toEqual(recomputed([simpleMail, simpleMail]))
  })

  it('write nothing where the sums of a batch fail half-way', async () => {
    const tenantId = await newTenant()
    await ingest(tenantId, [{ ...simpleMail, hits: [{ ruleId: 'huge', isShadow: false, weightMilli: 1 }] }])
    await test.database.pool.query(
      `insert into rule_hour (tenant_id, hour, rule_id, stage, branch, is_shadow, outcome, transaction_count, hit_count, weight_milli)
       values ($1, $2, 'huge', 'header', 'then', false, 'accepted', 9223372036854775807, 1, 1)`,
      [tenantId, new Date(start)],
    )
    await expect(rollBatches(test.database, tenantId)).rejects.toThrow(/out of range/)
    for (const table of [...rollupTables.map(({ name }) => name).filter((name) => name !== 'rule_hour'), 'rolled_batch']) {
      const { rows } = await test.database.pool.query(`select from ${table} where tenant_id = $1`, [tenantId])
      expect(rows).toEqual([])
    }
  })

  type Sums = Record<'traffic' | 'rules' | 'ruleMessages' | 'recipients' | 'senders' | 'clients', Record<string, string>>

  async function stored(tenantId: string): Promise<Sums> {
    const read = async (sql: string) => {
      const { rows } = await test.database.pool.query<{ key: string; sums: string }>(sql, [tenantId])
      return Object.fromEntries(rows.map((row) => [row.key, row.sums]))
    }
    return {
      traffic: await read(`select concat_ws('|', extract(epoch from hour)::bigint, outcome, coalesce(reason, '-'), coalesce(country, '-')) as key,
        concat_ws(' ', transaction_count, recipient_count, message_bytes) as sums from traffic_hour where tenant_id = $1`),
      rules: await read(`select concat_ws('|', extract(epoch from hour)::bigint, rule_id, is_shadow, outcome) as key,
        concat_ws(' ', transaction_count, hit_count, weight_milli) as sums from rule_hour where tenant_id = $1`),
      ruleMessages: await read(`select concat_ws('|', extract(epoch from hour)::bigint, rule_id, outcome) as key,
        transaction_count::text as sums from rule_message_hour where tenant_id = $1`),
      clients: await read(`select concat_ws('|', extract(epoch from hour)::bigint, coalesce(client_id, '-'), is_billable) as key,
        concat_ws(' ', transaction_count, entry_count, full_bytes, split_bytes) as sums from client_hour where tenant_id = $1`),
      recipients: await read(`select concat_ws('|', day, domain, coalesce(recipient_id::text, '-'), coalesce(client_id, '-'), outcome, coalesce(reason, '-')) as key,
        concat_ws(' ', recipient_count, message_bytes) as sums from recipient_day where tenant_id = $1`),
      senders: await read(`select concat_ws('|', day, coalesce(sender_domain, '-'), outcome) as key,
        concat_ws(' ', transaction_count, message_bytes) as sums from sender_day where tenant_id = $1`),
    }
  }
})

const simpleMail: Mail = {
  hourOffset: 0,
  durationMinutes: 0,
  outcome: 'accepted',
  reason: null,
  country: null,
  senderDomain: 'a.test',
  bytes: 100,
  recipients: [],
  hits: [],
}

const ingested: Step & { kind: 'ingest' } = {
  kind: 'ingest',
  mails: Array.from({ length: 6 }, (_, index) => ({
    ...simpleMail,
    hourOffset: index,
    durationMinutes: 300,
    recipients: [{ domain: 'corp.test', outcome: 'accepted', reason: null, clientId: 'acme' }],
    hits: [{ ruleId: 'pills', isShadow: false, weightMilli: 2000 }],
  })),
}

function recomputed(mails: Mail[], metered: Mail[] = []) {
  const traffic = new Map<string, number[]>()
  const rules = new Map<string, number[]>()
  const ruleMessages = new Map<string, number[]>()
  const clients = new Map<string, number[]>()
  const recipients = new Map<string, number[]>()
  const senders = new Map<string, number[]>()
  const add = (sums: Map<string, number[]>, key: string, ...values: number[]) => {
    const before = sums.get(key) ?? values.map(() => 0)
    sums.set(key, before.map((value, index) => value + values[index]!))
  }
  for (const mail of mails) {
    const time = start + mail.hourOffset * 3_600_000
    const day = new Date(time).toISOString().slice(0, 10)
    const bytes = mail.bytes ?? 0
    add(traffic, [time / 1000, mail.outcome, mail.reason ?? '-', mail.country ?? '-'].join('|'), 1, mail.recipients.length, bytes)
    add(senders, [day, mail.senderDomain ?? '-', mail.outcome].join('|'), 1, bytes)
    const ruleKeys = new Set<string>()
    for (const hit of mail.hits) {
      const key = [time / 1000, hit.ruleId, hit.isShadow ? 't' : 'f', mail.outcome].join('|')
      add(rules, key, ruleKeys.has(key) ? 0 : 1, 1, hit.weightMilli)
      ruleKeys.add(key)
    }
    for (const ruleId of new Set(mail.hits.map((hit) => hit.ruleId))) {
      add(ruleMessages, [time / 1000, ruleId, mail.outcome].join('|'), 1)
    }
    for (const recipient of mail.recipients) {
      const id = recipient.reason === 'unknown-recipient' ? '-' : '00000000-0000-4000-8000-000000000001'
      const key = [day, recipient.domain, id, recipient.clientId ?? '-', recipient.outcome, recipient.reason ?? '-'].join('|')
      add(recipients, key, 1, bytes)
    }
  }
  for (const mail of metered) {
    const keys = new Set<string>()
    for (const { clientId, outcome } of mail.recipients) {
      const key = [(start + mail.hourOffset * 3_600_000) / 1000, clientId ?? '-', outcome === 'accepted' ? 't' : 'f'].join('|')
      add(clients, key, keys.has(key) ? 0 : 1, 1, mail.bytes ?? 0, 1)
      keys.add(key)
    }
  }
  const text = (sums: Map<string, number[]>) => Object.fromEntries([...sums].map(([key, values]) => [key, values.join(' ')]))
  return {
    traffic: text(traffic),
    rules: text(rules),
    ruleMessages: text(ruleMessages),
    recipients: text(recipients),
    senders: text(senders),
    clients: text(clients),
  }
}
