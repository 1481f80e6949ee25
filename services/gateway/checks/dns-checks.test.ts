import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DnsServer } from '../../../test/dns-server.ts'
import { configOf } from '../../../test/gateway-harness.ts'
import { NetworkTable } from '../policy/network-table.ts'
import type { Transaction } from '../session/transaction.ts'
import type { Check, Finding } from './check.ts'
import { dnsListCheck } from './dns-list.ts'
import { DnsResolver } from './dns-resolver.ts'
import { heloPlausibleCheck } from './helo-plausible.ts'
import { reverseDnsCheck } from './reverse-dns.ts'
import { senderDomainCheck } from './sender-domain.ts'

let server: DnsServer
let resolver: DnsResolver
let nowMs = 0

beforeEach(async () => {
  server = await DnsServer.start()
  nowMs = Date.UTC(2026, 10, 25)
  const { dns } = configOf(`checks: {dns: {servers: ['${server.address}'], timeoutMs: 1000, tries: 1}}`).checks
  resolver = new DnsResolver(dns, { nowMs: () => nowMs, monotonicUs: () => 0 })
})
afterEach(async () => {
  resolver.close()
  await server.stop()
})

type Known = { ip?: string; helo?: string | null; sender?: string }

async function ask(check: Check, { ip = '192.0.2.10', helo = 'client.example', sender = 'a@remote.example' }: Known) {
  const transaction = {
    facts: { helo, remote: { ip } },
    sender,
    policy: { domains: new Set(['corp.example']), networks: new NetworkTable([]) },
  } as unknown as Transaction
  return (await check.find({ transaction, stage: 'rcpt', recipient: null, message: null })) as Finding
}

describe('reverse-dns', () => {
  const pointer = '10.2.0.192.in-addr.arpa'
  const find = (ip = '192.0.2.10') => ask(reverseDnsCheck(resolver), { ip })

  it('is confirmed by the name that leads back, whichever of several it is', async () => {
    server.zones = {
      [pointer]: { PTR: ['Wrong.Remote.Example', 'mail.remote.example'] },
      'mail.remote.example': { A: ['192.0.2.9', '192.0.2.10'] },
      'wrong.remote.example': { A: ['192.0.2.11'] },
    }
    expect(await find()).toEqual({
      result: 'confirmed',
      detail: 'mail.remote.example',
      remote: { reverseName: 'mail.remote.example', forwardConfirmed: true },
    })
  })

  it('is unconfirmed where the name leads elsewhere or nowhere', async () => {
    server.zones = { [pointer]: { PTR: ['mail.remote.example'] }, 'mail.remote.example': { A: ['192.0.2.11'] } }
    const unconfirmed = {
      result: 'unconfirmed',
      remote: { reverseName: 'mail.remote.example', forwardConfirmed: false },
    }
    expect(await find()).toMatchObject(unconfirmed)
    server.zones = { '11.2.0.192.in-addr.arpa': { PTR: ['mail.elsewhere.example'] } }
    expect(await find('192.0.2.11')).toMatchObject({ result: 'unconfirmed' })
  })

  it('is none where there is no name, and unknown where nobody can tell', async () => {
    expect(await find()).toEqual({
      result: 'none',
      detail: null,
      remote: { reverseName: null, forwardConfirmed: false },
    })
    server.mishaps.set('11.2.0.192.in-addr.arpa', 'servfail')
    expect(await find('192.0.2.11')).toMatchObject({ result: 'unknown', remote: { forwardConfirmed: null } })
    server.zones = { '12.2.0.192.in-addr.arpa': { PTR: ['slow.remote.example'] } }
    server.mishaps.set('slow.remote.example', 'silent')
    const slow = await find('192.0.2.12')
    expect(slow).toMatchObject({
      result: 'unknown',
      remote: { reverseName: 'slow.remote.example', forwardConfirmed: null },
    })
    expect(slow.detail).toMatch(/in time/)
  })

  it('asks for an IPv6 address by its nibbles and compares addresses, not their texts', async () => {
    const nibbles = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa'
    server.zones = { [nibbles]: { PTR: ['six.example'] }, 'six.example': { AAAA: ['2001:0db8::0:1'] } }
    expect(await find('2001:db8::1')).toMatchObject({ result: 'confirmed' })
    expect(server.questions).toEqual([`PTR ${nibbles}`, 'AAAA six.example'])
  })

  it('follows five of a thousand names, and shows odd octets as question marks', async () => {
    server.zones = {
      [pointer]: { PTR: Array.from({ length: 1_000 }, (_, index) => `h${1_000 + index}.remote.example`) },
    }
    expect(await find()).toMatchObject({ result: 'unconfirmed', detail: 'h1000.remote.example' })
    expect(server.questions.filter((question) => question.startsWith('A '))).toHaveLength(5)
    server.zones = { '11.2.0.192.in-addr.arpa': { PTR: ['\u001b[31mred.example'] } }
    expect((await find('192.0.2.11')).remote!.reverseName).toMatch(/^\?[?0-9]*31mred\.example$/)
  })

  it('ends where a chain of aliases has no end', async () => {
    server.zones = {
      [pointer]: { PTR: ['a.loop.example'] },
      'a.loop.example': { CNAME: ['b.loop.example'] },
      'b.loop.example': { CNAME: ['a.loop.example'] },
    }
    expect(await find()).toMatchObject({ result: 'unconfirmed' })
  })
})

