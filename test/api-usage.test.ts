/** The usage report over HTTP: CSV and NDJSON hold the rows of the JSON, and nobody sees what is not theirs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Compile } from 'typebox/compile'
import { Overview, UsagePeriods, UsageReport, usageGroupings } from '../services/contracts/api.ts'
import { xlsxRows } from './xlsx-cells.ts'
import { createApiFixture, loggedRecipient, plainMessage, type ApiFixture, type Caller } from './api-fixture.ts'

let api: ApiFixture
let admin: Caller
let client: Caller

beforeAll(async () => {
  api = await createApiFixture({
    clients: [
      {
        id: 'acme',
        name: '=HYPERLINK("http://x","Acme, ""the"" best")',
        addresses: ['ann@corp.test', '+eve@corp.test'],
      },
      { id: 'globex', name: 'Globex', addresses: ['gus@globex.test'] },
    ],
  })
  await api.addUser('root', 'admin')
  await api.addUser('acme-user', 'client', 'acme')
  const { log } = api
  const lines = [...log.segmentStart()]
  for (let index = 0; index < 20; index += 1) {
    const addresses = [
      'ann@corp.test',
      '+eve@corp.test',
      'gus@globex.test',
      '=cmd|x@nobody.test',
      `-${index}@nobody.test`,
    ].slice(index % 3)
    lines.push(
      log.line(
        plainMessage(log, {
          messageBytes: 1_000 + index,
          recipients: addresses.map((address) => loggedRecipient(address)),
        }),
      ),
    )
  }
  await api.ingest(lines)
  admin = await api.login('root')
  client = await api.login('acme-user')
})
afterAll(async () => await api.close())

/** RFC 4180, for reading what we wrote. */
function parsedCsv(text: string): Record<string, string>[] {
  const records: string[][] = [[]]
  let field = ''
  let isQuoted = false
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index]!
    if (isQuoted) {
      if (character !== '"') field += character
      else if (text[index + 1] === '"') field += text[(index += 1)]
      else isQuoted = false
    } else if (character === '"' && field === '') isQuoted = true
    else if (character === ',' || (character === '\r' && text[index + 1] === '\n')) {
      records.at(-1)!.push(field)
      field = ''
      if (character === '\r') {
        index += 1
        records.push([])
      }
    } else field += character
  }
  const [head, ...rows] = records.filter((record) => record.length > 0)
  return rows.map((row) => Object.fromEntries(row.map((value, column) => [head![column]!, value])))
}

