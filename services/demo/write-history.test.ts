import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Value from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventSchemas, type TollgateEvent, type TransactionEnded } from '../contracts/event.ts'
import { timeMsOfTransactionId } from '../contracts/transaction-id.ts'
import { openOperatorLog } from '../kit/operator-log.ts'
import { readConfig } from '../kit/read-config.ts'
import { arrivalTimes, historyStart } from './arrival-times.ts'
import { demoConfig } from './demo-config.ts'
import { demoDirectory } from './main.ts'
import { SeededRandom } from './seeded-random.ts'
import { writeHistory } from './write-history.ts'

const uptoMs = Date.parse('2026-11-24T15:00:00Z')
let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tollgate-history-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function write(name: string, options: { seed?: string; signal?: AbortSignal; onProgress?: (share: number) => void } = {}) {
  const reading = readConfig(null, {})
  if ('faults' in reading) throw new Error('the defaults are right')
  const config = demoConfig(reading.config, join(folder, name), 'embedded')
  const log = openOperatorLog('test', { level: 'silent' })
  return await writeHistory({ config, log, directory: demoDirectory(), version: '0', seed: 'a', sessionCount: 700, uptoMs, ...options })
}

const events = (name: string): TollgateEvent[] => {
  const place = join(folder, name, 'events')
  return readdirSync(place).sort().flatMap((file) => readFileSync(join(place, file), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as TollgateEvent))
}
const digest = (name: string): string => {
  const hash = createHash('sha256')
  for (const event of events(name)) hash.update(JSON.stringify(event))
  return hash.digest('hex')
}

describe('the history of the demo', () => {
  let all: TollgateEvent[] = []
  let transactions: TransactionEnded[] = []
  beforeAll(async () => {
    expect(await write('first')).toBeGreaterThan(600)
    all = events('first')
    transactions = all.filter((event) => event.kind === 'transaction.ended')
  })

  it('holds only events of the schema, numbered without a gap, in the order of time', () => {
    for (const event of all) expect([...Value.Errors(eventSchemas[event.kind], event)]).toEqual([])
    expect(all.map((event) => event.seq)).toEqual(all.map((_, index) => index + 1))
    const times = all.map((event) => event.at)
    expect(times).toEqual([...times].sort())
    expect(all.at(-1)!.kind).toBe('gateway.stopped')
  })

  it('begins with the month before, and has no message of the time to come', () => {
    const times = transactions.map((event) => timeMsOfTransactionId(event.transactionId))
    expect(new Date(times[0]!).toISOString().slice(0, 8)).toBe('2026-10-')
    expect(Math.max(...times)).toBeLessThanOrEqual(uptoMs)
  })

  it('shows what the demo is for: refusals early and late, marks, aborts, scans, several recipients, blocked clients', () => {
    const kinds = new Set(transactions.map((event) => `${event.outcome} ${event.reason ?? ''}`.trim()))
    for (const kind of ['accepted', 'marked', 'refused rule', 'refused weight', 'refused unknown-recipient', 'refused client-blocked', 'refused relay-denied']) {
      expect(kinds).toContain(kind)
    }
    const rules = new Set(transactions.map((event) => event.decidingRuleId))
    const hits = new Set(transactions.flatMap((event) => event.evaluations.flatMap((one) => one.hits.map(({ ruleId }) => ruleId))))
    for (const rule of ['no-confirmed-reverse-name', 'reverse-name-is-dynamic', 'from-far-away']) expect(hits).toContain(rule)
    expect(new Set(transactions.map((event) => event.remote.country)).size).toBeGreaterThan(5)
    for (const rule of ['virus-test-file', 'executable-attachment', 'blocked-sender']) expect(rules).toContain(rule)
    expect(new Set(transactions.map((event) => event.remote.networkClass))).toEqual(new Set(['public', 'device', 'trusted']))
    expect(transactions.some((event) => event.recipients.length > 1 && new Set(event.recipients.map((one) => one.outcome)).size > 1)).toBe(true)
    expect(transactions.filter((event) => event.declaredSizeBytes !== null).length).toBeGreaterThan(100)
    expect(transactions.filter((event) => event.declaredSizeBytes === null).length).toBeGreaterThan(50)
  })

  it('finishes every message that was accepted, with as many recipients as were taken', () => {
    const queued = transactions.filter((event) => event.queueId !== null)
    const finished = new Map(all.flatMap((event) => (event.kind === 'message.finished' ? [[event.queueId, event.deliveredCount + event.failedCount] as const] : [])))
    const taken = new Map(queued.map((event) => [event.queueId!, event.recipients.filter((one) => one.outcome === 'accepted').length]))
    expect(finished).toEqual(new Map(taken))
  })

  it('tells of every delivery when it happens, not later', () => {
    const lateMs = all.map((event) => (event.kind === 'delivery.attempted' ? Date.parse(event.at) - Date.parse(event.endedAt) : 0))
    expect(Math.max(...lateMs)).toBeLessThan(3_600_000)
  })

  it('is the same, line for line, for the same seed, and another for another', async () => {
    await write('same')
    await write('other', { seed: 'b' })
    expect(digest('same')).toBe(digest('first'))
    expect(digest('other')).not.toBe(digest('first'))
  })

  it('comes out the same after it was interrupted, and is not written again once it is there', async () => {
    const stopping = new AbortController()
    await write('cut', { signal: stopping.signal, onProgress: (share) => share > 0.3 && stopping.abort() })
    expect(events('cut').length).toBeLessThan(all.length)
    // A crash leaves a torn line too.
    const place = join(folder, 'cut', 'events')
    writeFileSync(join(place, readdirSync(place).sort().at(-1)!), '{"kind":"trans', { flag: 'a' })
    expect(await write('cut', { seed: 'ignored' })).toBeGreaterThan(600)
    expect(digest('cut')).toBe(digest('first'))
    expect(await write('cut')).toBe(0)
  })
})

it('mail is many by day and little by night and on weekends', () => {
  const fromMs = historyStart(uptoMs, 'Europe/Berlin')
  expect(new Date(fromMs).toISOString()).toBe('2026-09-30T22:00:00.000Z')
  const times = arrivalTimes(fromMs, uptoMs, 20_000, 'Europe/Berlin', new SeededRandom('x'))
  expect(Math.abs(times.length - 20_000)).toBeLessThan(500)
  expect(times.every((time, index) => time >= (times[index - 1] ?? fromMs) && time < uptoMs)).toBe(true)
  const local = times.map((time) => new Date(time + 3_600_000))
  const count = (test: (date: Date) => boolean) => local.filter(test).length
  expect(count((date) => date.getUTCHours() === 10)).toBeGreaterThan(5 * count((date) => date.getUTCHours() === 3))
  expect(count((date) => date.getUTCDay() === 2)).toBeGreaterThan(2 * count((date) => date.getUTCDay() === 0))
})
