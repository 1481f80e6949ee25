import { generateKeyPairSync } from 'node:crypto'
import { createRequire } from 'node:module'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DnsServer } from '../../../test/dns-server.ts'
import { configOf } from '../../../test/gateway-harness.ts'
import type { PluginMessage } from '../plugins/plugin-contract.ts'
import type { Transaction } from '../session/transaction.ts'
import { dkimCheck, dkimOf } from './dkim.ts'
import { dmarcChecks, dmarcOf } from './dmarc.ts'
import { DnsResolver } from './dns-resolver.ts'
import type { Check, Finding } from './check.ts'
import { spfCheck, spfOf } from './spf.ts'

const { dkimSign } = createRequire(import.meta.url)('mailauth/lib/dkim/sign') as {
  dkimSign(message: string, options: object): Promise<{ signatures: string }>
}
const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 })
const key = privateKey.export({ type: 'pkcs8', format: 'pem' })
const keyRecord = `v=DKIM1; k=rsa; p=${publicKey.export({ type: 'spki', format: 'der' }).toString('base64')}`

let server: DnsServer
let resolver: DnsResolver
let checks: { spf: Check; dkim: Check; dmarc: Check; 'dmarc-policy': Check }
const clock = { nowMs: () => Date.UTC(2026, 10, 25), monotonicUs: () => 0 }

beforeEach(async () => {
  server = await DnsServer.start()
  const { dns } = configOf(`checks: {dns: {servers: ['${server.address}'], timeoutMs: 1000, tries: 1}}`).checks
  resolver = new DnsResolver(dns, clock)
  const [askSpf, askDkim] = [spfOf(resolver, 'mx.test'), dkimOf(resolver, clock)]
  const [dmarc, dmarcPolicy] = dmarcChecks(dmarcOf(resolver, askSpf, askDkim))
  checks = { spf: spfCheck(askSpf), dkim: dkimCheck(askDkim), dmarc: dmarc!, 'dmarc-policy': dmarcPolicy! }
})
afterEach(async () => {
  resolver.close()
  await server.stop()
})

type Mail = { ip?: string; helo?: string; sender?: string; message?: string; chunkBytes?: number }

async function ask(
  name: keyof typeof checks,
  mail: Mail,
  seen: { readCount: number } = { readCount: 0 },
): Promise<Finding> {
  const {
    ip = '192.0.2.10',
    helo = 'client.example',
    sender = 'a@remote.example',
    message = '',
    chunkBytes = 1_000_000,
  } = mail
  const transaction = { facts: { helo, remote: { ip } }, sender } as unknown as Transaction
  const octets = Buffer.from(message, 'latin1')
  const whole: PluginMessage = {
    transaction,
    sizeBytes: octets.length,
    digest: '',
    async *octets() {
      seen.readCount += 1
      for (let at = 0; at < octets.length; at += chunkBytes) yield octets.subarray(at, at + chunkBytes)
    },
  }
  return checks[name].find({ transaction, stage: 'complete', recipient: null, message: whole })
}

