/** Every kind of query must be answered by the index meant for it, and pages must hold still while rows arrive. */
import { sql } from 'kysely'
import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MessageList } from '../services/contracts/api.ts'
import { parseTraceQuery } from '../services/contracts/trace-query.ts'
import { parseCursor } from '../services/api/trace/trace-cursor.ts'
import { traceSelect } from '../services/api/trace/trace-select.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import { openDatabase } from '../services/database/open-database.ts'
import { createApiFixture, plainMessage, loggedRecipient, type ApiFixture, type Caller } from './api-fixture.ts'

const messageCount = 3_000
let api: ApiFixture
let admin: Caller

beforeAll(async () => {
  api = await createApiFixture({
    clients: [
      { id: 'rare', name: 'Rare', addresses: ['only@rare.test'] },
      { id: 'sales', name: 'Sales', addresses: ['*@example.org'] },
    ],
  })
  await api.addUser('root', 'admin')
  await api.addUser('rare-user', 'client', 'rare')
  const lines = [...api.log.segmentStart()]
  for (let index = 0; index < messageCount; index += 1) lines.push(...api.log.transaction())
  lines.push(
    api.log.line(
      plainMessage(api.log, {
        subject: 'Quarterly figures',
        sender: 'Only.Sender@rare-partner.test',
        recipients: [loggedRecipient('only@rare.test')],
        remote: {
          ip: '203.0.113.200',
          port: 1,
          reverseName: null,
          forwardConfirmed: null,
          country: 'JP',
          networkClass: 'public',
          networkName: null,
        },
        evaluations: [
          {
            stage: 'complete',
            recipient: null,
            weightBefore: 0,
            weightAfter: 1,
            durationUs: 1,
            hits: [
              {
                ruleId: 'rare-rule',
                revision: 1,
                branch: 'then',
                attribute: null,
                matchedText: null,
                weight: 1,
                marks: [],
                action: 'none',
                shadow: false,
              },
            ],
          },
        ],
      }),
    ),
  )
  await api.ingest(lines)
  const owner = openDatabase(api.test.url, { applicationName: 'test', role: 'owner' })
  await owner.pool.query('vacuum analyze')
  await owner.close()
  admin = await api.login('root')
}, 240_000)
afterAll(async () => await api.close())

function selectOf(text: string, clientId: string | null = null, after: string | null = null) {
  const parsed = parseTraceQuery(text)
  if (!('query' in parsed)) throw new Error(JSON.stringify(parsed.faults))
  const search = {
    tenantId: 'main',
    scope: { clientId },
    query: parsed.query,
    clock: { nowMs: api.clock.nowMs(), timeZone: 'UTC' },
    lowersLocalPart: true,
  }
  return traceSelect(search, {
    columns: sql`t.transaction_id, t.id_time`,
    limit: 101,
    after: after === null ? null : parseCursor(after),
  })
}

async function planOf(text: string, clientId: string | null = null): Promise<string> {
  const { rows } = await sql<{ 'QUERY PLAN': string }>`explain (costs off) ${selectOf(text, clientId)}`.execute(
    api.test.database.kysely,
  )
  return rows.map((row) => row['QUERY PLAN']).join('\n')
}

/** The parents' names as the partitions' indexes carry them. */
const index = {
  byTime: 'mail_transaction_2026_10_tenant_id_id_time_transaction_id_idx',
  bySender: 'mail_transaction_2026_10_tenant_id_lower_id_time_transactio_idx',
  bySenderDomain: 'mail_transaction_2026_10_tenant_id_sender_domain_id_time_idx',
  byIp: 'mail_transaction_2026_10_tenant_id_remote_ip_id_time_idx',
  byMessageId: 'mail_transaction_2026_10_tenant_id_message_id_idx',
  senderText: 'mail_transaction_2026_10_lower_idx',
  subjectText: 'mail_transaction_2026_10_subject_idx',
  byAddress: 'transaction_recipient_2026_10_tenant_id_address_id_time_tra_idx',
  byDomain: 'transaction_recipient_2026_10_tenant_id_domain_id_time_idx',
  addressText: 'transaction_recipient_2026_10_address_idx',
  byRule: 'rule_hit_2026_10_tenant_id_rule_id_id_time_idx',
  byEntryClient: 'usage_entry_2026_10_tenant_id_client_id_id_time_idx',
  byRecipientClient: 'transaction_recipient_2026_10_tenant_id_client_id_id_time_idx',
  byHelo: 'mail_transaction_2026_10_tenant_id_lower_id_time_idx',
  byCountry: 'mail_transaction_2026_10_tenant_id_remote_country_id_time_idx',
  byReason: 'mail_transaction_2026_10_tenant_id_reason_id_time_idx',
  byRecipientReason: 'transaction_recipient_2026_10_tenant_id_reason_id_time_idx',
  byHop: 'delivery_attempt_2026_10_tenant_id_lower_id_time_idx',
  byRareOutcome: 'mail_transaction_2026_10_tenant_id_outcome_id_time_transact_idx',
  duplicate: 'mail_transaction_2026_10_tenant_id_id_time_transaction_id_idx1',
  auth: 'mail_transaction_2026_10_tenant_id_id_time_transaction_id_idx2',
  failed: 'message_finished_2026_10_tenant_id_id_time_transaction_id_idx',
  hitsOf: 'rule_hit_2026_10_pkey',
  deliveriesOf: 'delivery_attempt_2026_10_pkey',
} as const

