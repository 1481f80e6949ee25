/** What each term of the trace language finds, through the whole way: event log, ingest, metering, HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Compile } from 'typebox/compile'
import { MessageDetail, MessageHistogram, MessageList, type MessageRow } from '../services/contracts/api.ts'
import type { EventBody, RuleHit, TransactionEnded } from '../services/contracts/event.ts'
import {
  createApiFixture,
  loggedRecipient,
  plainMessage,
  refusedRecipient,
  type ApiFixture,
  type Caller,
} from './api-fixture.ts'

const hit = (ruleId: string, shadow = false): RuleHit => ({
  ruleId,
  revision: 1,
  branch: 'then',
  attribute: 'subject',
  matchedText: 'x',
  weight: 2.5,
  marks: [],
  action: 'none',
  shadow,
})
const rulesetHash = 'a'.repeat(64)
const attempted = (
  id: string,
  recipients: [string, 'delivered' | 'deferred' | 'failed'][],
  host: string,
): EventBody => ({
  kind: 'delivery.attempted',
  transactionId: id,
  queueId: id,
  attempt: 1,
  startedAt: '2026-10-12T07:00:00.000Z',
  endedAt: '2026-10-12T07:00:00.030Z',
  nextHop: { route: '*', host, port: 25 },
  tls: null,
  recipients: recipients.map(([address, outcome]) => ({ address, outcome, reply: null, error: null })),
  sentBytes: 1_200,
  durationUs: 30_000,
})
const finished = (id: string, deliveredCount: number, failedCount: number): EventBody => ({
  kind: 'message.finished',
  transactionId: id,
  queueId: id,
  deliveredCount,
  failedCount,
  expiredCount: 0,
  ageMs: 40,
})

describe('trace', () => {
  let api: ApiFixture
  let admin: Caller
  const idOf: Record<string, string> = {}

  beforeAll(async () => {
    api = await createApiFixture({
      clients: [
        { id: 'acme', name: 'Acme', addresses: ['ann@corp.test', 'carl@corp.test'] },
        { id: 'globex', name: 'Globex', addresses: ['gus@globex.test'] },
      ],
    })
    await api.addUser('root', 'admin')
    await api.addUser('acme-user', 'client', 'acme')
    await api.addUser('globex-user', 'client', 'globex')
    admin = await api.login('root')
    const { log } = api
    const lines = [...log.segmentStart()]
    lines.push(
      log.line({
        kind: 'policy.loaded',
        part: 'ruleset',
        hash: rulesetHash,
        content: {
          markAt: 5,
          rejectAt: 10,
          lists: {},
          rules: [
            { id: 'spam-words', name: 'Words of <b>spam</b>' },
            { id: 'other', name: 'Other' },
          ],
        },
      }),
    )
    const add = (
      name: string,
      change: Partial<EventBody<TransactionEnded>>,
      ...after: ((id: string) => EventBody)[]
    ) => {
      const body = plainMessage(log, { subject: name, ...change })
      idOf[name] = body.transactionId
      lines.push(log.line(body), ...after.map((one) => log.line(one(body.transactionId))))
    }
    add(
      'plain',
      {},
      (id) => attempted(id, [['ann@corp.test', 'delivered']], 'inner.corp.test'),
      (id) => finished(id, 1, 0),
    )
    add('empty sender', { sender: '' })
    add('mixed case', {
      sender: 'Bo.Mixed@Partner.TEST',
      recipients: [loggedRecipient('Carl@Corp.test')],
      messageId: '<Odd_Id%1@x>',
    })
    add(
      'shared',
      {
        sender: 'eve@other.test',
        recipients: [
          loggedRecipient('Ann@corp.test'),
          loggedRecipient('gus@globex.test'),
          refusedRecipient('gone@corp.test'),
        ],
        headers: [
          { name: 'Delivered-To', value: 'gus@globex.test' },
          { name: 'From', value: 'eve' },
        ],
        evaluations: [
          { stage: 'rcpt', recipient: 0, weightBefore: 0, weightAfter: 0, hits: [hit('for-ann')], durationUs: 1 },
          { stage: 'rcpt', recipient: 1, weightBefore: 0, weightAfter: 0, hits: [hit('for-gus')], durationUs: 1 },
        ],
      },
      (id) => attempted(id, [['Ann@corp.test', 'delivered']], 'inner.corp.test'),
      (id) => attempted(id, [['gus@globex.test', 'failed']], 'mx.globex.test'),
      (id) => finished(id, 1, 1),
    )
    add('unknown user', {
      sender: 'eve@sub.other.test',
      recipients: [refusedRecipient('gone@corp.test')],
      outcome: 'refused',
      stage: 'rcpt',
      reason: 'unknown-recipient',
      messageBytes: null,
      dataBytes: 0,
      declaredSizeBytes: 48_000,
      queueId: null,
      messageId: null,
      remote: remote('198.51.100.9', 'FR'),
    })
    add('blocked client', {
      recipients: [{ ...refusedRecipient('gus@globex.test', 'globex'), reason: 'client-blocked' }],
      outcome: 'refused',
      stage: 'rcpt',
      reason: 'client-blocked',
      messageBytes: null,
      dataBytes: 0,
      queueId: null,
    })
    add('spam', {
      sender: 'promo@shop.test',
      outcome: 'refused',
      stage: 'complete',
      reason: 'rule',
      decidingRuleId: 'spam-words',
      weight: 12.5,
      rulesetHash,
      evaluations: [
        {
          stage: 'complete',
          recipient: null,
          weightBefore: 0,
          weightAfter: 12.5,
          hits: [hit('spam-words'), hit('shadow-rule', true)],
          durationUs: 3,
        },
      ],
      attachments: [{ name: 'a.zip', type: 'application/zip', sizeBytes: 10 }],
      queueId: null,
      remote: remote('2001:db8::5', null),
    })
    add('marked', {
      outcome: 'marked',
      weight: 6,
      recipients: [loggedRecipient('stranger@corp.test')],
      messageBytes: 2_000_000,
      dataBytes: 2_000_000,
      helo: 'MAIL.partner.test',
      authUser: 'scanner',
    })
    add('aborted', {
      outcome: 'aborted',
      stage: 'header',
      messageBytes: null,
      queueId: null,
      recipients: [loggedRecipient('ann@corp.test', { clientId: 'acme' })],
      weight: -3,
    })
    add('reset', {
      outcome: 'reset',
      stage: 'rcpt',
      messageBytes: null,
      queueId: null,
      recipients: [loggedRecipient('ann@corp.test', { clientId: 'acme' })],
    })
    add('nobody said MAIL', {
      sender: null,
      recipients: [],
      outcome: 'refused',
      stage: 'connect',
      reason: 'connection-limit',
      messageBytes: null,
      dataBytes: 0,
      queueId: null,
      subject: null,
    })
    add('100% off_the price', { sender: 'percent%user@a_b.test' })
    add('100x offXthe price', { sender: 'percentXuser@aXb.test' })
    add('found ways', { sender: 'ways@partner.test', messageId: '<ways>' })
    add('both refused', {
      outcome: 'refused',
      stage: 'rcpt',
      reason: 'client-quota',
      reply: { code: 550, enhanced: null, text: '<hank@corp.test> over quota' },
      decidingRuleId: 'for-hank',
      recipients: [
        { ...refusedRecipient('gus@globex.test', 'globex'), reason: 'client-blocked' },
        { ...refusedRecipient('hank@corp.test', 'acme'), reason: 'client-quota' },
      ],
      checks: [{ name: 'directory', stage: 'rcpt', result: 'hank@corp.test', detail: null, durationUs: 1 }],
      messageBytes: null,
      dataBytes: 0,
      queueId: null,
    })
    add('again', { duplicateOf: idOf['plain']!, reason: 'duplicate', queueId: null })
    add('kyrillisch: ОТЧЁТ', { sender: 'postmaster@bücher.example', recipients: [loggedRecipient('ann@corp.test')] })
    await api.ingest(lines)
  })
  afterAll(async () => await api.close())

  function remote(ip: string, country: string | null): TransactionEnded['remote'] {
    return {
      ip,
      port: 1,
      reverseName: null,
      forwardConfirmed: null,
      country,
      networkClass: 'public',
      networkName: null,
    }
  }

  const names = (rows: MessageRow[]) =>
    rows.map((row) => Object.entries(idOf).find(([, id]) => id === row.transactionId)![0]).reverse()
  const found = async (query: string, caller = admin) => {
    const answer = await caller.get(`/messages?q=${encodeURIComponent(query)}`)
    expect(answer.status, answer.text).toBe(200)
    return names((answer.json() as MessageList).rows)
  }
  const everything = () => Object.keys(idOf)
  const allBut = (...without: string[]) => everything().filter((name) => !without.includes(name))

  it('lists everything, newest first, for an empty query', async () => {
    expect(await found('')).toEqual(everything())
  })

  const cases: [string, string[]][] = [
    ['from:bo.mixed@partner.test', ['mixed case']],
    ['from:BO.MIXED@PARTNER.TEST', ['mixed case']],
    ['from:eve@other.test', ['shared']],
    ['from:@other.test', ['shared']],
    ['from:*@other.test', ['shared']],
    ['from:eve@', ['shared', 'unknown user']],
    ['from:eve*', ['shared', 'unknown user']],
    ['from:*OTHER*', ['shared', 'unknown user']],
    ['from:other', ['shared', 'unknown user']],
    ['from:<>', ['empty sender']],
    ['from:""', ['empty sender']],
    ['from:percent%user@a_b.test', ['100% off_the price']],
    ['from:t%u', ['100% off_the price']],
    ['from:percent%*', ['100% off_the price']],
    ['from:postmaster@bücher.example', ['kyrillisch: ОТЧЁТ']],
    ['from:"e*"', []],
    ['to:carl@corp.test', ['mixed case']],
    ['to:CARL@CORP.TEST', ['mixed case']],
    ['to:gone@corp.test', ['shared', 'unknown user']],
    ['to:@globex.test', ['shared', 'blocked client', 'both refused']],
    ['to:gus* from:eve*', ['shared']],
    ['subject:"off_the"', ['100% off_the price']],
    ['subject:100%', ['100% off_the price']],
    ['subject:OFF*PRICE', ['100% off_the price', '100x offXthe price']],
    ['subject:"OFF*PRICE"', []],
    ['subject:отчёт', ['kyrillisch: ОТЧЁТ']],
    ['verdict:refused', ['unknown user', 'blocked client', 'spam', 'nobody said MAIL', 'both refused']],
    ['verdict:aborted', ['aborted', 'reset']],
    ['verdict:reset', ['reset']],
    ['verdict:marked,aborted', ['marked', 'aborted', 'reset']],
    ['stage:connect', ['nobody said MAIL']],
    ['reason:unknown-recipient', ['shared', 'unknown user']],
    ['reason:rule', ['spam']],
    ['rule:spam-words', ['spam']],
    ['rule:sh*', ['spam']],
    ['rule:for-ann,for-gus', ['shared']],
    ['weight:>5', ['spam', 'marked']],
    ['weight:6', ['marked']],
    ['weight:<0', ['aborted']],
    ['size:>1M', ['marked']],
    ['size:48k', ['unknown user']],
    ['client:globex', ['shared', 'blocked client', 'both refused']],
    ['client:house', ['marked']],
    ['client:acme verdict:aborted', ['aborted', 'reset']],
    ['client:house,globex', ['shared', 'blocked client', 'marked', 'both refused']],
    ['domain:corp.test -to:ann@corp.test', ['mixed case', 'unknown user', 'marked', 'both refused']],
    ['domain:other.test', ['shared']],
    ['domain:*.other.test', ['unknown user']],
    ['ip:198.51.100.9', ['unknown user']],
    ['ip:198.51.0.0/16', ['unknown user']],
    ['ip:2001:db8::/32', ['spam']],
    ['country:fr', ['unknown user']],
    ['helo:mail.partner.test', ['marked']],
    ['helo:MAIL.*', ['marked']],
    ['hop:INNER.corp.test', ['plain', 'shared']],
    ['hop:mx.*', ['shared']],
    ['msgid:<Odd_Id%1@x>', ['mixed case']],
    ['msgid:Odd_Id%1@x', ['mixed case']],
    ['msgid:Odd_*', ['mixed case']],
    ['has:attachment', ['spam']],
    ['has:auth', ['marked']],
    ['has:declared', ['unknown user']],
    ['has:delivery', ['plain', 'shared']],
    ['has:duplicate', ['again']],
    ['has:failed', ['shared']],
    ['has:refused', ['shared', 'unknown user', 'blocked client', 'both refused']],
    ['has:rule', ['shared', 'spam']],
    ['has:shadow', ['spam']],
    [
      'has:queued',
      [
        'empty sender',
        'mixed case',
        'marked',
        '100% off_the price',
        '100x offXthe price',
        'found ways',
        'kyrillisch: ОТЧЁТ',
      ],
    ],
    ['ways', ['found ways']],
    ['eve', ['shared', 'unknown user']],
    ['Globex', ['shared', 'blocked client', 'both refused']],
    ['odd_id%1@x', []],
    ['Odd_Id%1@x', ['mixed case']],
    ['spam', ['spam']],
    ['price percent', ['100% off_the price', '100x offXthe price']],
    ['"100% off_the"', ['100% off_the price']],
    ['eve OR marked', ['shared', 'unknown user', 'marked']],
    ['verdict:refused (eve OR promo)', ['unknown user', 'spam']],
    ['verdict:refused -(eve OR promo)', ['blocked client', 'nobody said MAIL', 'both refused']],
    ['--weight:6', ['marked']],
    ['to:ann@corp.test from:promo@shop.test', ['spam']],
  ]
  it.each(cases)('%s', async (query, expected) => {
    expect(await found(query)).toEqual(expected)
  })

  it('excludes only what is known to match: an unknown value is not what was excluded', async () => {
    expect(await found('-from:eve*')).toEqual(allBut('shared', 'unknown user'))
    expect(await found('-country:fr')).toEqual(allBut('unknown user'))
    expect(await found('-subject:plain')).toEqual(allBut('plain'))
    expect(await found('-(-country:fr)')).toEqual(['unknown user'])
  })

  it('knows after: and before: by the end of a transaction, and the zone that a date is meant in', async () => {
    const endedAt = (await admin.get(`/messages/${idOf['shared']}`)).json().event.endedAt as string
    expect(await found(`before:${endedAt}`)).toEqual(['plain', 'empty sender', 'mixed case'])
    expect(await found(`after:${endedAt}`)).toEqual(allBut('plain', 'empty sender', 'mixed case'))
    const inZone = async (zone: string, query: string) =>
      ((await admin.get(`/messages?zone=${zone}&q=${query}`)).json() as MessageList).rows.length
    expect(await inZone('UTC', 'after:2026-10-12T06:00')).toBe(everything().length)
    expect(await inZone('America/New_York', 'after:2026-10-12T06:00')).toBe(0)
    expect(await inZone('Asia/Tokyo', 'before:2026-10-12T15:00')).toBe(0)
    expect((await admin.get('/messages?zone=Mars/Base')).json().error).toMatchObject({
      code: 'bad-request',
      message: expect.stringContaining('Mars/Base'),
    })
  })

  it('finds an exact id whatever else the query says, but never outside the scope', async () => {
    const id = idOf['unknown user']!
    expect(await found(`id:${id} verdict:accepted after:-1m from:nobody`)).toEqual(['unknown user'])
    expect(await found(`${id.toUpperCase()} before:2001`)).toEqual(['unknown user'])
    expect(await found(`queue:${idOf['plain']} id:${idOf['spam']} size:1`)).toEqual(['plain', 'spam'])
    expect(await found(`-id:${id}`)).toEqual(allBut('unknown user'))
    expect(await found(`id:${id}`, await api.login('acme-user'))).toEqual([])
  })

  it('answers a mistake with its place and the nearest key', async () => {
    const answer = await admin.get(`/messages?q=${encodeURIComponent('a verdct:refused')}`)
    expect(answer.status).toBe(400)
    expect(answer.json().error).toMatchObject({
      code: 'bad-query',
      position: { from: 2, upto: 8 },
      suggestion: 'verdict',
    })
    expect((await admin.get('/messages/histogram?q=(')).json().error.code).toBe('bad-query')
    expect((await admin.get('/messages?cursor=x')).json().error.code).toBe('bad-request')
    expect((await admin.get('/messages?limit=0')).json().error).toEqual({
      code: 'bad-request',
      message: 'querystring.limit must be >= 1',
    })
  })

  it('counts in the histogram what the list shows, also where several ways lead to one message', async () => {
    for (const [query] of cases) {
      const bounded = `(${query}) after:2026-10-12T06:00Z before:2026-10-12T07:00Z`
      const histogram = (
        await admin.get(`/messages/histogram?q=${encodeURIComponent(bounded)}`)
      ).json() as MessageHistogram
      const rows = await found(bounded)
      expect(histogram.matchedCount, query).toBe(String(rows.length))
      const inBuckets = histogram.buckets
        .flatMap((bucket) => Object.values(bucket.outcomes))
        .reduce((sum, count) => sum + count, 0)
      expect(inBuckets, query).toBe(rows.length)
      expect(histogram.buckets.length).toBeLessThanOrEqual(120)
    }
  })

  it('keeps the shapes that the contracts promise', async () => {
    const [list, histogram, detail] = [Compile(MessageList), Compile(MessageHistogram), Compile(MessageDetail)]
    expect([...list.Errors((await admin.get('/messages')).json())]).toEqual([])
    expect([...histogram.Errors((await admin.get('/messages/histogram')).json())]).toEqual([])
    for (const id of Object.values(idOf))
      expect([...detail.Errors((await admin.get(`/messages/${id}`)).json())]).toEqual([])
  })

  it('says where delivery stands', async () => {
    const rows = ((await admin.get('/messages')).json() as MessageList).rows
    const delivery = Object.fromEntries(rows.map((row) => [names([row])[0], row.delivery]))
    expect(delivery).toMatchObject({
      plain: 'delivered',
      shared: 'partly',
      marked: 'queued',
      spam: null,
      again: null,
      reset: null,
    })
  })

  it('tells in the detail what the rule set was, what was billed and what is near', async () => {
    const spam = (await admin.get(`/messages/${idOf['spam']}`)).json() as MessageDetail
    expect(spam.ruleNames).toEqual({ 'spam-words': 'Words of <b>spam</b>' })
    expect(spam.thresholds).toEqual({ markAt: 5, rejectAt: 10 })
    expect(spam.usage).toMatchObject([
      { recipient: 'ann@corp.test', clientId: 'acme', clientName: 'Acme', fullBytes: '1000', billable: false },
    ])
    const shared = (await admin.get(`/messages/${idOf['shared']}`)).json() as MessageDetail
    expect(shared.deliveries.map((delivery) => delivery.nextHop.host)).toEqual(['inner.corp.test', 'mx.globex.test'])
    expect(shared.finished).toMatchObject({ deliveredCount: 1, failedCount: 1 })
    expect(shared.usage.map((entry) => [entry.recipient, entry.clientId])).toEqual([
      ['ann@corp.test', 'acme'],
      ['gus@globex.test', 'globex'],
    ])
    expect(shared.event.recipients).toHaveLength(3)
  })

  it('gives to each near link the count of its own list, without the message itself', async () => {
    for (const name of everything()) {
      const detail = (await admin.get(`/messages/${idOf[name]}`)).json() as MessageDetail
      for (const link of detail.near) {
        const others = (await found(link.query)).filter((other) => other !== name)
        expect(String(others.length), `${name}: ${link.query}`).toBe(link.count)
      }
    }
    const near = ((await admin.get(`/messages/${idOf['again']}`)).json() as MessageDetail).near
    expect(near.map((link) => link.label)).toContain('duplicate-of')
    expect(near.map((link) => link.label)).toContain('same-sender')
  })

  it('answers not-found for an id that is none, or of no message', async () => {
    for (const id of ['x', '00000000-0000-7000-8000-000000000000', '%00', '..%2F']) {
      expect((await admin.get(`/messages/${id}`)).json().error.code, id).toBe('not-found')
    }
  })

  describe('for a client', () => {
    let acme: Caller
    let globex: Caller
    beforeAll(async () => {
      acme = await api.login('acme-user')
      globex = await api.login('globex-user')
    })

    it('holds only messages that it pays for, or that were refused to its addresses', async () => {
      expect(await found('', globex)).toEqual(['shared', 'blocked client', 'both refused'])
      expect(await found('', acme)).toEqual(allBut('unknown user', 'blocked client', 'marked', 'nobody said MAIL'))
    })

    it('never tells who else received a message, in rows, counts, detail or by what a query finds', async () => {
      const [row] = ((await globex.get('/messages?q=subject:shared')).json() as MessageList).rows
      expect(row).toMatchObject({
        recipients: [{ address: 'gus@globex.test', outcome: 'accepted' }],
        recipientCount: 1,
        acceptedCount: 1,
        delivery: 'failed',
      })
      const answer = await globex.get(`/messages/${idOf['shared']}`)
      expect(answer.text).not.toMatch(/ann@corp|gone@corp|for-ann|inner\.corp|Acme/i)
      const detail = answer.json() as MessageDetail
      expect(
        detail.event.evaluations.map((evaluation) => [evaluation.recipient, evaluation.hits[0]!.ruleId]),
      ).toEqual([[0, 'for-gus']])
      expect(detail.usage).toMatchObject([{ recipient: 'gus@globex.test' }])
      expect(detail.finished).toMatchObject({ deliveredCount: 0, failedCount: 1 })
      expect((await acme.get(`/messages/${idOf['shared']}`)).text).not.toMatch(/globex|gone@/i)
      for (const query of [
        'to:ann@corp.test',
        'to:gone*',
        'ann',
        'domain:corp.test',
        'rule:for-ann',
        'hop:inner.corp.test',
        'reason:unknown-recipient',
        'client:acme',
        'has:refused subject:shared',
        'to:@corp.test',
      ]) {
        expect(await found(query, globex), query).toEqual([])
      }
      expect(
        await found('to:gus@globex.test rule:for-gus hop:mx.globex.test has:failed client:globex', globex),
      ).toEqual(['shared'])
      expect(await found('has:failed', acme)).toEqual([])
      for (const query of ['reason:client-quota', 'rule:for-hank', 'quota subject:nothing', 'to:hank*'])
        expect(await found(query, globex), query).toEqual([])
      const refused = ((await globex.get('/messages?q=subject:both')).json() as MessageList).rows
      expect(refused).toMatchObject([
        { reason: 'client-blocked', decidingRuleId: null, replyCode: 550, replyText: null },
      ])
      expect((await globex.get(`/messages/${idOf['both refused']}`)).text).not.toMatch(/hank|quota/)
      expect(await found('-to:ann@corp.test', globex)).toEqual(['shared', 'blocked client', 'both refused'])
    })

    it('answers the same for a message of somebody else and for none', async () => {
      const other = await globex.get(`/messages/${idOf['plain']}`)
      expect(other.status).toBe(404)
      expect(other.json()).toEqual(
        (await globex.get(`/messages/${idOf['plain']!.replace(/.$/, (last) => (last === '0' ? '1' : '0'))}`)).json(),
      )
    })

    it('counts in histogram and near links only its own', async () => {
      const histogram = (await globex.get('/messages/histogram?q=after:2026-10-12')).json() as MessageHistogram
      expect(histogram.matchedCount).toBe('3')
      const detail = (await globex.get(`/messages/${idOf['blocked client']}`)).json() as MessageDetail
      for (const link of detail.near)
        expect((await found(link.query, globex)).length - 1, link.query).toBe(Number(link.count))
    })
  })

  it('gives what a remote wrote back as plain text', async () => {
    const nasty = '=HYPERLINK("http://x";"<script>alert(1)</script>") \u202e\r\n\t\u0007 🙂'
    const body = plainMessage(api.log, {
      subject: nasty,
      sender: '"<img src=x>"@partner.test',
      headers: [{ name: 'X-Evil', value: nasty }],
      helo: nasty,
    })
    await api.ingest([api.log.line(body)])
    idOf[nasty] = body.transactionId
    const answer = await admin.get('/messages?limit=1')
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(answer.headers['x-content-type-options']).toBe('nosniff')
    expect((answer.json() as MessageList).rows[0]).toMatchObject({
      subject: nasty,
      sender: '"<img src=x>"@partner.test',
    })
    const detail = (await admin.get(`/messages/${body.transactionId}`)).json() as MessageDetail
    expect(detail.event).toMatchObject({ subject: nasty, helo: nasty, headers: [{ name: 'X-Evil', value: nasty }] })
    for (const link of detail.near)
      expect((await admin.get(`/messages?q=${encodeURIComponent(link.query)}`)).status).toBe(200)
  })
})