describe('spf', () => {
  const result = async (record: string, mail: Mail = {}): Promise<string> => {
    const domain = `d${(domainCount += 1)}.example`
    server.zones[domain] = { TXT: ['something else', record] }
    return (await ask('spf', { sender: `a@${domain}`, ...mail })).result
  }
  let domainCount = 0

  it('answers in the words of RFC 7208, with both sides of each network', async () => {
    server.zones['mx.here.example'] = { A: ['192.0.2.10'] }
    server.zones['here.example'] = { MX: ['10 mx.here.example'], A: ['192.0.2.10'] }
    for (const [record, expected] of [
      ['v=spf1 ip4:192.0.2.8/30 -all', 'pass'],
      ['v=spf1 ip4:192.0.2.12/30 -all', 'fail'],
      ['v=spf1 ip4:192.0.2.12/30 ~all', 'softfail'],
      ['v=spf1 ip4:192.0.2.12/30 ?all', 'neutral'],
      ['v=spf1 mx:here.example -all', 'pass'],
      ['v=spf1 a:here.example -all', 'pass'],
      ['v=spf1 exists:nowhere.example -all', 'fail'],
      ['v=spf1 ip4:192.0.2.300 -all', 'permerror'],
      ['no record', 'none'],
    ]) {
      expect(`${record}: ${await result(record!)}`).toBe(`${record}: ${expected}`)
    }
    expect(await result('v=spf1 ip6:2001:db8::/64 -all', { ip: '2001:db8::1' })).toBe('pass')
    expect(await result('v=spf1 ip6:2001:db8::/64 -all', { ip: '2001:db8:0:1::1' })).toBe('fail')
    expect((await ask('spf', { sender: 'a@no.example' })).result).toBe('none')
  })

  it('asks about the name of HELO where there is no sender, and for the A-label of a domain', async () => {
    server.zones['mail.example'] = { TXT: ['v=spf1 ip4:192.0.2.10 -all'] }
    expect((await ask('spf', { sender: '', helo: 'mail.example' })).result).toBe('pass')
    server.zones['xn--bcher-kva.example'] = { TXT: ['v=spf1 -all'] }
    expect((await ask('spf', { sender: 'a@bücher.example' })).result).toBe('fail')
    expect((await ask('spf', { sender: '', helo: '192.0.2.10' })).result).toBe('none')
  })

  it('allows ten look-ups and not eleven, two that find nothing and not three, and ends a circle', async () => {
    const includes = (count: number) =>
      Array.from({ length: count }, (_, index) => `include:i${index}.example`).join(' ')
    for (let index = 0; index < 11; index += 1) server.zones[`i${index}.example`] = { TXT: ['v=spf1 ?all'] }
    expect(await result(`v=spf1 ${includes(10)} ip4:192.0.2.10 -all`)).toBe('pass')
    expect(await result(`v=spf1 ${includes(11)} ip4:192.0.2.10 -all`)).toBe('permerror')
    expect(await result('v=spf1 a:v1.example a:v2.example ip4:192.0.2.10 -all')).toBe('pass')
    expect(await result('v=spf1 a:v1.example a:v2.example a:v3.example ip4:192.0.2.10 -all')).toBe('permerror')
    server.zones['circle.example'] = { TXT: ['v=spf1 include:circle.example -all'] }
    const before = server.questions.length
    expect((await ask('spf', { sender: 'a@circle.example' })).result).toBe('permerror')
    expect(server.questions.length - before).toBe(1)
  })

  it('is unknown where a name server fails', async () => {
    server.mishaps.set('bad.example', 'servfail')
    expect((await ask('spf', { sender: 'a@bad.example' })).result).toBe('unknown')
    server.mishaps.set('slow.example', 'silent')
    expect(await result('v=spf1 include:slow.example -all')).toBe('unknown')
  })
})

/** What relaxed canonicalisation makes of no body, in SHA-256. */
const emptyBody = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='

const letter = (from = 'a@remote.example', body = 'Hello\r\n') =>
  `From: Ann <${from}>\r\nSubject: hi\r\nDate: Wed, 25 Nov 2026 00:00:00 +0000\r\n\r\n${body}`

async function signed(message: string, domain = 'remote.example', options: object = {}): Promise<string> {
  server.zones[`s1._domainkey.${domain}`] = { TXT: [keyRecord] }
  const { signatures } = await dkimSign(message, {
    canonicalization: 'relaxed/relaxed',
    signTime: new Date(clock.nowMs() - 1_000),
    signatureData: [{ signingDomain: domain, selector: 's1', privateKey: key, ...options }],
  })
  return signatures + message
}

