/** What waits in the log of another MTA for lines that may never come. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { eraseAddress } from '../services/database/erasure/erase-address.ts'
import { openDatabase } from '../services/database/open-database.ts'
import type { MtaSummary } from '../services/ingest/mta/mta-loader.ts'
import { addTenant, emptyTables, snapshotOf } from './ingest-rows.ts'
import { ingestMta } from './mta-fixture.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const line = (time: string, program: string, text: string): string => `${time} mx postfix/${program}[11]: ${text}`
const beginning = [
  line('Mar  1 10:00:00', 'smtpd', 'connect from out.test[192.0.2.7]'),
  line('Mar  1 10:00:01', 'smtpd', 'ABCDE12345: client=out.test[192.0.2.7]'),
  line('Mar  1 10:00:02', 'cleanup', 'ABCDE12345: message-id=<1@x.test>'),
  line('Mar  1 10:00:02', 'qmgr', 'ABCDE12345: from=<bo@x.test>, size=900, nrcpt=1 (queue active)'),
]
const sentTo = (status: string): string =>
  `ABCDE12345: to=<ann@corp.test>, relay=in[192.0.2.99]:25, delay=1, delays=1/0/0/0, ${status}`
const end = [
  line('Mar  1 10:00:04', 'smtp', sentTo('dsn=2.0.0, status=sent (250 2.0.0 Ok)')),
  line('Mar  1 10:00:05', 'qmgr', 'ABCDE12345: removed'),
]
/** A line of no message, by which time goes on. */
const later = (time: string, host = 'mx'): string =>
  `${time} ${host} postfix/smtpd[99]: connect from else.test[192.0.2.8]`

describe('a message of another MTA that waits', () => {
  let test: TestDatabase
  let folder: string
  let fileCount = 0
  beforeAll(async () => {
    test = await createTestDatabase()
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-mta-waiting-'))
  })
  afterAll(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    await emptyTables(test.url)
    const owner = openDatabase(test.url, { applicationName: 'test', role: 'owner', maxConnections: 1 })
    await owner.pool.query('truncate erased_address')
    await owner.close()
    await addTenant(test.database)
  })

  /** Files that one command reads. */
  async function read(...files: string[][]): Promise<MtaSummary> {
    const paths = files.map(() => path.join(folder, `${(fileCount += 1)}.log`))
    for (const [index, lines] of files.entries()) await writeFile(paths[index]!, `${lines.join('\n')}\n`)
    return await ingestMta(test.database, 'postfix', paths, { clock: { timeZone: 'UTC', year: 2024 } })
  }

  const erase = () =>
    eraseAddress({ database: test.database, tenantId: 'main', address: 'ann@corp.test', actor: 'test', isDry: false })

  /** The lines that wait for the beginning of the message. */
  async function waiting(): Promise<string[]> {
    const { rows } = await test.database.pool.query<{ lines: [number, string][] }>(
      `select lines from log_source_thread where not has_beginning and lines::text like '%ABCDE12345%'`,
    )
    return rows.flatMap(({ lines }) => lines.map(([, raw]) => raw))
  }

  /** The lines that are listed as not understood. */
  async function listed(): Promise<{ detail: string; line: string }[]> {
    const { rows } = await test.database.pool.query<{ detail: string; line: Buffer }>(
      'select detail, line from rejected_line order by line',
    )
    return rows.map(({ detail, line: octets }) => ({ detail, line: octets.toString() }))
  }

  const everything = async (): Promise<string> => {
    const told = [await snapshotOf(test.database), await listed()]
    return JSON.stringify(told, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  }
  const detail = 'postfix: tells of a message whose beginning never came'
  const neverBegan = end.map((each) => ({ detail, line: each }))

  it('waits for its beginning for 30 days of its own host, and is then listed line by line', async () => {
    await read(end)
    await read([later('Mar 31 10:00:05'), later('Sep  1 00:00:00', 'other')])
    expect([await waiting(), await listed()]).toEqual([end, []])
    const { unknown } = await read([later('Mar 31 10:00:06')])
    expect(unknown.get('no-beginning')).toEqual({ count: 2, example: end[0] })
    expect([await waiting(), await listed()]).toEqual([[], neverBegan])
  })

  it('is listed once, though a copy of its file is read again and given up again', async () => {
    await read(end)
    await read([later('Apr  1 00:00:00')])
    await read(end)
    expect([await waiting(), await listed()]).toEqual([end, neverBegan])
    await read([later('Apr  2 00:00:00')])
    expect([await waiting(), await listed()]).toEqual([[], neverBegan])
  })

  it('is whole where its beginning is read before it is given up, even in a file read long after', async () => {
    await read(end)
    await read([later('Mar 31 10:00:05')])
    await read(beginning)
    const rows = await snapshotOf(test.database)
    expect(rows['mail_transaction']).toEqual([expect.objectContaining({ outcome: 'accepted', message_bytes: 900 })])
    expect(rows['delivery_attempt']).toHaveLength(1)
    expect([await waiting(), await listed()]).toEqual([[], []])
  })

  it('is stored as far as it is known where it began and 30 days told no more of it', async () => {
    const deferred = line('Mar  1 10:00:04', 'smtp', sentTo('dsn=4.4.1, status=deferred (connect timed out)'))
    await read([...beginning, deferred])
    const threads = `select from log_source_thread where thread like '%ABCDE12345%'`
    const begun = async () => (await test.database.pool.query(threads)).rows.length
    await read([later('Mar 31 10:00:04')])
    expect(await begun()).toBe(1)
    await read([later('Mar 31 10:00:05')])
    expect(await begun()).toBe(0)
    const rows = await snapshotOf(test.database)
    expect(rows['mail_transaction']).toEqual([expect.objectContaining({ outcome: 'accepted', message_bytes: 900 })])
    expect(rows['delivery_attempt']).toHaveLength(1)
    expect(await listed()).toEqual([])
  })

  it('names nobody any more who is erased meanwhile, though a copy is read again before its beginning', async () => {
    await read(end)
    expect(await everything()).toContain('ann@corp.test')
    const { replacement } = await erase()
    expect(await everything()).not.toContain('ann@corp.test')
    await read(end)
    expect(await waiting()).toEqual(end.map((each) => each.replace('ann@corp.test', replacement!)))
    await read(beginning)
    const rows = await snapshotOf(test.database)
    expect(rows['transaction_recipient']).toEqual([expect.objectContaining({ address: replacement })])
    await read([...beginning, ...end])
    expect((await snapshotOf(test.database))['mail_transaction']).toHaveLength(1)
    expect(await everything()).not.toContain('ann@corp.test')
  })

  it('names nobody who was erased where it is given up, and keeps the rest of its lines', async () => {
    const { replacement } = await erase()
    await read(end, [later('Apr  1 00:00:00')])
    const lines = end.map((each) => each.replace('ann@corp.test', replacement!))
    expect(await listed()).toEqual(lines.map((each) => ({ detail, line: each })))
    expect(await everything()).not.toContain('ann@corp.test')
  })
})