describe('helo-plausible', () => {
  const find = async (helo: string, ip = '192.0.2.10') =>
    (await ask(heloPlausibleCheck(resolver, 'MX.corp.example'), { helo, ip })).result

  it('tells each form from its neighbours without a question', async () => {
    for (const [helo, result] of [
      ['192.0.2.10', 'bare-ip'],
      ['2001:db8::1', 'bare-ip'],
      ['192.0.2', 'unresolvable'],
      ['[192.0.2.10]', 'ok'],
      ['[192.0.2.11]', 'literal-mismatch'],
      ['[192.0.2]', 'syntax'],
      ['client', 'syntax'],
      ['-a.example', 'syntax'],
      ['a_b.example', 'syntax'],
      [`${'x'.repeat(63)}.example`, 'unresolvable'],
      [`${'x'.repeat(64)}.example`, 'syntax'],
      ['mx.CORP.example', 'ours'],
      ['corp.example.', 'ours'],
      ['mx2.corp.example', 'unresolvable'],
      ['', 'syntax'],
    ]) {
      expect(`${helo} ${await find(helo!)}`).toBe(`${helo} ${result}`)
    }
    expect(await find('[IPv6:2001:DB8::1]', '2001:db8::1')).toBe('ok')
  })

  it('is ok with an address of either kind, and unknown only where none was found', async () => {
    server.zones = {
      'four.example': { A: ['198.51.100.1'] },
      'six.example': { AAAA: ['2001:db8::9'] },
      'mx.example': { MX: ['1 a.example'] },
    }
    expect(
      await Promise.all(['four.example', 'six.example', 'mx.example', 'no.example'].map((name) => find(name))),
    ).toEqual(['ok', 'ok', 'unresolvable', 'unresolvable'])
    server.mishaps.set('bad.example', 'refused')
    expect(await find('bad.example')).toBe('unknown')
  })
})

describe('sender-domain', () => {
  const find = async (sender: string) => (await ask(senderDomainCheck(resolver), { sender })).result

  it('tells who takes mail, who says it takes none, and who does not exist', async () => {
    server.zones = {
      'mx.example': { MX: ['10 b.mx.example', '20 a.mx.example'] },
      'a.example': { A: ['192.0.2.1'] },
      'six.example': { AAAA: ['2001:db8::1'] },
      'null.example': { MX: ['0 .'] },
      'both.example': { MX: ['0 .', '10 mail.both.example'] },
      'text.example': { TXT: ['hello'] },
      'xn--bcher-kva.example': { MX: ['1 mail.example'] },
    }
    server.mishaps.set('bad.example', 'servfail')
    for (const [sender, result] of [
      ['x@mx.example', 'mx'],
      ['x@MX.Example', 'mx'],
      ['x@a.example', 'a'],
      ['x@six.example', 'a'],
      ['x@null.example', 'null-mx'],
      ['x@both.example', 'mx'],
      ['x@text.example', 'none'],
      ['x@no.example', 'none'],
      ['x@bücher.example', 'mx'],
      ['x@[192.0.2.1]', 'a'],
      ['', 'no-domain'],
      ['Scanner 4', 'no-domain'],
      ['x@bad.example', 'unknown'],
    ]) {
      expect(`${sender} ${await find(sender!)}`).toBe(`${sender} ${result}`)
    }
    expect(server.count('MX no.example')).toBe(1)
    expect(server.count('A no.example')).toBe(0)
  })
})

