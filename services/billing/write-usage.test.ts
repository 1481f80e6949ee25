import { createHash } from 'node:crypto'
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseCsv } from '../../test/billing-csv.ts'
import type { UsageRow } from '../contracts/api.ts'
import { calendarMonth } from '../contracts/period.ts'
import { guardedText } from './exports/csv-text.ts'
import type { UsageGrouping, UsageReport } from './usage-report.ts'
import { columnsOf, writeUsage, writeUsageFile, type UsageFormat } from './write-usage.ts'

function reportOf(
  rows: UsageRow[],
  by: UsageGrouping = 'recipient',
  batchSize = 3,
): UsageReport & { closedCount: number } {
  const period = calendarMonth('2026-11', 'Europe/Berlin')
  async function* batches() {
    for (let from = 0; from < rows.length; from += batchSize) yield rows.slice(from, from + batchSize)
  }
  const report = {
    period,
    by,
    clientId: null,
    mode: 'split' as const,
    modeSpans: [{ mode: 'split' as const, from: period.from }],
    unitBytes: 1_000_000,
    currency: 'EUR',
    previous: null,
    totals: { fullBytes: '7', splitBytes: '6', messageCount: '5' },
    unmeteredBatchCount: 0,
    batches: batches(),
    rows: (async function* () {})(),
    closedCount: 0,
    close: async () => {
      report.closedCount += 1
    },
  }
  return report
}

async function written(report: UsageReport, format: UsageFormat) {
  const chunks: Buffer[] = []
  const output = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      setImmediate(done)
    },
  })
  const manifest = await writeUsage(report, format, output)
  expect(output.writableEnded).toBe(false)
  return { octets: Buffer.concat(chunks), text: Buffer.concat(chunks).toString(), manifest }
}

const row = (changes: Partial<UsageRow>): UsageRow => ({
  clientId: 'acme',
  clientName: 'Acme',
  recipient: 'anna@acme.example',
  domain: 'acme.example',
  day: null,
  direction: 'inbound',
  messageCount: '1',
  billedBytes: '1000',
  unbilledBytes: '0',
  ...changes,
})

