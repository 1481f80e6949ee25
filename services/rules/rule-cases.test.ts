/** What conditions match and what they do not: each row with a mail on either side of its boundary. */
import { describe, expect, it } from 'vitest'
import { judgeLive, type Mail } from '../../test/live-transaction.ts'
import type { Attachment, CheckResult } from '../contracts/event.ts'
import type { Stage } from '../contracts/vocabulary.ts'
import { compileRuleset } from './compile-ruleset.ts'
import { rulesetOf } from './ruleset-faults.ts'
import type { Condition } from './ruleset.ts'

type Row = [stage: Stage, when: Condition, hit: Mail, miss: Mail]

const lists = {
  partners: ['Partner.test', 'friend.test'],
  senders: ['Boss@corp.test'],
  networks: ['10.0.0.0/8', '2001:db8::/32'],
  'far-away': ['KP', 'AQ'],
}

const text = (attribute: string, matches: string, caseSensitive?: boolean): Condition =>
  caseSensitive === undefined ? { attribute, matches } : { attribute, matches, caseSensitive }
const header = (name: string, value: string): Mail => ({ headers: [{ name, value }] })
const part = (name: string | null, type = 'application/pdf', sizeBytes = 1_000): Attachment => ({
  name,
  type,
  sizeBytes,
})
const check = (name: string, result: string, stage: Stage = 'mail'): CheckResult => ({
  name,
  stage,
  result,
  detail: null,
  durationUs: 1,
})
const many = (count: number, unknown = 0): string[] => [
  ...Array.from({ length: unknown }, (_, index) => `!gone${index}@corp.test`),
  ...Array.from({ length: count }, (_, index) => `user${index}@corp.test`),
]

