/** The overview and the analytics against the raw rows: rolled, half rolled, and not rolled at all. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { overviewFigures } from '../services/api/overview/overview-figures.ts'
import { importDirectory } from '../services/billing/import-directory.ts'
import { rollBatches } from '../services/rollup/roll-batches.ts'
import { createApiFixture, testNowMs, type ApiFixture, type Caller } from './api-fixture.ts'

let api: ApiFixture
let admin: Caller
const hours = 24 * 30
const sum = (outcomes: Record<string, number>) => Object.values(outcomes).reduce((all, count) => all + count, 0)

beforeAll(async () => {
  api = await createApiFixture()
  const clients = [{ id: 'acme', name: 'Acme', addresses: ['*@example.org', '*@example.net', '*@branch.example.org'] }]
  await importDirectory({ database: api.test.database, tenantId: 'main', directory: { clients }, at: new Date('2026-01-01Z') })
  await api.addUser('root', 'admin')
  admin = await api.login('root')
  // Over three days, to the minute before now.
  const step = 3 * 86_400_000 / 60
  api.log.nowMs = testNowMs - 3 * 86_400_000
  const lines = api.log.segmentStart()
  for (let index = 0; index < 58; index += 1) {
    lines.push(...api.log.transaction())
    api.log.nowMs += step
  }
  for (let from = 0; from < lines.length; from += 60) await api.ingest(lines.slice(from, from + 60))
})
afterAll(async () => await api.close())

const range = { fromMs: testNowMs - hours * 3_600_000 + 1, uptoMs: testNowMs - 1 }
const figures = () => overviewFigures(api.test.database, 'main', range)
const rows = async (sql: string) => (await api.test.database.pool.query(sql)).rows

describe('the overview', () => {
  it('is the same before anything is rolled, with half of it rolled, and after all is', async () => {
    const before = await figures()
    expect(sum(before.outcomes)).toBe(58)
    expect(before.topRules.length).toBeGreaterThan(3)
    expect(before.topClients[0]).toMatchObject({ label: 'Acme' })
    expect(before.refusals.length).toBeGreaterThan(0)
    const raw = await rows(`select outcome, count(*)::integer as count from mail_transaction group by 1`)
    expect(before.outcomes).toEqual(Object.fromEntries(raw.map((row) => [row.outcome, row.count])))
    while ((await rollBatches(api.test.database, 'main')) > 0);
    expect(await figures()).toEqual(before)
    await api.ingest(api.log.transaction())
    const more = await figures()
    expect(sum(more.outcomes)).toBe(59)
    while ((await rollBatches(api.test.database, 'main')) > 0);
    expect(await figures()).toEqual(more)
  })

  it('reads the rollups: a sum that is only there is shown', async () => {
    const before = await figures()
    await api.test.database.pool.query(`update traffic_hour set transaction_count = transaction_count + 1000
      where hour = (select min(hour) from traffic_hour) and outcome = (select outcome from traffic_hour order by hour limit 1)`)
    const after = await figures()
    expect(sum(after.outcomes)).toBeGreaterThanOrEqual(sum(before.outcomes) + 1000)
    await api.test.database.pool.query(`update traffic_hour set transaction_count = transaction_count - 1000 where transaction_count > 900`)
  })
})

describe('the histogram of a long range', () => {
  const span = 'after:2026-09-20 before:2026-10-12T08:00Z'
  const of = async (query: string) => (await admin.get(`/messages/histogram?q=${encodeURIComponent(`${query} ${span}`)}`)).json()
  // Asked in another way, the same is counted from the rows.
  const byRows = async (query: string) => (await admin.get(`/messages/histogram?q=${encodeURIComponent(`(${query || 'size:>=0 OR -size:>=0'}) (size:>=0 OR -size:>=0) ${span}`)}`)).json()

  it.each(['', 'verdict:refused', '-verdict:refused,aborted', 'verdict:aborted,accepted', 'stage:rcpt,mail', 'country:DE', '-country:DE', 'verdict:refused -stage:mail'])(
    'counts for "%s" from the rollups what the rows tell',
    async (query) => {
      const { buckets, matchedCount } = await of(query)
      expect({ buckets, matchedCount }).toEqual((({ buckets, matchedCount }) => ({ buckets, matchedCount }))(await byRows(query)))
    },
  )

  it('reads the rollups: a sum that is only there is shown', async () => {
    const before = Number((await of('')).matchedCount)
    await api.test.database.pool.query(`update traffic_hour set transaction_count = transaction_count + 1000
      where ctid = (select ctid from traffic_hour order by hour, outcome limit 1)`)
    expect(Number((await of('')).matchedCount)).toBe(before + 1000)
    await api.test.database.pool.query(`update traffic_hour set transaction_count = transaction_count - 1000 where transaction_count > 900`)
  })
})

describe('the analytics', () => {
  it.each(['outcome', 'stage', 'reason', 'country', 'networkClass'])('count traffic by %s as the rows do', async (group) => {
    const column = { country: 'remote_country', networkClass: 'network_class' }[group] ?? group
    const { rows: answered, unrolledBatchCount } = (await admin.get(`/analytics/traffic?by=all&group=${group}`)).json()
    expect(unrolledBatchCount).toBe(0)
    const expected = await rows(`select ${column} as "group", count(*)::text as count from mail_transaction group by 1 order by 1 nulls last`)
    expect(answered.map((row: any) => ({ group: row.group, count: row.transactionCount }))).toEqual(expected)
  })

  it('count each rule once a message, by the day', async () => {
    const answer = (await admin.get('/analytics/rules?by=day')).json()
    const expected = await rows(`select date_trunc('day', t.ended_at, 'UTC') as at, h.rule_id, count(distinct h.transaction_id)::text as messages,
      count(*)::text as hits from rule_hit h join mail_transaction t using (tenant_id, transaction_id, id_time) group by 1, 2 order by 1, 2`)
    const told = answer.rows.map((row: any) => ({ at: new Date(row.at), rule_id: row.ruleId, messages: row.transactionCount, hits: String(BigInt(row.hitCount) + BigInt(row.shadowHitCount)) }))
    const byKey = (one: any, other: any) => one.at - other.at || (one.rule_id < other.rule_id ? -1 : 1)
    expect(told.sort(byKey)).toEqual(expected.sort(byKey))
  })

  it('refuse a range that is none, and one of too many hours', async () => {
    for (const query of ['from=2026-10-02T00:00:00Z&upto=2026-10-01T00:00:00Z', 'from=2026-10-01T00:30:00Z', 'by=hour&from=2025-01-01T00:00:00Z'])
      expect((await admin.get(`/analytics/traffic?${query}`)).status, query).toBe(400)
  })
})
