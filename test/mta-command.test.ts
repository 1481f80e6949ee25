/** `tollgate ingest FILE --format …` as a person runs it. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { openDatabase } from '../services/database/open-database.ts'
import type { StoredEntry } from './billing-entries.ts'
import { policySettings } from './billing-tenant.ts'
import { LogBuilder } from './event-builder.ts'
import { runTollgate, type Finished } from './harness/tollgate-command.ts'
import { addTenant, emptyTables, snapshotOf, type RowSnapshot } from './ingest-rows.ts'
import { goldenLines, meterAll } from './mta-fixture.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

const lines = goldenLines('postfix.txt')
const middle = Math.floor(lines.length / 2)

describe('tollgate ingest of the log of a Postfix', () => {
  let test: TestDatabase
  let folder: string
  let entries: StoredEntry[]
  let whole: RowSnapshot
  let first: Finished
  const environment = (): NodeJS.ProcessEnv => ({ TOLLGATE_DATABASE: test.url, TZ: 'UTC' })
  const ingest = (...words: string[]): Promise<Finished> => runTollgate(['ingest', ...words], { folder, environment: environment() })
  const both = ['mail.log.1', 'mail.log', '--format', 'postfix', '--year', '2026', '--time-zone', 'UTC']

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-mta-command-'))
    test = await createTestDatabase()
    await writeFile(path.join(folder, 'tollgate.yaml'), 'recipients:\n  domains: [corp.test]\n')
    await writeFile(path.join(folder, 'mail.log.1'), `${lines.slice(0, middle).join('\n')}\n`)
    await writeFile(path.join(folder, 'mail.log'), `${lines.slice(middle).join('\n')}\n`)
    await prepare()
    first = await ingest(...both)
    entries = await meterAll(test.database)
    whole = await snapshotOf(test.database)
  })
  afterAll(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    await emptyTables(test.url)
    await prepare()
  })

  async function prepare(): Promise<void> {
    const owner = openDatabase(test.url, { applicationName: 'test', role: 'owner', maxConnections: 1 })
    await owner.pool.query('truncate usage_entry, metered_batch, recipient_name')
    await owner.close()
    await addTenant(test.database)
    await ensureBillingPolicy(test.database, 'main', policySettings())
  }

  it('tells what it read, and is done', () => {
    const told = /^(\d+) lines: (\d+) new events, (\d+) of them mail transactions; \d+ lines of no use here$/m.exec(first.stderr)
    expect([first.code, first.stdout, told?.[1]]).toEqual([0, '', String(lines.length)])
    expect(Number(told![3])).toBe(whole['mail_transaction']!.length)
    expect(entries.length).toBeGreaterThan(3)
  })

  it('names the file that is not there, the folder, and the format that was meant', async () => {
    const missing = await ingest('nothing.log', '--format', 'postfix')
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('nothing.log: there is no such file')])
    expect(await ingest('.', '--format', 'exim')).toMatchObject({ code: 2, stderr: expect.stringContaining('this is a folder') })
    const mistyped = await ingest('mail.log', '--format', 'postfx')
    expect([mistyped.code, mistyped.stderr]).toEqual([2, expect.stringContaining('It is one of tollgate, postfix, haraka, exim. Did you mean postfix?')])
  })

  it('takes nothing out of an empty file, and says so', async () => {
    await writeFile(path.join(folder, 'empty.log'), '')
    expect(await ingest('empty.log', '--format', 'postfix')).toMatchObject({ code: 0, stderr: expect.stringContaining('0 lines: 0 new events') })
  })

  it('refuses a segment of its own log, and keeps none of its lines as not understood', async () => {
    await writeFile(path.join(folder, 'segment.jsonl'), new LogBuilder().segmentStart().join(''))
    expect(await ingest('segment.jsonl', '--format', 'postfix')).toMatchObject({ code: 2, stderr: expect.stringContaining("a segment of Tollgate's own event log") })
    expect((await test.database.pool.query('select 1 from rejected_line')).rows).toEqual([])
  })

  it('asks whether it is really such a log, and fails, where nothing in it is understood', async () => {
    await writeFile(path.join(folder, 'other.log'), 'GET / 200\nGET /x 404\n')
    const other = await ingest('other.log', '--format', 'postfix')
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('is it really the log of postfix?')])
    expect(other.stderr).toContain('2 lines not understood (no-format)')
  })
})