describe('writing usage', () => {
  it('is RFC 4180 with CRLF, a header row and octets in the names of columns', async () => {
    const { text } = await written(
      reportOf([
        row({}),
        row({ clientId: null, clientName: null, recipient: 'a "b", c@x', billedBytes: '9007199254740993' }),
      ]),
      'csv',
    )
    expect(text).toBe(
      'client_id,client_name,recipient,domain,direction,messages,billed_bytes,unbilled_bytes\r\n' +
        'acme,Acme,anna@acme.example,acme.example,inbound,1,1000,0\r\n' +
        'house,,"a ""b"", c@x",acme.example,inbound,1,9007199254740993,0\r\n',
    )
  })

  it.each([
    ['client', 'client_id,client_name,direction,messages,billed_bytes,unbilled_bytes'],
    ['day', 'day,direction,messages,billed_bytes,unbilled_bytes'],
    ['domain', 'domain,direction,messages,billed_bytes,unbilled_bytes'],
  ] as const)('has the columns of the grouping by %s, also without rows', async (by, header) => {
    const { text, manifest } = await written(reportOf([], by), 'csv')
    expect([text, manifest.rows]).toEqual([`${header}\r\n`, 0])
  })

  it('guards texts that a spreadsheet would run, and leaves amounts below zero alone', async () => {
    const { text } = await written(
      reportOf([row({ clientName: '=cmd()', recipient: '+1@x', domain: '-x', billedBytes: '-500' })]),
      'csv',
    )
    expect(text.split('\r\n')[1]).toBe("acme,'=cmd(),'+1@x,'-x,inbound,1,-500,0")
    expect(['@a', '\ta', '＝a', "'=a", "o'hara", 'a=b'].map(guardedText)).toEqual([
      "'@a",
      "'\ta",
      "'＝a",
      "''=a",
      "o'hara",
      'a=b',
    ])
  })

  it('quotes a lone CR or LF, so that a row stays a row', async () => {
    const { text } = await written(
      reportOf([row({ clientName: 'Two\nlines' }), row({ clientName: 'Two\rlines' })]),
      'csv',
    )
    expect(text).toContain('acme,"Two\nlines",')
    expect(text).toContain('acme,"Two\rlines",')
    expect(parseCsv(text)).toHaveLength(3)
  })

  const anyText = fc.oneof(
    // Postgres holds no NUL, and no export does.
    fc.string({ unit: 'binary', minLength: 1 }).map((text) => `${text.replaceAll('\0', '')}.`),
    fc.string({ unit: fc.constantFrom('"', ',', '\r', '\n', "'", '=', '-', ' ', 'a', ';', '\ufeff'), minLength: 1 }),
  )
  const count = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }).map(String)
  const anyRow: fc.Arbitrary<UsageRow> = fc.record({
    clientId: fc.option(fc.constantFrom('acme', 'b.c-d')),
    clientName: fc.option(anyText),
    recipient: anyText,
    domain: anyText,
    day: fc.constant(null),
    direction: fc.constantFrom('inbound', 'outbound'),
    messageCount: count,
    billedBytes: count,
    unbilledBytes: count,
  })

  it('gives the same rows when its CSV is parsed, whatever is in them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyRow, { maxLength: 10 }), async (rows) => {
        const { text, manifest } = await written(reportOf(rows), 'csv')
        const [header, ...records] = parseCsv(text)
        expect(header).toEqual([...columnsOf.recipient])
        expect(records.map(rowOfRecord)).toEqual(rows.map((each) => ({ ...each })))
        expect(manifest.rows).toBe(rows.length)
      }),
    )
  })

  it('gives the same rows when its JSON or NDJSON is parsed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyRow, { maxLength: 10 }), async (rows) => {
        const lines = (await written(reportOf(rows), 'ndjson')).text.split('\n')
        expect(lines.pop()).toBe('')
        const parsed = JSON.parse((await written(reportOf(rows), 'json')).text) as {
          rows: UsageRow[]
          rowCount: number
          period: unknown
          unitBytes: number
        }
        const expected = rows.map((each) => JSON.parse(JSON.stringify(each)) as UsageRow)
        expect([lines.map((line) => JSON.parse(line) as UsageRow), parsed.rows, parsed.rowCount]).toEqual([
          expected,
          expected,
          rows.length,
        ])
        expect([parsed.period, parsed.unitBytes]).toEqual([
          {
            label: '2026-11',
            from: '2026-10-31T23:00:00.000Z',
            upto: '2026-11-30T23:00:00.000Z',
            timeZone: 'Europe/Berlin',
          },
          1_000_000,
        ])
      }),
      { numRuns: 50 },
    )
  })

  it('tells in the manifest what was written, down to its hash', async () => {
    const { octets, manifest } = await written(reportOf([row({}), row({ recipient: 'ü@x' })]), 'csv')
    expect(manifest).toEqual({
      format: 'csv',
      rows: 2,
      sha256: createHash('sha256').update(octets).digest('hex'),
      period: { label: '2026-11', from: '2026-10-31T23:00:00.000Z', upto: '2026-11-30T23:00:00.000Z' },
      timeZone: 'Europe/Berlin',
      unitBytes: 1_000_000,
      filter: { by: 'recipient', client: null, countedBy: [{ mode: 'split', from: '2026-10-31T23:00:00.000Z' }] },
      totals: { fullBytes: '7', splitBytes: '6', messageCount: '5' },
      unmeteredBatchCount: 0,
    })
  })

  it.each(['csv', 'json', 'ndjson'] as const)(
    'gives the same octets of %s in whatever batches the rows come',
    async (format) => {
      const rows = Array.from({ length: 7 }, (_, index) => row({ recipient: `r${index}@x` }))
      const texts = await Promise.all(
        [1, 2, 7, 100].map(async (size) => (await written(reportOf(rows, 'recipient', size), format)).text),
      )
      expect(new Set(texts).size).toBe(1)
    },
  )

  it('maps clients and recipients to FOCUS, and refuses it where no account is told', async () => {
    const { text, manifest } = await written(reportOf([row({ recipient: '=x@y' })]), 'focus')
    const [header, cells] = parseCsv(text)
    expect(Object.fromEntries(header!.map((name, place) => [name, cells![place]]))).toEqual({
      BilledCost: '',
      BillingAccountId: 'acme',
      BillingAccountName: 'Acme',
      BillingCurrency: 'EUR',
      BillingPeriodStart: '2026-10-31T23:00:00Z',
      BillingPeriodEnd: '2026-11-30T23:00:00Z',
      ChargeCategory: 'Usage',
      ChargeDescription: 'Mail, inbound',
      ChargePeriodStart: '2026-10-31T23:00:00Z',
      ChargePeriodEnd: '2026-11-30T23:00:00Z',
      ConsumedQuantity: '1000',
      ConsumedUnit: 'Bytes',
      ProviderName: 'Tollgate',
      ResourceId: "'=x@y",
      ResourceType: 'recipient',
      ServiceCategory: 'Other',
      ServiceName: 'Mail gateway',
      x_Direction: 'inbound',
      x_MessageCount: '1',
      x_UnbilledBytes: '0',
    })
    expect([manifest.format, manifest.mapping]).toEqual(['csv', 'focus'])
    const byDay = reportOf([], 'day')
    await expect(written(byDay, 'focus')).rejects.toThrow('by client or by recipient, not by day')
    expect(byDay.closedCount).toBe(1)
  })

  it('closes the report also where the output breaks', async () => {
    const report = reportOf([row({})])
    const output = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) })
    await expect(writeUsage(report, 'csv', output)).rejects.toThrow('disk full')
    expect(report.closedCount).toBe(1)
  })
})