const rows: Row[] = [
  // regular expressions
  ['helo', text('helo', '^localhost$'), { helo: 'localhost' }, { helo: 'localhost.test' }],
  ['helo', text('helo', '^localhost$'), { helo: 'LOCALHOST' }, { helo: 'my-localhost' }],
  ['helo', text('helo', '^localhost$', true), { helo: 'localhost' }, { helo: 'Localhost' }],
  ['helo', text('helo', '^[0-9]{1,3}(\\.[0-9]{1,3}){3}$'), { helo: '192.0.2.1' }, { helo: '[192.0.2.1]' }],
  ['helo', text('helo', 'dyn[0-9]+'), { helo: 'x-dyn7.test' }, { helo: 'x-dyn.test' }],
  ['mail', text('sender', '^[0-9]{5,}@'), { sender: '12345@x.test' }, { sender: '1234@x.test' }],
  ['mail', text('sender', '^$'), { sender: '' }, { sender: 'a@x.test' }],
  ['mail', text('sender.domain', '^partner\\.test$'), { sender: 'a@PARTNER.test' }, { sender: 'a@sub.partner.test' }],
  ['rcpt', text('recipient', '^sales@'), { recipients: ['Sales@corp.test'] }, { recipients: ['presales@corp.test'] }],
  ['header', text('subject', '\\bcasino\\b'), { subject: 'The CASINO calls' }, { subject: 'casinos' }],
  ['header', text('subject', 'a.b'), { subject: 'a\nb' }, { subject: 'ab' }],
  ['header', text('subject', 'ÄPFEL'), { subject: 'frische äpfel' }, { subject: 'frische apfel' }],
  ['header', text('subject', '^.{3}$'), { subject: '日本語' }, { subject: '日本' }],
  ['header', text('subject', '^.$'), { subject: '😀' }, { subject: '😀😀' }],
  ['header', text('subject', 'win.*prize'), { subject: 'win a big prize' }, { subject: 'a prize to win' }],
  ['header', text('header.X-Mailer', 'bulk'), header('x-mailer', 'BulkMail 3'), header('X-Mailers', 'BulkMail 3')],
  [
    'header',
    text('header.Received', 'evil'),
    {
      headers: [
        { name: 'Received', value: 'from good' },
        { name: 'RECEIVED', value: 'from evil' },
      ],
    },
    { headers: [{ name: 'Received', value: 'from good' }] },
  ],
  [
    'complete',
    text('attachment.name', '\\.exe$'),
    { attachments: [part('a.pdf'), part('A.EXE')] },
    { attachments: [part('a.exe.pdf')] },
  ],
  ['complete', text('attachment.name', '.'), { attachments: [part('a')] }, { attachments: [part(null)] }],
  [
    'complete',
    text('attachment.type', '^image/'),
    { attachments: [part(null, 'image/png')] },
    { attachments: [part('image/')] },
  ],
  ['connect', text('remote.ip', '^10\\.'), { remote: { ip: '10.0.0.1' } }, { remote: { ip: '110.0.0.1' } }],
  [
    'connect',
    text('remote.reverseName', 'dsl'),
    { remote: { reverseName: 'x.dsl.test' } },
    { remote: { reverseName: null } },
  ],
  // equals
  ['helo', { attribute: 'helo', equals: 'localhost' }, { helo: 'LocalHost' }, { helo: 'localhost.' }],
  [
    'helo',
    { attribute: 'helo', equals: 'localhost', caseSensitive: true },
    { helo: 'localhost' },
    { helo: 'LocalHost' },
  ],
  ['mail', { attribute: 'sender', equals: '' }, { sender: '' }, { sender: 'x@y.test' }],
  [
    'connect',
    { attribute: 'remote.forwardConfirmed', equals: false },
    { remote: { forwardConfirmed: false } },
    { remote: { forwardConfirmed: null } },
  ],
  [
    'connect',
    { attribute: 'remote.forwardConfirmed', equals: true },
    { remote: { forwardConfirmed: true } },
    { remote: { forwardConfirmed: false } },
  ],
  ['connect', { attribute: 'remote.networkClass', equals: 'device' }, { remote: { networkClass: 'device' } }, {}],
  [
    'connect',
    { attribute: 'remote.networkName', equals: 'scanners' },
    { remote: { networkName: 'scanners' } },
    { remote: { networkName: null } },
  ],
  [
    'mail',
    { attribute: 'declaredSizeBytes', equals: 1000 },
    { declaredSizeBytes: 1000 },
    { declaredSizeBytes: 1001 },
  ],
  ['mail', { attribute: 'tls', equals: 'TLSv1.3' }, { tls: 'TLSv1.3' }, { tls: 'TLSv1.2' }],
  [
    'rcpt',
    { attribute: 'recipient.domain', equals: 'corp.test' },
    { recipients: ['a@CORP.test'] },
    { recipients: ['a@corp2.test'] },
  ],
  // lists
  [
    'mail',
    { attribute: 'sender.domain', in: 'partners' },
    { sender: 'x@partner.TEST' },
    { sender: 'x@partners.test' },
  ],
  ['mail', { attribute: 'sender', in: 'senders' }, { sender: 'boss@corp.test' }, { sender: 'bos@corp.test' }],
  [
    'mail',
    { attribute: 'sender', in: 'senders', caseSensitive: true },
    { sender: 'Boss@corp.test' },
    { sender: 'boss@corp.test' },
  ],
  ['mail', { attribute: 'sender', in: ['a@b.test', 'c@d.test'] }, { sender: 'C@d.test' }, { sender: 'c@d.tes' }],
  ['mail', { attribute: 'sender', in: [''] }, { sender: '' }, { sender: 'a@b.test' }],
  // networks
  [
    'connect',
    { attribute: 'remote.ip', cidr: '192.0.2.0/28' },
    { remote: { ip: '192.0.2.15' } },
    { remote: { ip: '192.0.2.16' } },
  ],
  [
    'connect',
    { attribute: 'remote.ip', cidr: ['192.0.2.1', '198.51.100.0/24'] },
    { remote: { ip: '198.51.100.255' } },
    { remote: { ip: '192.0.2.2' } },
  ],
  [
    'connect',
    { attribute: 'remote.ip', cidr: 'networks' },
    { remote: { ip: '2001:db8:1::9' } },
    { remote: { ip: '2001:db7::' } },
  ],
  [
    'connect',
    { attribute: 'remote.ip', cidr: 'networks' },
    { remote: { ip: '::ffff:10.9.8.7' } },
    { remote: { ip: '::ffff:11.0.0.0' } },
  ],
  [
    'connect',
    { attribute: 'remote.ip', cidr: '0.0.0.0/0' },
    { remote: { ip: '203.0.113.1' } },
    { remote: { ip: null } },
  ],
  ['helo', { attribute: 'helo', cidr: '192.0.2.0/24' }, { helo: '[192.0.2.1]' }, { helo: '[192.0.3.1]' }],
  ['helo', { attribute: 'helo', cidr: '2001:db8::/32' }, { helo: '[IPv6:2001:db8::1]' }, { helo: 'mail.test' }],
  // countries
  ['connect', { country: 'DE' }, { remote: { country: 'DE' } }, { remote: { country: null } }],
  ['connect', { country: ['fr', 'DE'] }, { remote: { country: 'FR' } }, { remote: { country: 'NL' } }],
  ['connect', { country: 'far-away' }, { remote: { country: 'AQ' } }, { remote: { country: 'DE' } }],
  ['connect', { not: { country: 'DE' } }, { remote: { country: null } }, { remote: { country: 'DE' } }],
  // numbers
  ['mail', { attribute: 'declaredSizeBytes', above: 1000 }, { declaredSizeBytes: 1001 }, { declaredSizeBytes: 1000 }],
  ['mail', { attribute: 'declaredSizeBytes', below: 1000 }, { declaredSizeBytes: 999 }, { declaredSizeBytes: 1000 }],
  ['mail', { attribute: 'declaredSizeBytes', below: 1000 }, { declaredSizeBytes: 0 }, { declaredSizeBytes: null }],
  ['complete', { attribute: 'messageBytes', between: [10, 20] }, { messageBytes: 10 }, { messageBytes: 9 }],
  ['complete', { attribute: 'messageBytes', between: [10, 20] }, { messageBytes: 20 }, { messageBytes: 21 }],
  ['complete', { attribute: 'messageBytes', above: 0.5 }, { messageBytes: 1 }, { messageBytes: 0 }],
  [
    'complete',
    { attribute: 'attachment.sizeBytes', above: 5000 },
    { attachments: [part('a'), part('b', 'x/y', 5001)] },
    { attachments: [part('b', 'x/y', 5000)] },
  ],
  ['rcpt', { attribute: 'recipientCount', above: 3 }, { recipients: many(4) }, { recipients: many(3) }],
  ['rcpt', { attribute: 'recipientCount', above: 3 }, { recipients: many(1, 3) }, { recipients: many(1, 2) }],
  ['rcpt', { attribute: 'refusedRecipientCount', above: 3 }, { recipients: many(1, 4) }, { recipients: many(4, 3) }],
  ['complete', { attribute: 'recipientCount', equals: 2 }, { recipients: many(1, 1) }, { recipients: many(1, 2) }],
  [
    'complete',
    { attribute: 'recipient', matches: '^user1@' },
    { recipients: many(2) },
    { recipients: ['!user1@corp.test', 'b@corp.test'] },
  ],
  // existence
  ['connect', { attribute: 'remote.reverseName', exists: false }, {}, { remote: { reverseName: 'a.test' } }],
  ['mail', { attribute: 'tls', exists: true }, { tls: 'TLSv1.2' }, { tls: null }],
  ['mail', { attribute: 'authUser', exists: true }, { authUser: 'ann' }, {}],
  ['mail', { attribute: 'sender', exists: true }, { sender: '' }, { isSessionRefusedByGateway: true }],
  ['mail', { attribute: 'declaredSizeBytes', exists: false }, {}, { declaredSizeBytes: 0 }],
  ['header', { attribute: 'header.Message-ID', exists: false }, header('From', 'a@b.test'), header('message-id', '')],
  ['header', { attribute: 'subject', exists: true }, { subject: '' }, { subject: null }],
  ['complete', { attribute: 'attachment.type', exists: true }, { attachments: [part(null)] }, {}],
  [
    'complete',
    { attribute: 'attachment.name', exists: false },
    { attachments: [part(null)] },
    { attachments: [part('a')] },
  ],
  // checks
  ['mail', { check: 'spf', is: 'fail' }, { checks: [check('spf', 'fail')] }, { checks: [check('spf', 'pass')] }],
  [
    'mail',
    { check: 'spf', is: ['fail', 'softfail'] },
    { checks: [check('spf', 'softfail')] },
    { checks: [check('spf', 'neutral')] },
  ],
  ['mail', { check: 'spf', is: 'unknown' }, {}, { checks: [check('spf', 'pass')] }],
  [
    'mail',
    { check: 'spf', is: 'unknown' },
    { checks: [check('spf', 'unknown')] },
    { checks: [check('spf', 'fail')] },
  ],
  [
    'mail',
    { not: { check: 'spf', is: 'pass' } },
    { checks: [check('spf', 'fail')] },
    { checks: [check('spf', 'unknown')] },
  ],
  ['mail', { not: { check: 'spf', is: 'pass' } }, { checks: [check('spf', 'none')] }, {}],
  [
    'helo',
    { check: 'dnsbl-one', is: '127.0.0.2' },
    { checks: [check('dnsbl-one', '127.0.0.2', 'helo')] },
    { checks: [check('dnsbl-one', '127.0.0.2', 'mail')] },
  ],
  ['complete', { attribute: 'check.dkim', matches: '^f' }, { checks: [check('dkim', 'fail', 'complete')] }, {}],
  // a check of each kind, from its first stage on
  [
    'connect',
    { check: 'reverse-dns', is: 'none' },
    { checks: [check('reverse-dns', 'none', 'connect')] },
    { checks: [check('reverse-dns', 'confirmed', 'connect')] },
  ],
  [
    'connect',
    { check: 'dnsbl-one', is: ['127.0.0.2', '127.0.0.4'] },
    { checks: [check('dnsbl-one', '127.0.0.4', 'connect')] },
    { checks: [check('dnsbl-one', '127.0.0.3', 'connect')] },
  ],
  [
    'connect',
    { check: 'dnsbl-one', is: 'not-listed' },
    { checks: [check('dnsbl-one', 'not-listed', 'connect')] },
    { checks: [check('dnsbl-two', 'not-listed', 'connect')] },
  ],
  [
    'connect',
    { attribute: 'check.dnsbl-one', matches: '^127\\.0\\.1\\.' },
    { checks: [check('dnsbl-one', '127.0.1.9', 'connect')] },
    { checks: [check('dnsbl-one', 'unknown', 'connect')] },
  ],
  [
    'connect',
    { not: { check: 'dnsbl-one', is: 'not-listed' } },
    { checks: [check('dnsbl-one', '127.0.0.2', 'connect')] },
    { checks: [check('dnsbl-one', 'unknown', 'connect')] },
  ],
  [
    'helo',
    { check: 'helo-plausible', is: ['syntax', 'bare-ip'] },
    { checks: [check('helo-plausible', 'bare-ip', 'helo')] },
    { checks: [check('helo-plausible', 'ok', 'helo')] },
  ],
  [
    'mail',
    { check: 'sender-domain', is: ['none', 'null-mx'] },
    { checks: [check('sender-domain', 'null-mx')] },
    { checks: [check('sender-domain', 'a')] },
  ],
  [
    'mail',
    { check: 'sender-list', is: 'white' },
    { checks: [check('sender-list', 'white')] },
    { checks: [check('sender-list', 'black')] },
  ],
  [
    'mail',
    { check: 'rate-remote', is: 'over' },
    { checks: [check('rate-remote', 'over')] },
    { checks: [check('rate-remote', 'within')] },
  ],
  [
    'rcpt',
    { check: 'greylist', is: 'wait' },
    { checks: [{ ...check('greylist', 'wait', 'rcpt'), recipient: 0 }] },
    { checks: [{ ...check('greylist', 'wait', 'rcpt'), recipient: 1 }] },
  ],
  [
    'rcpt',
    { check: 'trap', is: ['listed', 'unknown'] },
    { checks: [{ ...check('trap', 'unknown', 'rcpt'), recipient: 0 }] },
    { checks: [{ ...check('trap', 'clear', 'rcpt'), recipient: 0 }] },
  ],
  [
    'complete',
    { check: 'greylist', is: 'known' },
    {
      recipients: ['a@corp.test', 'b@corp.test'],
      checks: [
        { ...check('greylist', 'passed', 'rcpt'), recipient: 0 },
        { ...check('greylist', 'known', 'rcpt'), recipient: 1 },
      ],
    },
    {
      recipients: ['a@corp.test', '!b@corp.test'],
      checks: [
        { ...check('greylist', 'passed', 'rcpt'), recipient: 0 },
        { ...check('greylist', 'known', 'rcpt'), recipient: 1 },
      ],
    },
  ],
  [
    'complete',
    { check: 'dkim', is: 'none' },
    { checks: [check('dkim', 'none', 'complete')] },
    { checks: [check('dkim', 'pass', 'complete')] },
  ],
  [
    'complete',
    { check: 'dmarc', is: 'fail' },
    { checks: [check('dmarc', 'fail', 'complete')] },
    { checks: [check('dmarc', 'unknown', 'complete')] },
  ],
  [
    'complete',
    { check: 'plugin-clamd', is: 'infected' },
    { checks: [check('plugin-clamd', 'infected', 'complete')] },
    { checks: [check('plugin-clamd', 'clean', 'complete')] },
  ],
  [
    'complete',
    { all: [{ check: 'spf', is: 'fail' }, { not: { check: 'dkim', is: 'pass' } }] },
    { checks: [check('spf', 'fail'), check('dkim', 'none', 'complete')] },
    { checks: [check('spf', 'fail'), check('dkim', 'unknown', 'complete')] },
  ],
  [
    'complete',
    { any: [{ check: 'spf', is: 'fail' }, { check: 'dkim', is: 'fail' }] },
    { checks: [check('spf', 'unknown'), check('dkim', 'fail', 'complete')] },
    { checks: [check('spf', 'unknown'), check('dkim', 'pass', 'complete')] },
  ],
  [
    'mail',
    { attribute: 'check.spf', in: ['fail', 'softfail'] },
    { checks: [check('spf', 'softfail')] },
    { checks: [check('spf', 'unknown')] },
  ],
  ['mail', { attribute: 'check.spf', exists: true }, { checks: [check('spf', 'none')] }, {}],
  // all, any, not
  ['helo', { all: [text('helo', 'a'), text('helo', 'b')] }, { helo: 'ba' }, { helo: 'a' }],
  ['helo', { any: [text('helo', 'a'), text('helo', 'b')] }, { helo: 'b' }, { helo: 'c' }],
  ['helo', { not: text('helo', 'a') }, { helo: 'b' }, { helo: 'a' }],
  [
    'connect',
    { not: text('remote.reverseName', 'a') },
    { remote: { reverseName: null } },
    { remote: { reverseName: 'a' } },
  ],
  ['helo', { not: { not: text('helo', 'a') } }, { helo: 'a' }, { helo: 'b' }],
  ['mail', { any: [{ check: 'spf', is: 'fail' }, text('helo', 'a')] }, { helo: 'a' }, { helo: 'b' }],
  [
    'mail',
    { all: [{ not: { check: 'spf', is: 'fail' } }, text('helo', 'a')] },
    { helo: 'a', checks: [check('spf', 'pass')] },
    { helo: 'a' },
  ],
  ['mail', { not: { all: [{ check: 'spf', is: 'fail' }, text('helo', 'a')] } }, { helo: 'b' }, { helo: 'a' }],
  [
    'mail',
    { not: { any: [{ check: 'spf', is: 'fail' }, text('helo', 'a')] } },
    { helo: 'b', checks: [check('spf', 'pass')] },
    { helo: 'b' },
  ],
  [
    'helo',
    {
      any: [
        { all: [text('helo', 'a'), text('helo', 'b')] },
        { all: [text('helo', 'c'), { not: text('helo', 'd') }] },
      ],
    },
    { helo: 'c' },
    { helo: 'cd' },
  ],
]

it('are at least a hundred', () => expect(rows.length).toBeGreaterThanOrEqual(100))

function hits(stage: Stage, when: Condition, mail: Mail): boolean {
  const result = rulesetOf({ lists, rules: [{ id: 'case', stage, when, then: {} }] })
  if ('faults' in result) throw new Error(JSON.stringify(result.faults))
  const event = judgeLive(mail, compileRuleset(result.ruleset))
  return event.evaluations.some((evaluation) => evaluation.hits.some((hit) => hit.ruleId === 'case'))
}

describe.each(rows)('at %s, %j', (stage, when, hit, miss) => {
  it(`matches ${JSON.stringify(hit)}`, () => expect(hits(stage, when, hit)).toBe(true))
  it(`does not match ${JSON.stringify(miss)}`, () => expect(hits(stage, when, miss)).toBe(false))
})
