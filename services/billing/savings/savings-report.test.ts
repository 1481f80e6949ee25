import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { storeBatch, storedMessage, type StoredMessage } from '../../../test/billing-log.ts'
import { tenantWith } from '../../../test/billing-tenant.ts'
import { createTestDatabase, type TestDatabase } from '../../../test/test-database.ts'
import { meterBatch } from '../meter-batch.ts'
import { estimateOf } from './estimate.ts'
import { savingsReport, type SavingsOptions } from './savings-report.ts'

const hourMs = 3_600_000
const from = new Date('2026-09-01T00:00:00Z')
const upto = new Date('2026-10-01T00:00:00Z')
const maxMessageBytes = 50_000_000

type Try = { hours: number; ip: string; sender: string; recipients: string[]; declaredBytes: number | null; outcome: 'refused' | 'deferred' | 'accepted' }

const messageOf = ({ hours, ip, sender, recipients, declaredBytes, outcome }: Try, more: Partial<StoredMessage> = {}): StoredMessage =>
  storedMessage(new Date(from.getTime() + hours * hourMs), outcome === 'accepted' ? 700 : 0, recipients.map((address) => ({ address, outcome })), {
    outcome, stage: outcome === 'accepted' ? 'complete' : 'rcpt', remoteIp: ip, sender, declaredBytes,
    reason: outcome === 'accepted' ? null : outcome === 'refused' ? 'unknown-recipient' : 'rule',
    ...(outcome === 'accepted' ? {} : { messageBytes: null, dataBytes: 0 }), ...more,
  })