describe('the index that answers', () => {
  it.each<[string, (keyof typeof index)[]]>([
    ['', ['byTime']],
    ['verdict:refused', ['byTime']],
    ['id:01a12eb5-beef-73c0-a322-9adeb1d5caee', ['byTime']],
    ['from:only.sender@rare-partner.test', ['bySender']],
    ['from:only.send*', ['bySender']],
    ['from:@rare-partner.test', ['bySenderDomain']],
    ['from:*@rare-partner.test', ['bySenderDomain']],
    ['from:rare-part', ['senderText']],
    ['from:*rare-part*test', ['senderText']],
    ['to:only@rare.test', ['byAddress']],
    ['to:on*', ['byAddress']],
    ['to:@rare.test', ['byDomain']],
    ['to:rare.te', ['addressText']],
    ['subject:"quarterly fig"', ['subjectText']],
    ['subject:quart*figures', ['subjectText']],
    ['domain:rare.test', ['bySenderDomain', 'byDomain']],
    ['ip:203.0.113.200', ['byIp']],
    ['ip:203.0.113.0/24', ['byIp']],
    ['msgid:<nothing@partner.test>', ['byMessageId']],
    ['rule:rare-rule', ['byRule']],
    ['client:rare', ['byEntryClient', 'byRecipientClient']],
    ['helo:nobody.example', ['byHelo']],
    ['hop:nowhere.example', ['byHop']],
    ['country:JP', ['byCountry']],
    ['reason:rule', ['byReason', 'byRecipientReason']],
    ['verdict:quarantined', ['byRareOutcome']],
    ['verdict:aborted', ['byRareOutcome']],
    ['has:duplicate', ['duplicate']],
    ['has:auth', ['auth']],
    ['has:failed', ['failed']],
    ['msgid:nothing*', ['byMessageId']],
    // Frequent, so the newest are read first until a page is full.
    ['verdict:accepted', ['byTime']],
    ['stage:rcpt', ['byTime']],
    ['weight:3..8', ['byTime']],
    ['size:>100K', ['byTime']],
    ['has:attachment', ['byTime']],
    ['has:declared', ['byTime']],
    ['has:refused', ['byTime']],
    ['has:rule', ['byTime', 'hitsOf']],
    ['has:delivery', ['byTime', 'deliveriesOf']],
    ['after:2026-10-12', ['byTime']],
    ['-to:only@rare.test', ['byTime']],
    ['-verdict:accepted', ['byTime']],
    ['helo:mail.* verdict:accepted', ['byTime']],
    ['-subject:figures rule:rare-rule', ['byRule']],
    ['-has:attachment from:only.sender@rare-partner.test', ['bySender']],
    ['quarterly', ['senderText', 'addressText', 'subjectText', 'byMessageId']],
    ['quarterly OR from:only.sender@rare-partner.test', ['senderText', 'addressText', 'subjectText', 'bySender']],
    ['to:only@rare.test verdict:accepted subject:figures', ['byAddress']],
    ['to:only@rare.test after:2026-10-12 -from:somebody', ['byAddress']],
    ['verdict:accepted (from:only.sender@rare-partner.test OR to:only@rare.test)', ['bySender', 'byAddress']],
  ])('%s', async (query, expected) => {
    const plan = await planOf(query)
    for (const name of expected) expect(plan).toContain(index[name])
    expect(plan).not.toMatch(/Seq Scan on (mail_transaction|transaction_recipient|rule_hit|usage_entry)/)
  })

  it('is one of the client for whoever sees only its own', async () => {
    const plan = await planOf('', 'rare')
    expect(plan).toContain(index.byEntryClient)
    expect(plan).toContain(index.byRecipientClient)
    expect(plan).not.toMatch(/Seq Scan/)
  })

  it('lies in the partitions of the time asked for only', async () => {
    await api.test.database.pool.query(`select ensure_partitions('2026-06-01', '2026-12-01')`)
    for (const query of [
      'after:2026-10-05 before:2026-10-20',
      'to:only@rare.test after:2026-10-05 before:2026-10-20',
      'rule:rare-rule after:2026-10-05 before:2026-10-20',
    ]) {
      expect(await planOf(query), query).not.toMatch(/2026_(06|07|08|09|11|12)/)
    }
  })

  it('stands in a statement into which no text of the query was written', () => {
    const evil = `'; drop table x --`
    const { sql: statement, parameters } = selectOf(
      `from:"${evil}" to:"${evil}@x" subject:"${evil}" helo:"${evil}" hop:"${evil}" msgid:"${evil}" "${evil}" domain:"${evil}" rule:a verdict:refused ip:10.0.0.1`,
      'rare',
    ).compile(api.test.database.kysely)
    expect(statement).not.toMatch(/drop table|10\.0\.0\.1|refused'\)\)$/)
    expect(parameters.filter((value) => String(value).includes('drop table')).length).toBeGreaterThanOrEqual(8)
  })
})

describe('pages', () => {
  const page = async (query: string, cursor: string | null, limit: number) => {
    const answer = await admin.get(
      `/messages?limit=${limit}&q=${encodeURIComponent(query)}${cursor === null ? '' : `&cursor=${cursor}`}`,
    )
    expect(answer.status, answer.text).toBe(200)
    return answer.json() as MessageList
  }

  it.each(['', 'invoice', 'domain:example.org verdict:accepted', 'client:sales', 'after:-2h'])(
    'of "%s" neither repeat nor skip a message while others arrive',
    async (query) => {
      const before = (await page(query, null, 500)).rows.map((row) => row.transactionId)
      const seen: string[] = []
      let cursor: string | null = null
      for (let turn = 0; seen.length < 150; turn += 1) {
        const list: MessageList = await page(query, cursor, 37)
        seen.push(...list.rows.map((row) => row.transactionId))
        cursor = list.nextCursor
        if (cursor === null) break
        if (turn % 3 === 0) {
          await ingestMore(5)
          api.clock.set(api.clock.nowMs() + 60_000)
        }
      }
      expect(seen.length).toBeGreaterThanOrEqual(150)
      expect(seen).toEqual(before.slice(0, seen.length))
    },
  )

  it('mean the same by "two hours ago" from the first to the last, however long somebody turns them', async () => {
    const newest = (await page('', null, 80)).rows
    const minutes = Math.ceil((api.clock.nowMs() - Date.parse(newest.at(-1)!.endedAt)) / 60_000)
    const query = `after:-${minutes}m`
    const whole = (await page(query, null, 500)).rows.map((row) => row.transactionId)
    expect(whole.length).toBeGreaterThanOrEqual(80)
    const seen: string[] = []
    for (let cursor: string | null = null; seen.length < whole.length; api.clock.set(api.clock.nowMs() + 3_600_000)) {
      const list: MessageList = await page(query, cursor, 37)
      seen.push(...list.rows.map((row) => row.transactionId))
      cursor = list.nextCursor
      if (cursor === null) break
    }
    expect(seen.slice(0, whole.length)).toEqual(whole)
  })

  it('end with the last message, once', async () => {
    const list = await page('from:only.sender@rare-partner.test', null, 1)
    expect(list.rows).toHaveLength(1)
    expect(list.nextCursor).toBeNull()
  })

  async function ingestMore(count: number): Promise<void> {
    const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-more-'))
    const lines: string[] = []
    for (let turn = 0; turn < count; turn += 1)
      lines.push(...api.log.transaction({ subject: 'invoice late', sender: 'late@example.org' }))
    await writeFile(path.join(folder, 'more.jsonl'), lines.join(''))
    await ingestFile({ database: api.test.database, tenantId: 'main', path: path.join(folder, 'more.jsonl') })
    await rm(folder, { recursive: true })
  }
})