describe('dkim', () => {
  const result = async (message: string, chunkBytes?: number) =>
    (await ask('dkim', { message, ...(chunkBytes === undefined ? {} : { chunkBytes }) })).result

  it('passes what was signed, in whatever pieces it comes, and fails what was changed by one octet', async () => {
    const message = await signed(letter('a@remote.example', 'Hello  there \r\n\r\n\r\n'))
    expect(await ask('dkim', { message })).toEqual({
      result: 'pass',
      detail: 'remote.example s1 pass',
      domains: ['remote.example'],
      from: ['a@remote.example'],
    })
    for (const chunkBytes of [1, 2, 7, 100]) expect(await result(message, chunkBytes)).toBe('pass')
    expect(await result(message.replace('Hello', 'Hallo'))).toBe('fail')
    expect(await result(message.replace('Subject: hi', 'Subject: ho'))).toBe('fail')
    expect(await result(await signed('From: a@remote.example\r\n\r\n'))).toBe('pass')
  })

  it('tells no signature, no key and no answer apart', async () => {
    expect(await result(letter())).toBe('none')
    expect(await result('\r\nFrom: a@remote.example\r\nDKIM-Signature: v=1\r\n\r\n')).toBe('none')
    const message = await signed(letter())
    server.zones = {}
    expect(await result(message)).toBe('fail')
    const other = await signed(letter('b@other.example'), 'other.example')
    server.mishaps.set('s1._domainkey.other.example', 'servfail')
    expect(await result(other)).toBe('unknown')
    expect(
      await result(letter().replace('Subject', 'DKIM-Signature: a=none; b=x; d=remote.example; s=s1\r\nSubject')),
    ).toBe('fail')
  })

  it('does not take a signature over part of the body for one over the message', async () => {
    const message = await signed(letter(), 'remote.example', { maxBodyLength: 7 })
    expect(message).toMatch(/l=7/)
    expect(await result(message)).toBe('pass')
    const longer = await ask('dkim', { message: `${message}Buy now\r\n` })
    expect(longer).toMatchObject({ result: 'fail', detail: expect.stringMatching(/only part/) as string })
  })

  it('reads a message once for dkim and dmarc, and not beyond the header of one without a signature', async () => {
    const seen = { readCount: 0 }
    const transaction = { facts: { helo: 'x', remote: { ip: '192.0.2.10' } }, sender: '' } as unknown as Transaction
    let octetCount = 0
    const message: PluginMessage = {
      transaction,
      sizeBytes: 0,
      digest: '',
      async *octets() {
        seen.readCount += 1
        for (const part of [letter(), ...Array.from({ length: 50 }, () => 'x'.repeat(98) + '\r\n')]) {
          octetCount += part.length
          yield Buffer.from(part)
        }
      },
    }
    const question = { transaction, stage: 'complete', recipient: null, message } as const
    await Promise.all([checks.dkim.find(question), checks.dmarc.find(question)])
    expect(seen.readCount).toBe(1)
    expect(octetCount).toBe(letter().length)
  })

  it('asks for ten of three hundred keys', async () => {
    const signature = (index: number) =>
      `DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d=d${index}.example; s=s1; h=from; l=${index};` +
      ` bh=${emptyBody}; b=AAAA\r\n`
    const signatures = Array.from({ length: 300 }, (_, index) => signature(index)).join('')
    const message = `${signatures}${letter('a@remote.example', '')}`
    expect(await result(message)).toBe('fail')
    expect(server.questions.length).toBe(10)
  })

  it('gives up on what would cost more than its size: headers, lines and blank lines without an end', async () => {
    const head = (await signed(letter())).split('\r\n\r\n')[0]!
    const folded = (lines: number) => `${head}\r\nX:${' x\r\n'.repeat(lines)}\r\n`
    const cases: [string, string, string][] = [
      [
        'header',
        `${head}\r\nX: ${'x'.repeat(65_536 - head.length - 9)}\r\n\r\n`,
        `${head}\r\nX: ${'x'.repeat(65_537 - head.length - 9)}\r\n\r\n`,
      ],
      ['header lines', folded(1_990 - head.split('\n').length), folded(2_001)],
      ['field', `${head}\r\nFrom: ${'x'.repeat(4_089)}\r\n\r\n`, `${head}\r\nFrom: ${'x'.repeat(4_090)}\r\n\r\n`],
      ['line', `${head}\r\n\r\n${'x'.repeat(262_143)}\r\n`, `${head}\r\n\r\n${'x'.repeat(262_144)}\r\n`],
      ['blank', `${head}\r\n\r\n${'\t\r\n'.repeat(100_000)}x\r\n`, `${head}\r\n\r\n${'\t\r\n'.repeat(100_001)}x\r\n`],
    ]
    for (const [name, within, beyond] of cases) {
      expect(`${name} ${await result(within)}`).not.toBe(`${name} unknown`)
      expect(`${name} ${await result(beyond)}`).toBe(`${name} unknown`)
    }
  })
})

