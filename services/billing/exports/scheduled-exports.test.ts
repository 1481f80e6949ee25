import { createHash } from 'node:crypto'
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import pino from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage } from '../../../test/billing-log.ts'
import { tenantWith } from '../../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../../test/test-database.ts'
import { readConfig } from '../../kit/read-config.ts'
import { meterBatch } from '../meter-batch.ts'
import { writeDueExports, type ExportSchedule } from './scheduled-exports.ts'

describe('scheduled exports', () => {
  let test: TestDatabase
  let folder: string
  let tenantId: string
  const logged: { level: number; msg: string }[] = []
  const log = pino({}, { write: (line: string) => void logged.push(JSON.parse(line) as (typeof logged)[number]) })
  beforeAll(async () => {
    test = await createTestDatabase()
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-exports-'))
    await chmod(folder, 0o755)
    tenantId = await tenantWith(test.database, { timeZone: 'UTC' }, { acme: ['anna@acme.example'] })
    const messages = ['2026-08-05', '2026-09-05', '2026-10-05', '2026-11-05'].map((day) =>
      storedMessage(`${day}T00:00:00Z`, 100, ['anna@acme.example']),
    )
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, messages))
  })
  afterAll(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })

  const run = async (name: string, now: string, changes: Partial<ExportSchedule> = {}, tenant = tenantId) => {
    const reading = readConfig(null, {})
    if ('faults' in reading) throw new Error('the default configuration has faults')
    const schedule: ExportSchedule = {
      name,
      report: 'usage',
      by: 'client',
      format: 'csv',
      locale: 'en',
      folder: path.join(folder, name),
      every: 'month',
      at: '03:00',
      ...changes,
    }
    const config = { ...reading.config, tenant, billing: { ...reading.config.billing, exports: [schedule] } }
    const files = await writeDueExports({ config, database: test.database, log }, new Date(now))
    return files.map((file) => path.basename(file))
  }

  it('are written once a due run, whole and with their manifest', async () => {
    expect(await run('once', '2026-11-01T03:00:00Z')).toEqual(['once-2026-10.csv'])
    expect(await run('once', '2026-11-01T03:01:00Z')).toEqual([])
    const names = (await readdir(path.join(folder, 'once'))).sort()
    expect(names).toEqual(['once-2026-10.csv', 'once-2026-10.csv.manifest.json'])
    const octets = await readFile(path.join(folder, 'once', names[0]!))
    expect(octets.toString()).toContain('acme,The acme company,inbound,1,100,0\r\n')
    const manifest = JSON.parse(await readFile(path.join(folder, 'once', names[1]!), 'utf8')) as Record<
      string,
      unknown
    >
    expect([manifest.sha256, manifest.rows]).toEqual([createHash('sha256').update(octets).digest('hex'), 1])
  })

  it('make up for what was missed, and for a run that a crash left without its manifest', async () => {
    expect(await run('late', '2026-09-02T00:00:00Z')).toEqual(['late-2026-08.csv'])
    expect(await run('late', '2026-11-25T00:00:00Z')).toEqual(['late-2026-09.csv', 'late-2026-10.csv'])
    const octets = await readFile(path.join(folder, 'late', 'late-2026-10.csv'))
    await rm(path.join(folder, 'late', 'late-2026-10.csv.manifest.json'))
    await writeFile(path.join(folder, 'late', 'late-2026-10.csv.partial'), 'half a fi')
    expect(await run('late', '2026-11-25T00:01:00Z')).toEqual(['late-2026-10.csv'])
    expect(await readFile(path.join(folder, 'late', 'late-2026-10.csv'))).toEqual(octets)
    expect((await readdir(path.join(folder, 'late'))).filter((name) => name.includes('partial'))).toEqual([])
  })

  it('are written by one of several workers that look at the same moment', async () => {
    const runs = await Promise.all(
      [1, 2, 3].map(async () => await run('many', '2026-11-24T03:00:00Z', { every: 'day', format: 'xlsx' })),
    )
    expect([...new Set(runs.flat())]).toEqual(['many-2026-11-23.xlsx'])
    expect(await run('many', '2026-11-24T03:00:00Z', { every: 'day', format: 'xlsx' })).toEqual([])
  })

  it('wait a day for mail that is not metered yet, and then go without it', async () => {
    const waiting = await tenantWith(test.database, { timeZone: 'UTC' })
    await storeBatch(test.database, waiting, [storedMessage('2026-10-05T00:00:00Z', 1, ['anna@acme.example'])])
    expect(await run('wait', '2026-11-02T02:59:59Z', {}, waiting)).toEqual([])
    expect(await run('wait', '2026-11-02T03:00:00Z', {}, waiting)).toEqual(['wait-2026-10.csv'])
  })

  it('are logged with the remedy where they fail, and tried again', async () => {
    const file = path.join(folder, 'blocked')
    await writeFile(file, 'no folder')
    logged.length = 0
    expect(await run('blocked', '2026-11-24T03:00:00Z')).toEqual([])
    expect(logged).toMatchObject([
      { level: 50, msg: expect.stringMatching(/"blocked" could not be written .* See that/) },
    ])
    await rm(file)
    expect(await run('blocked', '2026-11-24T03:01:00Z')).toEqual(['blocked-2026-10.csv'])
  })
})