describe('dnsbl', () => {
  const list = (of: 'ip' | 'helo-domain' | 'sender-domain' = 'ip') =>
    dnsListCheck(resolver, { name: 'one', zone: 'list.example', of })

  it('is named after its configuration and answers with what the list says, the lowest of several', async () => {
    server.zones = {
      '10.2.0.192.list.example': { A: ['127.0.0.10', '127.0.0.4', '127.0.1.2'] },
      '11.2.0.192.list.example': { A: ['127.0.0.2'] },
    }
    expect(list().name).toBe('dnsbl-one')
    expect(await ask(list(), {})).toEqual({ result: '127.0.0.4', detail: '127.0.0.4 127.0.0.10 127.0.1.2' })
    expect(await ask(list(), { ip: '192.0.2.11' })).toEqual({ result: '127.0.0.2', detail: null })
    expect(await ask(list(), { ip: '192.0.2.12' })).toMatchObject({ result: 'not-listed' })
  })

  it('asks for IPv6 by nibbles, and for domains by their names', async () => {
    const nibbles = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example'
    server.zones = { [nibbles]: { A: ['127.0.0.3'] }, 'bad.example.list.example': { A: ['127.0.0.2'] } }
    expect((await ask(list(), { ip: '2001:db8::1' })).result).toBe('127.0.0.3')
    expect((await ask(list('sender-domain'), { sender: 'x@Bad.example' })).result).toBe('127.0.0.2')
    expect((await ask(list('helo-domain'), { helo: 'bad.example' })).result).toBe('127.0.0.2')
    server.questions.length = 0
    for (const known of [{ sender: '' }, { sender: 'x@[192.0.2.1]' }])
      expect((await ask(list('sender-domain'), known)).result).toBe('not-listed')
    expect((await ask(list('helo-domain'), { helo: '192.0.2.10' })).result).toBe('not-listed')
    expect(server.questions).toEqual([])
  })

  it('is unknown where the list is broken: it answers everything, blocks our resolver, or fails', async () => {
    const listed = { A: ['127.0.0.2'] }
    server.zones = { '10.2.0.192.list.example': listed, '1.0.0.127.list.example': listed }
    expect(await ask(list(), {})).toMatchObject({ result: 'unknown', detail: 'the list answers everything' })
    server.zones = { '11.2.0.192.list.example': { A: ['127.255.255.254', '127.0.0.2'] } }
    expect((await ask(list(), { ip: '192.0.2.11' })).result).toBe('unknown')
    server.zones = { '12.2.0.192.list.example': { A: ['203.0.113.80'] } }
    expect((await ask(list(), { ip: '192.0.2.12' })).result).toBe('unknown')
    server.mishaps.set('13.2.0.192.list.example', 'servfail')
    expect((await ask(list(), { ip: '192.0.2.13' })).result).toBe('unknown')
  })
})