describe('the savings report', () => {
  let test: TestDatabase
  beforeAll(async () => {
    test = await createTestDatabase()
  })
  afterAll(async () => {
    await test.drop()
  })

  const report = (tenantId: string, more: Partial<SavingsOptions> = {}) =>
    savingsReport({ database: test.database, tenantId, from, upto, by: 'reason', now: new Date('2027-01-01T00:00:00Z'), maxMessageBytes, costPrice: null, ...more })

  async function tenantWithTries(tries: readonly Try[]): Promise<string> {
    const tenantId = await tenantWith(test.database)
    await storeBatch(test.database, tenantId, tries.map((one) => messageOf(one)))
    return tenantId
  }

  const spam = (hours: number, more: Partial<Try> = {}): Try => ({ hours, ip: '192.0.2.5', sender: 'spam@bad.test', recipients: ['no@corp.test'], declaredBytes: 1_000, outcome: 'refused', ...more })

  it('a savings log with retries and a greylisted message', async () => {
    const tenantId = await tenantWithTries([
      // One message, tried three times: the /24 is one sender, each try within 4 h of a final refusal.
      spam(1), spam(2, { ip: '192.0.2.77' }), spam(5.9),
      // More than 4 h behind a final refusal: another message.
      spam(10),
      // Greylisted, then taken: nothing saved.
      spam(20, { sender: 'new@good.test', outcome: 'deferred', recipients: ['ann@corp.test'], declaredBytes: 5_000 }),
      spam(20.5, { sender: 'new@good.test', outcome: 'accepted', recipients: ['ann@corp.test'], declaredBytes: 5_000 }),
      // Put off twice within 48 h and never seen again: saved once.
      spam(30, { sender: 'gone@bad.test', outcome: 'deferred', declaredBytes: 2_000 }), spam(77, { sender: 'gone@bad.test', outcome: 'deferred', declaredBytes: 2_000 }),
      // No size: a group of its own, beside the same one with a size.
      spam(40, { sender: 'plain@bad.test', declaredBytes: null }), spam(40.5, { sender: 'plain@bad.test', declaredBytes: 300 }),
      // More than the gateway takes would not have been sent.
      spam(50, { sender: 'huge@bad.test', declaredBytes: 900_000_000 }),
    ])
    const told = await report(tenantId)
    expect(told.total).toEqual({ groupCount: 6, attemptCount: 9, declaredCount: 5, floorBytes: String(1_000 + 1_000 + 2_000 + 300 + maxMessageBytes), undeclaredCount: 1 })
    expect(told.acceptedLater).toMatchObject({ groupCount: 1, floorBytes: '5000' })
    expect(told.coverage).toBe('0.8333')
    expect(told.estimate).toMatchObject({ bytes: null, estimatedCount: 0, notEnoughDataCount: 1 })
    expect(told.rows.map(({ label, groupCount }) => [label, groupCount])).toEqual([['rule', 1], ['unknown-recipient', 5]])
    // As it was an hour after the last deferral: nothing is known of that group yet.
    const early = await report(tenantId, { now: new Date(from.getTime() + 78 * hourMs) })
    expect([early.pending, early.total.groupCount]).toEqual([{ groupCount: 1, attemptCount: 2, declaredCount: 1, floorBytes: '2000', undeclaredCount: 0 }, 5])
    expect((await report(tenantId, { costPrice: '0.01' })).money).toEqual({ currency: 'EUR', costPrice: '0.01', floor: '0.50', estimate: null, ifKnown: '0.00' })
  })

  it.each([['refused', 4], ['deferred', 48]] as const)('a try %s joins for exactly %i hours, and not a millisecond longer', async (outcome, hours) => {
    const tries = (more: number): Try[] => [spam(1, { outcome }), spam(1 + hours + more / hourMs, { outcome })]
    expect((await report(await tenantWithTries(tries(0)))).total.groupCount).toBe(1)
    expect((await report(await tenantWithTries(tries(1)))).total.groupCount).toBe(2)
  })

  it('a message put off for two recipients and taken for one of them later saved nothing', async () => {
    const both = ['ann@corp.test', 'ben@corp.test']
    const put = spam(1, { outcome: 'deferred', recipients: both })
    expect((await report(await tenantWithTries([put, spam(2, { outcome: 'accepted', recipients: ['ann@corp.test'], declaredBytes: 1_200 })]))).acceptedLater.groupCount).toBe(1)
    expect((await report(await tenantWithTries([put, spam(2, { outcome: 'accepted', recipients: ['zoe@corp.test'] })]))).total.groupCount).toBe(1)
    expect((await report(await tenantWithTries([put, spam(2, { outcome: 'accepted', recipients: both, ip: '198.51.100.1' })]))).total.groupCount).toBe(1)
  })

  it('what others received saves nothing on the link, and what came and was refused saves nothing', async () => {
    const tenantId = await tenantWith(test.database)
    const taken = storedMessage('2026-09-02T00:00:00Z', 500, [{ address: 'ann@corp.test' }, { address: 'no@corp.test', outcome: 'refused' }, { address: 'nor@corp.test', outcome: 'deferred' }])
    const content = storedMessage('2026-09-02T00:00:00Z', 900, [{ address: 'ann@corp.test' }], { outcome: 'refused', stage: 'complete' })
    const tooLarge = messageOf(spam(30, { declaredBytes: 90_000_000 }), { reason: 'size-limit', stage: 'mail', recipients: [] })
    await storeBatch(test.database, tenantId, [taken, content, tooLarge])
    const told = await report(tenantId)
    expect([told.total.groupCount, told.deliveriesAvoided, told.receivedAndRefused]).toEqual([0, 1, { count: 1, bytes: '900' }])
    expect(told.tooLarge).toMatchObject({ groupCount: 1, declaredCount: 1 })
  })

  it('says what mode known would have refused: messages for nobody registered, and recipients of others', async () => {
    const tenantId = await tenantWith(test.database, {}, { acme: ['ann@corp.test'] })
    await meterBatch(test.database, tenantId, await storeBatch(test.database, tenantId, [
      storedMessage('2026-09-02T00:00:00Z', 400, ['who@corp.test', 'where@corp.test']),
      storedMessage('2026-09-02T00:00:00Z', 300, ['who@corp.test', 'ann@corp.test']),
      storedMessage('2026-09-02T00:00:00Z', 200, ['postmaster@corp.test']),
      storedMessage('2026-09-02T00:00:00Z', 100, [{ address: 'x@else.test', direction: 'outbound' }]),
    ]))
    expect((await report(tenantId)).ifKnown).toEqual({ messageCount: 1, bytes: '400', deliveriesAvoided: 1 })
  })

  it('sees nothing of another tenant', async () => {
    const tenantId = await tenantWithTries([spam(1)])
    await tenantWithTries([spam(2), spam(40)])
    expect((await report(tenantId)).total).toMatchObject({ groupCount: 1, attemptCount: 1 })
  })

  const oneTry = fc.record({
    // Near the limits of 4 and 48 hours, to the minute.
    hours: fc.oneof(fc.nat(29 * 24 * 60).map((minutes) => minutes / 60), fc.constantFrom(0, 4, 48, 52, 96, 100, 4 + 1 / 60, 48 + 1 / 60, -1, -47, -50, 719, 721)),
    ip: fc.constantFrom('192.0.2.5', '192.0.2.200', '192.0.3.5', '2001:db8::1', '2001:db8::ffff', '2001:db8:0:1::1'),
    sender: fc.constantFrom('a@x.test', 'b@x.test'),
    recipients: fc.subarray(['p@corp.test', 'q@corp.test'], { minLength: 1 }),
    declaredBytes: fc.constantFrom(null, 1_000, 60_000_000),
    outcome: fc.constantFrom('refused' as const, 'deferred' as const, 'accepted' as const),
  })

  it('groups as a reader of the rules would, whatever the tries and their order', async () => {
    await fc.assert(fc.asyncProperty(fc.array(oneTry, { minLength: 1, maxLength: 14 }), fc.integer(), async (tries, seed) => {
      const shuffled = tries.toSorted((a, b) => Math.sin(seed + a.hours) - Math.sin(seed + b.hours))
      const distinct = [...new Map(shuffled.map((one) => [one.hours, one])).values()]
      const told = await report(await tenantWithTries(distinct))
      const expected = referenceGroups(distinct)
      const figures = (state: string) => {
        const own = expected.filter((group) => group.state === state)
        const declared = own.filter(({ bytes }) => bytes !== null)
        return { groupCount: own.length, attemptCount: own.reduce((sum, { attempts }) => sum + attempts, 0), declaredCount: declared.length,
          floorBytes: String(declared.reduce((sum, { bytes }) => sum + Math.min(bytes!, maxMessageBytes), 0)), undeclaredCount: own.length - declared.length }
      }
      expect([told.total, told.acceptedLater, told.pending]).toEqual([figures('saved'), figures('accepted-later'), figures('pending')])
    }), { numRuns: 60 })
  }, 120_000)

  it('a try that joins a group raises nothing, and floors of two halves of a month are the floor of the whole', async () => {
    await fc.assert(fc.asyncProperty(fc.array(oneTry, { minLength: 1, maxLength: 10 }), fc.nat(719), fc.nat(60), async (tries, cutHour, minutes) => {
      const distinct = [...new Map(tries.map((one) => [one.hours, one])).values()]
      const tenantId = await tenantWithTries(distinct)
      const whole = await report(tenantId)
      const middle = new Date(from.getTime() + cutHour * hourMs + 30_000)
      const halves = [await report(tenantId, { upto: middle }), await report(tenantId, { from: middle })]
      expect(halves.reduce((sum, half) => sum + BigInt(half.total.floorBytes), 0n)).toBe(BigInt(whole.total.floorBytes))
      // The same try again, within 4 h of a refusal and at a time of its own.
      const first = distinct.find(({ outcome, hours }) => outcome === 'refused' && hours >= 0 && hours < 719)
      if (first === undefined) return
      const again = { ...first, hours: first.hours + (minutes + 0.5) / 60 }
      const raised = await report(await tenantWithTries([...distinct, again]))
      expect(BigInt(raised.total.floorBytes) <= BigInt(whole.total.floorBytes)).toBe(true)
    }), { numRuns: 25 })
  }, 120_000)
})