describe('usage', () => {
  it.each(usageGroupings.flatMap((by) => ['full', 'split'].map((mode) => [by, mode] as const)))(
    'by %s in mode %s: CSV and NDJSON hold exactly the rows of the JSON',
    async (by, mode) => {
      const url = `/usage?period=2026-10&by=${by}&mode=${mode}`
      const report = (await admin.get(url)).json() as UsageReport
      expect([...Compile(UsageReport).Errors(report)]).toEqual([])
      expect(report.rows.length).toBeGreaterThan(0)
      const ndjson = await admin.get(`${url}&format=ndjson`)
      expect(
        ndjson.text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line)),
      ).toEqual(report.rows)
      const csv = await admin.get(`${url}&format=csv`)
      const guarded = (text: string | null) => (text !== null && /^[=+\-@]/.test(text) ? `'${text}` : (text ?? ''))
      const expected = report.rows.map((row) => ({
        ...(by === 'client' || by === 'recipient'
          ? { client_id: row.clientId ?? 'house', client_name: guarded(row.clientName) }
          : {}),
        ...(by === 'recipient' ? { recipient: guarded(row.recipient) } : {}),
        ...(by === 'recipient' || by === 'domain' ? { domain: row.domain } : {}),
        ...(by === 'day' ? { day: row.day } : {}),
        direction: row.direction,
        messages: row.messageCount,
        billed_bytes: row.billedBytes,
        unbilled_bytes: row.unbilledBytes,
      }))
      expect(parsedCsv(csv.text)).toEqual(expected)
      expect(csv.headers['content-type']).toMatch(/^text\/csv/)
      expect(csv.headers['content-disposition']).toBe(`attachment; filename="usage-2026-10-by-${by}-${mode}.csv"`)
      for (const row of parsedCsv(csv.text))
        for (const cell of Object.values(row)) expect(cell).not.toMatch(/^[=+\-@]/)
    },
  )

  it('splits so that the total of all shares is the total received, in both totals and rows', async () => {
    const report = (await admin.get('/usage?period=2026-10&by=recipient&mode=split')).json() as UsageReport
    const received = Array.from({ length: 20 }, (_, index) => 1_000 + index).reduce((sum, size) => sum + size, 0)
    expect(report.totals.splitBytes).toBe(String(received))
    expect(report.rows.reduce((sum, row) => sum + BigInt(row.billedBytes), 0n)).toBe(BigInt(received))
  })

  it('answers a period that is none with its own code, an unknown client and grouping with what is known', async () => {
    for (const period of ['2026-13', '2026', 'x', ''])
      expect((await admin.get(`/usage?period=${period}`)).json().error.code, period).toBe('bad-period')
    expect((await admin.get('/usage?period=2026-10&client=nobody')).json().error).toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('"nobody"'),
    })
    expect((await admin.get('/usage?period=2026-10&by=colour')).json().error.message).toMatch(
      /client, recipient, day, domain/,
    )
    expect((await admin.get('/usage?period=1999-01')).json()).toMatchObject({ rows: [], totals: { fullBytes: '0' } })
  })

  it('lists the months that hold entries', async () => {
    const periods = (await admin.get('/usage/periods')).json() as UsagePeriods
    expect([...Compile(UsagePeriods).Errors(periods)]).toEqual([])
    expect(periods.labels).toEqual(['2026-10'])
  })

  it('gives a client its own rows only, whatever it asks for', async () => {
    for (const by of usageGroupings) {
      const own = (await client.get(`/usage?period=2026-10&by=${by}`)).json() as UsageReport
      const asked = (await admin.get(`/usage?period=2026-10&by=${by}&client=acme`)).json() as UsageReport
      expect(own.rows).toEqual(asked.rows)
      expect(own.totals).toEqual(asked.totals)
      expect((await client.get(`/usage?period=2026-10&by=${by}&format=csv`)).text).not.toMatch(/globex|nobody/)
    }
    for (const other of ['globex', 'house'])
      expect((await client.get(`/usage?period=2026-10&client=${other}`)).json().error.code).toBe('not-allowed')
  })

  it('gives a workbook, what a German Excel opens, and FOCUS, with the rows of the JSON', async () => {
    const url = '/usage?period=2026-10&by=recipient&mode=full'
    const { rows } = (await admin.get(url)).json() as UsageReport
    const workbook = await admin.get(`${url}&format=xlsx`)
    expect(workbook.headers['content-disposition']).toBe('attachment; filename="usage-2026-10-by-recipient-full.xlsx"')
    const [header, ...cells] = xlsxRows(workbook.octets)
    expect(header!.slice(0, 4)).toEqual(['client_id', 'client_name', 'recipient', 'domain'])
    expect(cells.map((row) => [row[2], row[6]])).toEqual(
      rows.map((row) => [row.recipient, { number: row.billedBytes }]),
    )
    const excel = (await admin.get(`${url}&format=csv&profile=excel&locale=de`)).text
    expect(excel.startsWith('\ufeffclient_id;client_name;')).toBe(true)
    const focus = await admin.get(`${url}&format=focus`)
    expect(parsedCsv(focus.text).map((row) => row.ConsumedQuantity)).toEqual(rows.map((row) => row.billedBytes))
    expect(focus.headers['content-disposition']).toContain('usage-2026-10-by-recipient-full-focus.csv')
    for (const [query, fault] of [
      ['by=day&format=focus', /by client or by recipient/],
      ['format=xlsx&profile=excel', /profile shapes CSV/],
      ['format=csv&profile=excel&locale=x-', /locale/],
    ] as const) {
      const reply = await admin.get(`/usage?period=2026-10&${query}`)
      expect([reply.status, reply.json().error.message], query).toEqual([400, expect.stringMatching(fault)])
    }
  })

  it('compares with the month before, in JSON and CSV alike', async () => {
    const url = '/usage?period=2026-11&by=client&mode=full&compare=previous'
    const report = (await admin.get(url)).json() as UsageReport
    expect([...Compile(UsageReport).Errors(report)]).toEqual([])
    const before = (await admin.get('/usage?period=2026-10&by=client&mode=full')).json() as UsageReport
    expect(report.previous).toEqual({ period: before.period, totals: before.totals })
    expect(report.rows.map((row) => [row.billedBytes, row.previousBilledBytes, row.billedBytesChange])).toEqual(
      before.rows.map((row) => ['0', row.billedBytes, `-${row.billedBytes}`]),
    )
    const csv = await admin.get(`${url}&format=csv`)
    expect(csv.headers['content-disposition']).toContain('-compared.csv')
    expect(parsedCsv(csv.text).map((row) => row.billed_bytes_change)).toEqual(
      report.rows.map((row) => row.billedBytesChange),
    )
  })

  it('records who took an export', async () => {
    await admin.get('/usage?period=2026-10&by=recipient&format=csv')
    const { rows } = await api.test.database.pool.query(
      `select actor, subject, detail->>'by' as by from audit_record where action = 'usage.export' order by audit_id desc limit 1`,
    )
    expect(rows).toEqual([{ actor: 'root', subject: '2026-10', by: 'recipient' }])
  })

  it('gives its connection back when a reader goes away in the middle', async () => {
    const { pool } = api.test.database
    const url = await api.server.listen({ host: '127.0.0.1', port: 0 })
    const firstAnswer = await fetch(`${url}/api/v1/usage?period=2026-10&by=recipient&format=csv`, {
      headers: { cookie: admin.cookie },
    })
    expect(firstAnswer.status).toBe(200)
    await firstAnswer.body!.cancel()
    for (let turn = 0; turn < 30; turn += 1) {
      const ending = new AbortController()
      const answer = fetch(
        `${url}/api/v1/usage?period=2026-10&by=recipient&format=${['csv', 'json', 'ndjson'][turn % 3]}`,
        { headers: { cookie: admin.cookie }, signal: ending.signal },
      )
      await answer.then((reply) => reply.body!.cancel())
      ending.abort()
    }
    // More exports than the pool has connections: a lost one would leave the next waiting for ever.
    expect((await admin.get('/usage?period=2026-10')).status).toBe(200)
    while (pool.idleCount < pool.totalCount) await new Promise((resolve) => setTimeout(resolve, 10))
  })
})