describe('writing usage to a file', () => {
  it('leaves the whole report and its manifest, or what was there before', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'tollgate-usage-'))
    try {
      const file = path.join(folder, 'november.csv')
      const manifest = await writeUsageFile(reportOf([row({})]), 'csv', file)
      const octets = await readFile(file)
      expect(createHash('sha256').update(octets).digest('hex')).toBe(manifest.sha256)
      expect(JSON.parse(await readFile(`${file}.manifest.json`, 'utf8'))).toEqual(manifest)

      const broken = reportOf([row({}), row({})])
      broken.batches = (async function* () {
        yield [row({ recipient: 'other@x' })]
        throw new Error('the database went away')
      })()
      await expect(writeUsageFile(broken, 'csv', file)).rejects.toThrow('the database went away')
      expect(await readFile(file)).toEqual(octets)
      expect((await readdir(folder)).sort()).toEqual(['november.csv', 'november.csv.manifest.json'])
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('says which file cannot be written, and closes the report', async () => {
    const report = reportOf([])
    await expect(writeUsageFile(report, 'csv', '/nonexistent/november.csv')).rejects.toThrow(
      /ENOENT.*\/nonexistent\/november\.csv/,
    )
    expect(report.closedCount).toBe(1)
  })
})

function rowOfRecord(record: string[]): UsageRow {
  const [clientId, clientName, recipient, domain, direction, messageCount, billedBytes, unbilledBytes] = record as [
    string,
    string,
    string,
    string,
    'inbound',
    string,
    string,
    string,
  ]
  const unguarded = (text: string) => (/^''*[=+\-@\t\r\n＝＋－＠]/.test(text) ? text.slice(1) : text)
  return {
    clientId: clientId === 'house' ? null : clientId,
    clientName: clientName === '' ? null : unguarded(clientName),
    recipient: unguarded(recipient),
    domain: unguarded(domain),
    day: null,
    direction,
    messageCount,
    billedBytes,
    unbilledBytes,
  }
}