it('estimates with an interval that grows with what is predicted and what is not known', () => {
  const samples = new Map([['public', { count: 100, mean: 1_000, deviation: 200 }], ['device', { count: 29, mean: 9_000, deviation: 1 }]])
  // SE = 200 √(25 (1 + 25/100)) = 1118.03…, times 1.96.
  expect(estimateOf(new Map([['public', 25], ['device', 3]]), samples)).toEqual({ sampleCount: 100, bytes: '25000', fromBytes: '22809', uptoBytes: '27191', estimatedCount: 25, notEnoughDataCount: 3 })
  expect(estimateOf(new Map(), samples)).toMatchObject({ bytes: null, notEnoughDataCount: 0 })
})

type Group = { firstHour: number; lastHour: number; attempts: number; bytes: number | null; state: string }

/** Straight from the rules: tries in the order of time, each joins the last of its like or begins a group. */
function referenceGroups(tries: readonly Try[]): Group[] {
  const groups: (Group & { key: string; last: Try; isTaken: boolean; isFinal: boolean })[] = []
  const networkOf = (ip: string): string => (ip.includes(':') ? (ip.startsWith('2001:db8:0:1:') ? 'v6b' : 'v6a') : ip.split('.').slice(0, 3).join('.'))
  for (const one of tries.toSorted((a, b) => a.hours - b.hours)) {
    const key = JSON.stringify([networkOf(one.ip), one.sender, [...one.recipients].sort(), one.declaredBytes])
    const open = groups.findLast((group) => group.key === key)
    const limit = open?.last.outcome === 'refused' ? 4 : 48
    const joins = open !== undefined && open.last.outcome !== 'accepted' && Math.round((one.hours - open.last.hours) * 60) <= limit * 60
    if (one.outcome === 'accepted') {
      // An acceptance with no try before it is no group; it parts those around it.
      if (joins) Object.assign(open, { last: one, isTaken: true })
      else groups.push({ key, firstHour: NaN, lastHour: NaN, attempts: 0, bytes: null, state: '', last: one, isTaken: true, isFinal: false })
      continue
    }
    const isFinal = one.outcome === 'refused'
    if (joins) Object.assign(open, { last: one, lastHour: one.hours, attempts: open.attempts + 1, isFinal: open.isFinal || isFinal })
    else groups.push({ key, firstHour: one.hours, lastHour: one.hours, attempts: 1, bytes: one.declaredBytes, state: '', last: one, isTaken: false, isFinal })
  }
  // Some of its recipients had the message after all, whatever size it then declared.
  const cameLater = ({ last, firstHour, lastHour }: (typeof groups)[number]): boolean => tries.some((one) =>
    one.outcome === 'accepted' && networkOf(one.ip) === networkOf(last.ip) && one.sender === last.sender
    && one.recipients.some((recipient) => last.recipients.includes(recipient)) && one.hours > firstHour && Math.round((one.hours - lastHour) * 60) <= 48 * 60)
  return groups
    .filter(({ attempts, firstHour }) => attempts > 0 && firstHour >= 0 && firstHour < 720)
    .map((group) => ({ ...group, state: group.isFinal ? 'saved' : group.isTaken || cameLater(group) ? 'accepted-later' : 'saved' }))
}