describe('the overview', () => {
  it('counts what the lists behind its figures hold', async () => {
    const overview = (await admin.get('/overview?hours=6')).json() as Overview
    expect([...Compile(Overview).Errors(overview)]).toEqual([])
    expect(overview.outcomes).toEqual({ accepted: 20 })
    expect(overview.queuedCount).toBe('20')
    for (const entry of [
      ...overview.topSenders,
      ...overview.topRecipients,
      ...overview.topClients,
      ...overview.topRules,
      ...overview.refusals,
    ]) {
      const list = (await admin.get(`/messages?limit=500&q=${encodeURIComponent(entry.query)}`)).json()
      expect(String(list.rows.length), entry.query).toBe(entry.count)
    }
    expect(overview.topClients.map((entry) => entry.label).sort()).toEqual([
      '=HYPERLINK("http://x","Acme, ""the"" best")',
      'Globex',
      'house',
    ])
    const inBuckets = overview.buckets
      .flatMap((bucket) => Object.values(bucket.outcomes))
      .reduce((sum, count) => sum + count, 0)
    expect(inBuckets).toBe(20)
  })

  it('is empty and still answers where no mail was', async () => {
    api.clock.set(Date.UTC(2030, 0, 1))
    const caller = await api.login('root')
    const overview = (await caller.get('/overview')).json() as Overview
    expect([...Compile(Overview).Errors(overview)]).toEqual([])
    expect(overview).toMatchObject({ outcomes: {}, topSenders: [], refusals: [] })
  })
})
