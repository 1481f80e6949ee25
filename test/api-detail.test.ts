/** Everything about one message: rules that did not hit, the timeline, the connection, billing, what is near. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MessageDetail } from '../services/contracts/api.ts'
import type { EventBody, TransactionEnded } from '../services/contracts/event.ts'
import { timeMsOfTransactionId } from '../services/contracts/transaction-id.ts'
import { compileRuleset } from '../services/rules/compile-ruleset.ts'
import { loggedRuleset } from '../services/rules/ruleset-hash.ts'
import { rulesetOf } from '../services/rules/ruleset-faults.ts'
import { createApiFixture, loggedRecipient, plainMessage, refusedRecipient, type ApiFixture, type Caller } from './api-fixture.ts'
import { judgeLive, type Mail } from './live-transaction.ts'

const any = { attribute: 'remote.ip', exists: true }
const rulesetWith = (lists: object, ...rules: object[]) => {
  const read = rulesetOf({ markAt: 5, rejectAt: 8, lists, rules: rules.map((rule, index) => ({ id: `rule-${index}`, when: any, then: {}, ...rule })) })
  if ('faults' in read) throw new Error(JSON.stringify(read.faults))
  return compileRuleset(read.ruleset)
}
const longList = Array.from({ length: 1_001 }, (_, index) => `s${index}@list.test`)
const compiled = rulesetWith(
  {},
  { name: 'Everybody', stage: 'connect', then: { weight: 1.5 } },
  { name: 'Nobody', stage: 'connect', when: { attribute: 'remote.ip', cidr: '198.51.100.0/24' }, then: { weight: 9 } },
  { name: 'Bad sender', stage: 'mail', when: { attribute: 'sender', matches: 'eve' }, then: { reject: { text: 'Go away' } } },
  { name: 'Too late', stage: 'complete', then: { weight: 1 } },
)
const listed = rulesetWith({ known: longList }, { name: 'Listed', stage: 'mail', when: { attribute: 'sender', in: 'known' }, then: { weight: 1 } })

describe('the detail of a message', () => {
  let api: ApiFixture
  let admin: Caller
  let acme: Caller
  const idOf: Record<string, string> = {}

  beforeAll(async () => {
    api = await createApiFixture({ clients: [{ id: 'acme', name: 'Acme', addresses: ['ann@corp.test'] }] })
    await api.addUser('root', 'admin')
    await api.addUser('acme-user', 'client', 'acme')
    admin = await api.login('root')
    acme = await api.login('acme-user')
    const { log } = api
    const lines = [...log.segmentStart()]
    const line = (body: EventBody) => void lines.push(log.line(body))
    for (const rules of [compiled, listed])
      line({ kind: 'policy.loaded', part: 'ruleset', hash: rules.hash, content: loggedRuleset(rules.ruleset) })
    const add = (name: string, change: Partial<EventBody<TransactionEnded>> = {}): EventBody<TransactionEnded> => {
      const body = plainMessage(log, { subject: name, ...change })
      idOf[name] = body.transactionId
      line(body)
      return body
    }
    const judged = (mail: Mail, rules = compiled): Partial<EventBody<TransactionEnded>> => {
      const { transactionId: _id, sessionId: _session, kind: _kind, queueId: _queue, startedAt: _s, endedAt: _e, ...rest } = judgeLive(mail, rules)
      const { tenantId: _t, node: _n, boot: _b, seq: _q, at: _at, ...body } = rest as typeof rest & Record<string, unknown>
      return body as Partial<EventBody<TransactionEnded>>
    }
    add('refused by rule', { ...judged({ sender: 'eve@partner.test', recipients: ['ann@corp.test'] }), queueId: null, subject: null })
    add('taken', judged({ sender: 'bo@partner.test', recipients: ['ann@corp.test'] }))
    add('listed', judged({ sender: longList[7]!, recipients: ['ann@corp.test'] }, listed))
    add('not listed', judged({ sender: 'bo@partner.test', recipients: ['ann@corp.test'] }, listed))
    add('other rules', { rulesetHash: 'f'.repeat(64) })

    const travelled = add('travelled', { outcome: 'quarantined', queueId: null })
    const at = (ms: number) => new Date(timeMsOfTransactionId(travelled.transactionId) + ms).toISOString()
    const queued = { transactionId: travelled.transactionId, queueId: travelled.transactionId }
    line({ kind: 'session.closed', sessionId: travelled.sessionId, listener: null, remote: travelled.remote, helo: null, tls: null,
      openedAt: at(-50), closedAt: at(20), verbs: [{ verb: 'MAIL', acceptedCount: 1, refusedCount: 0 }], receivedBytes: 1_400, sentBytes: 300,
      violations: ['bare-lf'], closedBy: 'timeout', transactionCount: 2, unflushedTransactionIds: [travelled.transactionId] })
    log.nowMs += 60_000
    line({ kind: 'quarantine.released', transactionId: travelled.transactionId, by: 'anna' })
    line({ kind: 'delivery.attempted', ...queued, attempt: 1, startedAt: at(120_000), endedAt: at(120_500),
      nextHop: { route: 'corp.test', host: 'inner.corp.test', port: 25 }, tls: null,
      recipients: [{ address: 'ann@corp.test', outcome: 'delivered', reply: null, error: null }], sentBytes: 1_100, durationUs: 500_000 })
    log.nowMs += 120_000
    line({ kind: 'message.finished', ...queued, deliveredCount: 1, failedCount: 0, expiredCount: 0, ageMs: 180_000 })

    const device = { ...plainMessage(log).remote, ip: '10.1.2.3', networkClass: 'device' as const, networkName: 'printers' }
    const scan = { remote: device, sender: 'scan@corp.test', recipients: [loggedRecipient('ann@corp.test')] }
    for (const name of ['scan 1 of 3', 'scan 2 of 3', 'scan 3 of 3']) add(name, scan)
    add('scan to another', { ...scan, recipients: [loggedRecipient('ben@corp.test')] })
    log.nowMs += 3_600_000
    add('scan of the afternoon', scan)

    const retried = { sender: 'news@partner.test', recipients: [refusedRecipient('gone@corp.test')], outcome: 'refused' as const, stage: 'rcpt' as const, queueId: null }
    add('first try', retried)
    add('second try', retried)
    const once = add('once', { messageId: '<twice@partner.test>' })
    add('twice', { messageId: '<twice@partner.test>', duplicateOf: once.transactionId, reason: 'duplicate' })
    await api.ingest(lines)
  })
  afterAll(async () => await api.close())

  const detailOf = async (name: string, caller = admin) => (await caller.get(`/messages/${idOf[name]}`)).json() as MessageDetail
  const near = async (name: string) => Object.fromEntries((await detailOf(name)).near.map((one) => [one.label, one.count]))

  it('tells every rule of the rule set: what hit, what ran and did not, what was never reached and why', async () => {
    const { rules, rulesUnknown } = await detailOf('refused by rule')
    expect(rulesUnknown).toBeNull()
    expect(rules!.map((rule) => [rule.name, rule.stage, rule.result, rule.weightAfter])).toEqual([
      ['Everybody', 'connect', 'hit', 1.5],
      ['Nobody', 'connect', 'missed', 1.5],
      ['Bad sender', 'mail', 'hit', 1.5],
      ['Too late', 'complete', 'not-run', 1.5],
    ])
    expect(rules!.at(-1)!.whyNot).toContain('rule-2')
    expect((await detailOf('taken')).rules!.map((rule) => rule.result)).toEqual(['hit', 'missed', 'missed', 'hit'])
  })

  it('says why it cannot tell them, and does not tell what the log contradicts', async () => {
    expect(await detailOf('travelled')).toMatchObject({ rules: null, rulesUnknown: 'not-logged' })
    expect(await detailOf('other rules')).toMatchObject({ rules: null, rulesUnknown: 'no-content' })
    // The list is logged by its hash alone: recomputed without it, the rule would not hit.
    expect(await detailOf('listed')).toMatchObject({ rules: null, rulesUnknown: 'not-reproducible', ruleNames: { 'rule-0': 'Listed' } })
    expect((await detailOf('not listed')).rules).toMatchObject([{ result: 'missed' }])
  })

  it('tells one story in order, from the connection to the last delivery', async () => {
    const { timeline, session, deliveries } = await detailOf('travelled')
    expect(timeline.map((entry) => [entry.kind, entry.stage, entry.by])).toEqual([
      ['connected', null, null],
      ...['connect', 'helo', 'mail', 'rcpt', 'header', 'complete'].map((stage) => ['stage', stage, null]),
      ['ended', 'complete', null],
      ['closed', null, 'timeout'],
      ['released', null, 'anna'],
      ['attempted', null, null],
      ['finished', null, null],
    ])
    expect(timeline[0]!.at).toBe(session!.openedAt)
    expect(deliveries[timeline.find((entry) => entry.kind === 'attempted')!.delivery!]!.nextHop.host).toBe('inner.corp.test')
    expect(session).toMatchObject({ closedBy: 'timeout', receivedBytes: '1400', sentBytes: '300', violations: ['bare-lf'], transactionCount: 2, isReplyWritten: false })
    const stopped = (await detailOf('first try')).timeline
    expect(stopped.filter((entry) => entry.kind === 'stage').map((entry) => entry.stage)).toEqual(['connect', 'helo', 'mail', 'rcpt'])
  })

  it('tells in which month it is billed, and how recipients count there', async () => {
    expect(await detailOf('taken')).toMatchObject({ billing: { period: '2026-10', mode: 'full', isMetered: true }, usage: [{ clientId: 'acme', correction: '0' }] })
  })

  it('links the parts of a scan, tries of the same envelope, and duplicates, and only those', async () => {
    expect(await near('scan 2 of 3')).toMatchObject({ 'scan-group': '2', 'same-sender': '4' })
    expect(await near('scan of the afternoon')).not.toHaveProperty('scan-group')
    expect(await near('first try')).toMatchObject({ retries: '1' })
    expect(await near('once')).toMatchObject({ duplicates: '1' })
    expect(await near('twice')).toMatchObject({ 'duplicate-of': '1' })
    expect(await near('taken')).not.toHaveProperty('retries')
    for (const name of Object.keys(idOf)) {
      for (const link of (await detailOf(name)).near) {
        const { rows } = (await admin.get(`/messages?limit=500&q=${encodeURIComponent(link.query)}`)).json() as { rows: { transactionId: string }[] }
        expect(String(rows.filter((row) => row.transactionId !== idOf[name]).length), `${name}: ${link.query}`).toBe(link.count)
      }
    }
  })

  it('shows a client neither the other rules, nor the connection, nor who released its mail', async () => {
    const detail = await detailOf('travelled', acme)
    expect(detail).toMatchObject({ rules: null, rulesUnknown: 'not-shown', session: null })
    expect(detail.timeline.find((entry) => entry.kind === 'released')).toMatchObject({ by: null })
    expect((await acme.get(`/messages/${idOf['refused by rule']}`)).text).not.toMatch(/Nobody|Too late/)
  })
})