describe('the resolver', () => {
  it('asks once what is in the cache: addresses as long as their TTL, the rest as configured', async () => {
    server.zones = { 'a.example': { A: ['192.0.2.1'], MX: ['1 b.example'] } }
    server.ttlSeconds = 30
    const all = async () => {
      for (const [name, kind] of [
        ['a.example', 'A'],
        ['a.example', 'MX'],
        ['no.example', 'A'],
      ] as const)
        await resolver.ask(name, kind)
      return ['A a.example', 'MX a.example', 'A no.example'].map((question) => server.count(question))
    }
    expect(await all()).toEqual([1, 1, 1])
    expect(await all()).toEqual([1, 1, 1])
    nowMs += 29_999
    expect(await all()).toEqual([1, 1, 1])
    nowMs += 1
    expect(await all()).toEqual([2, 1, 1])
    nowMs += 30_000
    expect(await all()).toEqual([3, 1, 2])
    nowMs += 240_000
    expect((await all())[1]).toBe(2)
  })

  it('keeps no failure, and nothing with a TTL of 0', async () => {
    server.mishaps.set('bad.example', 'servfail')
    for (const count of [1, 2]) {
      expect(await resolver.ask('bad.example', 'A')).toMatchObject({ status: 'unknown' })
      expect(server.count('A bad.example')).toBe(count)
    }
    server.zones = { 'now.example': { A: ['192.0.2.1'] } }
    server.ttlSeconds = 0
    for (const count of [1, 2]) {
      await resolver.ask('now.example', 'A')
      expect(server.count('A now.example')).toBe(count)
    }
  })

  it('asks once for all who ask the same at the same time', async () => {
    server.zones = { 'a.example': { A: ['192.0.2.1'] } }
    server.delayMs = 20
    const answers = await Promise.all(Array.from({ length: 50 }, () => resolver.ask('a.example', 'A')))
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set(['found']))
    expect(server.count('A a.example')).toBe(1)
  })

  it('repeats over TCP what was cut, and looks at a hundred of a thousand records', async () => {
    server.zones = {
      'cut.example': { A: ['192.0.2.1'] },
      'many.example': { TXT: Array.from({ length: 1_000 }, (_, index) => `text ${index}`) },
    }
    server.mishaps.set('cut.example', 'truncated')
    expect(await resolver.ask('cut.example', 'A')).toEqual({ status: 'found', records: ['192.0.2.1'] })
    const many = await resolver.ask('many.example', 'TXT')
    expect(many.status === 'found' && many.records.length).toBe(100)
    expect(server.tcpCount).toBe(2)
  })

  it('has an answer for what cannot be asked and for nonsense', async () => {
    for (const name of [
      '',
      '.',
      'a..b',
      'x'.repeat(64),
      `${'a.'.repeat(127)}b`,
      'a b.example',
      'ü.example',
      'a\u0000.example',
    ])
      expect(await resolver.ask(name, 'A')).toEqual({ status: 'none', hasName: false })
    expect(server.questions).toEqual([])
    server.mishaps.set('odd.example', 'garbage')
    expect(await resolver.ask('odd.example', 'A')).toMatchObject({ status: 'unknown' })
    server.mishaps.set('refused.example', 'refused')
    expect(await resolver.ask('refused.example', 'A')).toMatchObject({
      status: 'unknown',
      why: expect.stringMatching(/refused/),
    })
  })

  it('holds back questions beyond its bound, turns away what is far beyond, and keeps few answers', async () => {
    const { dns } = configOf('checks: {dns: {timeoutMs: 2000, tries: 1, concurrent: 4, cacheEntries: 8}}').checks
    const small = new DnsResolver({ ...dns, servers: [server.address] }, { nowMs: () => nowMs, monotonicUs: () => 0 })
    server.mishaps.set('*', 'silent')
    const asked = Array.from({ length: 60 }, (_, index) => small.ask(`n${index}.example`, 'A'))
    const turnedAway = await Promise.all(asked.slice(44))
    expect(new Set(turnedAway.map((answer) => answer.status === 'unknown' && answer.why))).toEqual(
      new Set(['too many questions']),
    )
    expect(small.counts.pending).toBe(44)
    expect(server.questions.length).toBeLessThanOrEqual(4)
    small.close()
    expect((await Promise.all(asked)).every(({ status }) => status === 'unknown')).toBe(true)
    server.mishaps.clear()
    const next = new DnsResolver({ ...dns, servers: [server.address] }, { nowMs: () => nowMs, monotonicUs: () => 0 })
    for (let index = 0; index < 20; index += 1) await next.ask(`m${index}.example`, 'A')
    expect(next.counts).toEqual({ cached: 8, pending: 0 })
    next.close()
  })
})
