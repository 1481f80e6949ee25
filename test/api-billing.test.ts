/** Tariffs, periods, corrections and statements over HTTP: a month from traffic to a page to print. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Value } from 'typebox/value'
import { SavingsReport } from '../services/contracts/savings.ts'
import { Correction, PeriodDetail, PeriodList, Statement, StatementList, StatementMessages } from '../services/contracts/statement.ts'
import { SimulationResult, TariffList } from '../services/contracts/tariff-api.ts'
import type { ApiFixture, Caller } from './api-fixture.ts'
import { createBilledMonth } from './billed-month.ts'
import { xlsxRows } from './xlsx-cells.ts'

let api: ApiFixture
let accountant: Caller
let client: Caller
let viewer: Caller

beforeAll(async () => {
  api = await createBilledMonth()
  accountant = await api.login('acc')
  viewer = await api.login('look')
  client = await api.login('acme-user')
})
afterAll(async () => await api.close())

const definition = { name: 'Mail', currency: 'EUR', taxPercent: '19', components: [{ kind: 'flat', amount: '10' }, { kind: 'per-unit', price: '0.5' }] }

describe('a month', () => {
  it('is given tariffs, tried under another one, closed, and read', async () => {
    expect((await viewer.call('POST', '/tariffs', { body: { tariffId: 'mail', definition } })).status).toBe(403)
    expect((await client.get('/tariffs')).status).toBe(403)
    expect((await accountant.call('POST', '/tariffs', { body: { tariffId: 'mail', definition } })).status).toBe(201)
    expect((await accountant.call('POST', '/tariffs', { body: { tariffId: 'mail', definition } })).json().error).toMatchObject({ code: 'bad-request', message: expect.stringContaining('The tariff mail exists') })
    const twisted = { ...definition, components: [{ kind: 'volume', tiers: [{ upto: '5', price: '1' }] }] }
    expect((await accountant.call('POST', '/tariffs', { body: { tariffId: 'other', definition: twisted } })).json().error.message).toContain('components[0].tiers[0].upto')
    for (const id of ['acme', 'globex']) expect((await accountant.call('PUT', `/clients/${id}/tariff`, { body: { tariffId: 'mail' } })).status).toBe(200)
    expect((await accountant.call('PUT', '/clients/nobody/tariff', { body: { tariffId: 'mail' } })).json().error.message).toContain('There is no client "nobody"')
    expect((await accountant.call('PUT', '/clients/globex/tariff', { body: { tariffId: null, from: '2026-12-01' } })).json()).toMatchObject([{ tariffId: 'mail', upto: '2026-12-01T00:00:00.000Z' }])
    const tariffs = (await viewer.get('/tariffs')).json()
    expect(Value.Check(TariffList, tariffs)).toBe(true)

    const simulated = (await viewer.call('POST', '/tariffs/simulations', { body: { period: '2026-10', definition: { ...definition, components: [{ kind: 'per-unit', price: '1' }] } } })).json()
    expect(Value.Check(SimulationResult, simulated)).toBe(true)
    // 8 MB each: 10 + 4 and 19 % now, 8 and 19 % then.
    expect(simulated.clients.map((one: { now: { total: string }; then: { total: string }; difference: string }) => [one.now.total, one.then.total, one.difference])).toEqual([['16.66', '9.52', '-7.14'], ['16.66', '9.52', '-7.14']])

    expect(Value.Check(PeriodList, (await viewer.get('/periods')).json())).toBe(true)
    const open = (await viewer.get('/periods/2026-10')).json()
    expect(Value.Check(PeriodDetail, open)).toBe(true)
    expect(open.blockers.map(({ name }: { name: string }) => name)).toEqual(['grace', expect.stringMatching(/^node:/)])
    const early = (await accountant.call('POST', '/periods/2026-10/close', { body: {} })).json().error
    expect(early).toMatchObject({ code: 'period-blocked', message: expect.stringContaining('billing.graceHours is 72') })
    api.clock.set(Date.UTC(2026, 10, 5))
    accountant = await api.login('acc')
    viewer = await api.login('look')
    client = await api.login('acme-user')
    const node = open.blockers[1].name as string
    const closed = await accountant.call('POST', '/periods/2026-10/close', { body: { accept: [node] } })
    expect(closed.json()).toMatchObject({ state: 'closed', accepted: [{ name: node }] })
    expect((await accountant.call('POST', '/periods/2026-10/close', { body: {} })).status).toBe(409)
    expect((await viewer.call('POST', '/periods/2026-10/close', { body: {} })).status).toBe(403)
  })

  it('has statements that the client sees its own of, in every format, every line with its messages', async () => {
    const all = (await accountant.get('/statements?period=2026-10')).json()
    expect(Value.Check(StatementList, all)).toBe(true)
    expect(all.statements.map(({ clientId, total }: { clientId: string; total: string }) => [clientId, total])).toEqual([['acme', '16.66'], ['globex', '16.66']])
    const [own, other] = all.statements.map(({ statementId }: { statementId: string }) => statementId) as [string, string]
    expect((await client.get('/statements')).json().statements.map(({ statementId }: { statementId: string }) => statementId)).toEqual([own])
    expect([(await client.get(`/statements/${other}`)).status, (await client.get(`/statements/${other}/lines/1/messages`)).status]).toEqual([404, 404])
    expect((await client.get('/statements?client=globex')).status).toBe(403)

    const statement = (await client.get(`/statements/${own}`)).json()
    expect(Value.Check(Statement, statement)).toBe(true)
    expect(statement.lines.map(({ amount, tax }: { amount: string; tax: string }) => [amount, tax])).toEqual([['10.00', '1.90'], ['4.00', '0.76']])
    const messages = (await client.get(`/statements/${own}/lines/2/messages`)).json()
    expect(Value.Check(StatementMessages, messages)).toBe(true)
    expect(messages.rows.map(({ recipient, octets }: { recipient: string; octets: string }) => [recipient, octets])).toEqual(Array(4).fill(['ann@corp.test', '2000000']))

    const csv = (await client.get(`/statements/${own}?format=csv`)).text
    // The name begins with a sign that a spreadsheet would run, after the markup: it is text.
    expect(csv.split('\r\n')[1]).toContain('<b>=Acme</b>')
    expect(xlsxRows((await client.get(`/statements/${own}?format=xlsx`)).octets)).toHaveLength(3)
    const page = await client.get(`/statements/${own}?format=html`)
    expect(page.text).toContain('&lt;b&gt;=Acme&lt;/b&gt;')
    expect(page.text).not.toContain('<b>')
    expect(String(page.headers['content-security-policy'])).toMatch(/^default-src 'none'; style-src 'sha256-/)
  })

  it('is corrected in the next one, and says so before', async () => {
    const { rows } = (await accountant.get('/messages?q=to:ann@corp.test')).json()
    const body = { kind: 'cancel', why: 'sent by our own test', transactionId: rows[0].transactionId, recipient: 'ann@corp.test' }
    expect((await viewer.call('POST', '/corrections', { body })).status).toBe(403)
    expect((await accountant.call('POST', '/corrections', { body: { kind: 'cancel', why: 'all of it', from: '2026-10-01T00:00:00Z', upto: '2026-11-01T00:00:00Z' } })).json().error.message).toContain('together with an address or a client')
    const tried = (await accountant.call('POST', '/corrections', { body: { ...body, dryRun: true } })).json()
    expect(tried).toMatchObject({ correctionId: null, entryCount: '1', shownIn: { '2026-10': '2026-11' } })
    expect((await accountant.get('/corrections')).json().corrections).toEqual([])
    const entered = await accountant.call('POST', '/corrections', { body })
    expect([entered.status, Value.Check(Correction, entered.json())]).toEqual([201, true])
    expect((await accountant.call('POST', '/corrections', { body })).json().error.message).toContain('Nothing billed is found there')
    expect((await viewer.get('/periods/2026-11')).json().late).toEqual([{ period: '2026-10', entryCount: '1' }])
    const { lines } = (await accountant.get(`/messages/${rows[0].transactionId}/statement-lines`)).json()
    expect(lines.map(({ statementId, line, kind }: { statementId: string; line: number; kind: string }) => [statementId, line, kind])).toEqual([['2026-10-0001', 2, 'usage'], ['2026-10-0002', 2, 'usage']])
    expect((await client.get(`/messages/${rows[0].transactionId}/statement-lines`)).json().lines).toHaveLength(1)
    const { usage } = (await accountant.get(`/messages/${rows[0].transactionId}`)).json()
    expect(usage.map(({ recipient, fullBytes, correction }: { recipient: string; fullBytes: string; correction: string }) => [recipient, fullBytes, correction])).toEqual([
      ['ann@corp.test', '2000000', '0'], ['ann@corp.test', '-2000000', entered.json().correctionId], ['gus@globex.test', '2000000', '0'],
    ])
  })
})

it('savings are told for a period, and exported', async () => {
  const report = (await viewer.get('/savings?period=2026-10')).json()
  expect(Value.Check(SavingsReport, report)).toBe(true)
  expect((await viewer.get('/savings')).json().error.message).toContain('name a period, or from and upto')
  expect((await client.get('/savings?period=2026-10')).status).toBe(403)
  expect((await viewer.get('/savings?period=2026-10&by=day&format=csv')).text).toMatch(/^day,groups,attempts,/)
})

it('what is no statement, no month or no message is told as a mistake of the one who asks', async () => {
  for (const id of ['%00', 'a%00b', '..%2f..']) expect((await accountant.get(`/statements/${id}`)).status).toBe(404)
  expect((await accountant.get('/statements/a%00b/lines/1/messages')).status).toBe(404)
  expect((await accountant.call('POST', '/tariffs/simulations', { body: { period: '9999-12', tariffId: 'mail' } })).json().error).toMatchObject({ code: 'bad-request', message: expect.stringContaining('too far away') })
  expect((await accountant.call('POST', '/corrections', { body: { kind: 'cancel', why: 'xxx', transactionId: '../../etc', dryRun: true } })).json().error).toMatchObject({ code: 'bad-request', message: expect.stringContaining('is no id of a message') })
})
