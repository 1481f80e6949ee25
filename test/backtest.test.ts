/** Backtests through Postgres: the promise that the rules that judged change nothing, and jobs of the API. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import pg from 'pg'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BacktestJobs } from '../services/api/backtest/backtest-jobs.ts'
import { runBacktest } from '../services/api/backtest/run-backtest.ts'
import {
  Backtest as BacktestSchema,
  BacktestMessages as BacktestMessagesSchema,
  type Backtest,
  type BacktestMessages,
} from '../services/contracts/backtest.ts'
import { transactionIdOf } from '../services/contracts/transaction-id.ts'
import { ensureTenant } from '../services/database/ensure-tenant.ts'
import { demoAsset, demoConfig } from '../services/demo/demo-config.ts'
import { demoDirectory } from '../services/demo/main.ts'
import { historyNode, writeHistory } from '../services/demo/write-history.ts'
import { listSegments } from '../services/gateway/log/segment-files.ts'
import { ingestFile } from '../services/ingest/ingest-file.ts'
import { openOperatorLog } from '../services/kit/operator-log.ts'
import { compileRuleset, type CompiledRuleset } from '../services/rules/compile-ruleset.ts'
import { parseRuleset } from '../services/rules/parse-ruleset.ts'
import { loggedRuleset } from '../services/rules/ruleset-hash.ts'
import {
  createApiFixture,
  plainMessage,
  refusedRecipient,
  testConfig,
  testNowMs,
  type ApiFixture,
  type Caller,
} from './api-fixture.ts'
import { defaultStartMs, LogBuilder } from './event-builder.ts'
import * as generated from './generated-rules.ts'
import { judgeLive } from './live-transaction.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const dayMs = 86_400_000

function rulesOf(text: string): CompiledRuleset {
  const parsed = parseRuleset(text, 'rules.yaml')
  if ('faults' in parsed) throw new Error(JSON.stringify(parsed.faults))
  return compileRuleset(parsed.ruleset)
}

describe('the rules that judged', () => {
  let test: TestDatabase
  let folder: string
  beforeAll(async () => {
    test = await createTestDatabase()
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-backtest-'))
  })
  afterAll(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })

  it('change nothing over the whole history of the demo', { timeout: 300_000 }, async () => {
    const { database } = test
    const uptoMs = Date.parse('2026-10-24T15:00:00Z')
    const config = demoConfig(testConfig(), path.join(folder, 'demo'), 'embedded')
    await writeHistory({
      config,
      directory: demoDirectory(),
      log: openOperatorLog('test', { level: 'silent' }),
      version: '0',
      seed: 'backtest',
      sessionCount: 3_000,
      uptoMs,
    })
    await ensureTenant(database, config.tenant)
    for (const segment of await listSegments(path.join(config.data, 'events'), historyNode))
      await ingestFile({ database, tenantId: config.tenant, path: segment.path })
    const file = demoAsset('rules.yaml')
    const rules = rulesOf(await readFile(file, 'utf8'))
    const range = { tenantId: config.tenant, fromMs: uptoMs - 70 * dayMs, uptoMs: uptoMs + dayMs }
    const { result } = await runBacktest({ database, rules, ...range })
    expect(result!.transactionCount).toBeGreaterThan(2_500)
    expect(result!.counts).toMatchObject({ same: result!.transactionCount })
    expect(result!.after).toEqual(result!.before)

    // What the log says each rule did, and what the replay says, are the same.
    const { rows } = await database.pool.query<{ ruleId: string; count: bigint }>(
      `select rule_id as "ruleId", count(distinct transaction_id) as count from rule_hit where tenant_id = $1 group by 1`,
      [config.tenant],
    )
    const hits = result!.rules
      .filter(({ hitCount }) => hitCount > 0)
      .map(({ ruleId, hitCount }) => [ruleId, hitCount])
    expect(Object.fromEntries(hits)).toEqual(
      Object.fromEntries(rows.map(({ ruleId, count }) => [ruleId, Number(count)])),
    )

    // Judged by their logged content, as after a restart, nothing is undecidable either.
    const renamed = rulesOf((await readFile(file, 'utf8')).replace('name: Demo rules', 'name: Other'))
    const again = await runBacktest({ database, rules: renamed, ...range })
    expect(again.result!.counts).toMatchObject({ same: result!.transactionCount })
  })

  it(
    'change nothing over generated rules and mail, with checks, unknown branches and greylist waits',
    { timeout: 300_000 },
    async () => {
      const { database } = test
      await ensureTenant(database, 'main')
      const log = new LogBuilder({ startMs: defaultStartMs })
      const lines = [...log.segmentStart()]
      const windows: { rules: CompiledRuleset; fromMs: number; uptoMs: number }[] = []
      const outcomes = new Set<string>()
      const branches = new Set<string>()
      const rulesets = fc.sample(generated.ruleset(), { numRuns: 40, seed: 6 })
      const mails = fc.sample(generated.mail, { numRuns: 250, seed: 7 })
      for (const ruleset of rulesets) {
        const rules = compileRuleset(ruleset)
        lines.push(
          log.line({ kind: 'policy.loaded', part: 'ruleset', hash: rules.hash, content: loggedRuleset(ruleset) }),
        )
        const fromMs = log.nowMs
        for (const [index, mail] of mails.entries()) {
          log.nowMs += 10
          const { tenantId: _t, node: _n, boot: _b, seq: _s, at: _a, ...body } = judgeLive(mail, rules)
          const entropy = createHash('sha256').update(`${rules.hash} ${index}`).digest()
          const time = new Date(log.nowMs).toISOString()
          const transactionId = transactionIdOf(log.nowMs, entropy)
          lines.push(log.line({ ...body, transactionId, startedAt: time, endedAt: time }))
          outcomes.add(`${body.outcome} at ${body.stage}`)
          for (const { hits } of body.evaluations) for (const { branch } of hits) branches.add(branch)
        }
        log.nowMs += 10
        windows.push({ rules, fromMs: fromMs + 1, uptoMs: log.nowMs })
      }
      const file = path.join(folder, 'generated.jsonl')
      await writeFile(file, lines.join(''))
      await ingestFile({ database, tenantId: 'main', path: file })

      for (const { rules, ...range } of windows) {
        const { result } = await runBacktest({ database, tenantId: 'main', rules, ...range })
        expect(result!.counts).toMatchObject({ same: mails.length })
        // Another rule set by its hash, judged by what the log has of the first.
        const other = compileRuleset({ ...rules.ruleset, name: 'other' })
        expect((await runBacktest({ database, tenantId: 'main', rules: other, ...range })).result!.counts.same).toBe(
          mails.length,
        )
      }
      expect(branches).toEqual(new Set(['then', 'else', 'unknown']))
      for (const one of [
        'accepted at complete',
        'deferred at rcpt',
        'refused at rcpt',
        'refused at complete',
        'marked at complete',
        'aborted at mail',
      ])
        expect(outcomes).toContain(one)
    },
  )
})

describe('a backtest of the API', () => {
  let api: ApiFixture
  let admin: Caller
  const casino =
    'rules: [{ id: casino, stage: header, when: { attribute: subject, matches: casino }, then: { reject: { text: No } } }]'
  beforeAll(async () => {
    api = await createApiFixture()
    await api.addUser('admin', 'admin')
    admin = await api.login('admin')
    const { log } = api
    const lines = log.segmentStart()
    for (let index = 0; index < 450; index += 1) {
      const subject = index % 3 === 0 ? 'casino' : 'hello'
      const isRefused = index % 10 === 9
      const refused = {
        recipients: [refusedRecipient('gone@corp.test')],
        subject: null,
        messageBytes: null,
        dataBytes: 0,
        outcome: 'refused',
        stage: 'rcpt',
        reason: 'unknown-recipient',
        queueId: null,
      } as const
      lines.push(
        log.line(plainMessage(log, isRefused ? { ...refused, recipients: [...refused.recipients] } : { subject })),
      )
    }
    log.nowMs = testNowMs - 1
    await api.ingest(lines)
  })
  afterAll(() => api.close())

  const ended = async (id: string): Promise<Backtest> => {
    for (;;) {
      const backtest = (await admin.get(`/backtests/${id}`)).json() as Backtest
      if (backtest.state !== 'running') return backtest
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  it('runs on after its answer, and each of its counts opens exactly its messages', async () => {
    const started = await admin.call('POST', '/backtests', { body: { rules: casino, days: 30 } })
    expect(started.status, started.text).toBe(202)
    const backtest = await ended((started.json() as Backtest).id)
    expect(backtest).toMatchObject({
      state: 'done',
      createdBy: 'admin',
      doneCount: 450,
      totalCount: 450,
      fault: null,
    })
    expect(backtest.watermark).toMatch(/^\d+$/)
    expect([...Value.Errors(BacktestSchema, backtest)]).toEqual([])
    const result = backtest.result!
    expect(result.counts).toMatchObject({ same: 315, 'newly-refused': 135 })
    const seen = new Set<string>()
    for (const { cell, transactionCount, before } of result.cells) {
      let cursor: string | null = null
      let count = 0
      do {
        const reply = await admin.get(
          `/backtests/${backtest.id}/messages?cell=${cell}&limit=50${cursor === null ? '' : `&cursor=${cursor}`}`,
        )
        expect(reply.status, reply.text).toBe(200)
        const page = reply.json() as BacktestMessages
        expect([...Value.Errors(BacktestMessagesSchema, page)]).toEqual([])
        for (const row of page.rows) {
          expect(row.outcome).toBe(before)
          if (cell.startsWith('newly-refused')) expect(row.subject).toBe('casino')
          expect(seen.has(row.transactionId)).toBe(false)
          seen.add(row.transactionId)
        }
        count += page.rows.length
        cursor = page.nextCursor
      } while (cursor !== null)
      expect(count, cell).toBe(transactionCount)
    }
    expect(seen.size).toBe(450)
    expect(((await admin.get('/backtests')).json() as { backtests: Backtest[] }).backtests).toMatchObject([
      { id: backtest.id, result: null },
    ])
    const { rows } = await api.test.database.pool.query(
      `select actor, subject, detail from audit_record where action = 'backtest.started'`,
    )
    expect(rows).toEqual([
      { actor: 'admin', subject: backtest.id, detail: { days: 30, rulesetHash: backtest.rulesetHash } },
    ])
  })

  it('does not count what is ingested after it began', async () => {
    const started = (await admin.call('POST', '/backtests', { body: { rules: casino, days: 30 } })).json() as Backtest
    const first = await ended(started.id)
    api.log.nowMs = testNowMs - 60_000
    await api.ingest([...api.log.segmentStart(), api.log.line(plainMessage(api.log, { subject: 'late' }))])
    const page = await admin.get(`/backtests/${first.id}/messages?cell=same:accepted:accepted&limit=500`)
    expect((page.json() as BacktestMessages).rows.map(({ subject }) => subject)).not.toContain('late')
  })

  it('tells the faults of a rule set with their places, and starts nothing', async () => {
    const reply = await admin.call('POST', '/backtests', {
      body: { rules: 'rules:\n  - { id: one, stage: mial, when: {}, then: {} }', days: 1 },
    })
    expect(reply.status).toBe(400)
    expect(reply.json()).toMatchObject({
      error: {
        code: 'bad-rules',
        faults: [{ line: 2, path: 'rules[0].stage', remedy: 'Did you mean mail?' }, { line: 2 }],
      },
    })
  })

  it('is one at a time, is cancelled by DELETE, and does not hold up other requests', async () => {
    const { database } = api.test
    // Held at its first row of progress until the lock is let go.
    const blocker = await database.pool.connect()
    await blocker.query('begin; lock table backtest_message in exclusive mode')
    const started = (await admin.call('POST', '/backtests', { body: { rules: casino, days: 30 } })).json() as Backtest
    expect(started.state).toBe('running')
    const second = await admin.call('POST', '/backtests', { body: { rules: casino, days: 30 } })
    expect([second.status, second.json().error.code]).toEqual([409, 'already-running'])
    expect((await admin.get('/messages?limit=1')).status).toBe(200)
    const cancelled = admin.call('DELETE', `/backtests/${started.id}`)
    await new Promise((resolve) => setImmediate(resolve))
    await blocker.query('rollback')
    blocker.release()
    expect((await cancelled).json()).toMatchObject({ id: started.id, state: 'cancelled', result: null })
    const third = await admin.call('POST', '/backtests', { body: { rules: casino, days: 1 } })
    expect(third.status, third.text).toBe(202)
    await ended((third.json() as Backtest).id)
  })

  it('that a dead process left behind is found interrupted, and one that another process runs is not', async () => {
    const { pool } = api.test.database
    const id = '00000000-0000-4000-8000-000000000001'
    await pool.query(
      `insert into backtest (tenant_id, backtest_id, created_at, created_by, state, from_time, upto_time, ruleset_hash, ruleset)
       values ('main', $1, now(), 'admin', 'running', '2026-01-01', '2026-01-02', 'x', '{}')`,
      [id],
    )
    const other = await pool.connect()
    await other.query(`select pg_advisory_lock(hashtextextended('tollgate backtest main', 0))`)
    expect((await admin.get(`/backtests/${id}`)).json()).toMatchObject({ state: 'running' })
    expect((await admin.call('POST', '/backtests', { body: { rules: casino, days: 1 } })).status).toBe(409)
    await other.query(`select pg_advisory_unlock_all()`)
    other.release()
    expect((await admin.get(`/backtests/${id}`)).json()).toMatchObject({ state: 'interrupted' })
  })

  it('tells how many have no details left to try', async () => {
    const owner = new pg.Client({ connectionString: api.test.url })
    await owner.connect()
    await owner.query('delete from transaction_detail where transaction_id in (select transaction_id from transaction_detail limit 7)')
    await owner.end()
    const started = (await admin.call('POST', '/backtests', { body: { rules: casino, days: 30 } })).json() as Backtest
    const { result, totalCount } = await ended(started.id)
    expect(result).toMatchObject({ removedCount: 7, transactionCount: totalCount - 7 })
  })

  it('ends with the process that runs it', async () => {
    const jobs = new BacktestJobs({
      database: api.test.database,
      tenantId: 'main',
      clock: api.clock,
      onFailure: (error) => expect.fail(String(error)),
    })
    const ruleset = rulesOf(casino).ruleset
    const id = await jobs.start({ ruleset, fromMs: testNowMs - 30 * dayMs, uptoMs: testNowMs, createdBy: 'admin' })
    await jobs.close()
    expect((await admin.get(`/backtests/${id}`)).json()).toMatchObject({
      state: expect.stringMatching(/^(cancelled|done)$/),
    })
  })
})