describe('dmarc', () => {
  const policy = (domain: string, record: string) => (server.zones[`_dmarc.${domain}`] = { TXT: [record] })
  const result = async (mail: Mail) => (await ask('dmarc', mail)).result
  const allowed = (domain: string) => (server.zones[domain] = { TXT: ['v=spf1 ip4:192.0.2.10 -all'] })

  it('passes by DKIM of the domain in From, and fails without; the detail holds the policy', async () => {
    policy('remote.example', 'v=DMARC1; p=reject')
    expect(await ask('dmarc', { message: letter() })).toMatchObject({
      result: 'fail',
      detail: 'remote.example p=reject',
    })
    allowed('remote.example')
    allowed('other.example')
    const fromElsewhere = { message: letter(), sender: 'a@other.example' }
    expect(await result(fromElsewhere)).toBe('fail')
    expect(await result({ message: await signed(letter()), sender: 'a@other.example' })).toBe('pass')
    expect(await result({ message: await signed(letter(), 'other.example'), sender: 'a@other.example' })).toBe('fail')
  })

  it('passes by SPF alone', async () => {
    policy('remote.example', 'v=DMARC1; p=quarantine')
    allowed('remote.example')
    expect(await ask('dmarc', { message: letter() })).toMatchObject({
      result: 'pass',
      detail: 'remote.example p=quarantine',
    })
  })

  it('takes a subdomain for relaxed alignment and refuses it for strict', async () => {
    for (const domain of ['relaxed.example', 'strict.example']) {
      policy(domain, `v=DMARC1; p=reject; ${domain.startsWith('strict') ? 'adkim=s; aspf=s' : ''}`)
      allowed(`mail.${domain}`)
      const expected = domain.startsWith('strict') ? 'fail' : 'pass'
      expect(await result({ message: letter(`a@${domain}`), sender: `a@mail.${domain}` })).toBe(expected)
      expect(await result({ message: await signed(letter(`a@${domain}`), `mail.${domain}`) })).toBe(expected)
      expect(await result({ message: await signed(letter(`a@${domain}`), domain) })).toBe('pass')
    }
  })

  it('takes the policy for subdomains from the domain above', async () => {
    policy('remote.example', 'v=DMARC1; p=none; sp=reject; pct=20')
    expect(await ask('dmarc', { message: letter('a@sub.remote.example') })).toMatchObject({
      result: 'fail',
      detail: 'sub.remote.example p=reject pct=20',
    })
  })

  it('is none without a policy or a From, and of two in From the worse one', async () => {
    expect(await result({ message: letter() })).toBe('none')
    expect(await result({ message: 'Subject: hi\r\n\r\n' })).toBe('none')
    policy('bank.example', 'v=DMARC1; p=reject')
    expect(await result({ message: letter('x@free.example>, <y@bank.example') })).toBe('fail')
  })

  it('tells what the domain asks for, whatever became of the message', async () => {
    allowed('pass.example')
    for (const [domain, record, expected] of [
      ['a.example', 'v=DMARC1; p=reject', 'reject'],
      ['b.example', 'v=DMARC1; p=Quarantine', 'quarantine'],
      ['c.example', 'v=DMARC1; p=none', 'none'],
      ['d.example', 'v=DMARC1; p=burn', 'none'],
      ['pass.example', 'v=DMARC1; p=reject', 'reject'],
    ] as const) {
      policy(domain, record)
      expect((await ask('dmarc-policy', { message: letter(`a@${domain}`), sender: `a@${domain}` })).result).toBe(
        expected,
      )
    }
    expect((await ask('dmarc-policy', { message: letter('a@nothing.example') })).result).toBe('no-policy')
    server.mishaps.set('_dmarc.away.example', 'servfail')
    expect((await ask('dmarc-policy', { message: letter('a@away.example') })).result).toBe('unknown')
  })

  it('is unknown where no policy could be read, and where a look-up that could have passed it failed', async () => {
    server.mishaps.set('_dmarc.bad.example', 'servfail')
    expect(await result({ message: letter('a@bad.example'), sender: 'a@other.example' })).toBe('unknown')
    policy('remote.example', 'v=DMARC1; p=reject')
    server.mishaps.set('remote.example', 'servfail')
    expect(await result({ message: letter() })).toBe('unknown')
    expect(await result({ message: await signed(letter()) })).toBe('pass')
  })
})
