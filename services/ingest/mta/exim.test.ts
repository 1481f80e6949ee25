/** Lines as Debian's Exim 4.96 writes them, and what is told of them. */
import { expect, it } from 'vitest'
import { eventsOf } from '../../../test/mta-fixture.ts'
import { isTransaction } from './mta-event.ts'

const id = '1xW3RH-0002A3-2L'
const line = (text: string, second = 1): string => `2026-11-25 10:00:0${second} ${text}`
const arrived = (more = '', by = 'P=esmtps X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no', rest = 'id=1@x.test'): string =>
  line(`${id} <= a@x.test H=out.test (helo.test) [192.0.2.7] ${by}${more} S=900 ${rest}`)
const delivered = (text: string): string => line(`${id} => ${text}`, 2)
const ours = 'ann@corp.test R=ours T=inner H=in.test [192.0.2.99] C="250 2.0.0 Ok: queued as X1"'
const completed = line(`${id} Completed`, 3)

function only(lines: readonly string[]) {
  const run = eventsOf('exim', [lines])
  expect(run.unknown).toEqual([])
  const mails = run.events.filter(isTransaction)
  expect(mails).toHaveLength(1)
  return mails[0]!
}
const recipientsOf = (lines: readonly string[]): string[] => only(lines).recipients.map(({ address, outcome }) => `${address} ${outcome}`)

it.each([id, '1xW3RH-00000002A3a-2Lxy'])('reads a message by its id %s', (name) => {
  const lines = [arrived(), delivered(ours), completed].map((text) => text.replace(id, name))
  expect(only(lines)).toMatchObject({ sender: 'a@x.test', messageBytes: 900, messageId: '<1@x.test>', helo: 'helo.test', remote: { ip: '192.0.2.7', reverseName: 'out.test' }, tls: { version: 'TLS1.3' } })
})

it.each<[string, string, string]>([
  ['milliseconds', '2026-11-25 10:00:01.123', '2026-11-25T10:00:01.123Z'],
  ['a zone', '2026-11-25 10:00:01 +0100', '2026-11-25T09:00:01.000Z'],
  ['milliseconds, a zone and a process', '2026-11-25 10:00:01.123 -0500 [4711]', '2026-11-25T15:00:01.123Z'],
])('reads a time with %s', (_, stamp, time) => {
  expect(only([arrived(), delivered(ours), completed].map((text) => text.replace(/^\S+ \S+/, stamp))).startedAt).toBe(time)
})

it.each<[string, string, string?, string?]>([
  ['a signature that was verified', '', undefined, 'DKIM=x.test id=1@x.test'],
  ['all that the log selector adds', ' DN="/C=DE/O=Out Ltd/CN=out.test" SNI="mx.corp.test" A=plain_login:joe L- PRDR K', undefined, 'M8S=8 DKIM=x.test RT=0.010s Q=slow id=1@x.test T="hello \\"you\\" for x@y" from <a@x.test> for ann@corp.test'],
])('finds the Message-ID behind %s', (_, more, by, rest) => {
  expect(only([arrived(more, by, rest), delivered(ours), completed]).messageId).toBe('<1@x.test>')
})

it('takes subject, user and recipients from what the log selector adds', () => {
  const mail = only([arrived(' A=plain_login:joe', undefined, 'id=1@x.test T="hello \\"you\\" for x@y" from <a@x.test> for ann@corp.test'), delivered(ours), completed])
  expect(mail).toMatchObject({ authUser: 'joe', subject: 'hello "you" for x@y' })
})

it.each<[string, string, string]>([
  ['by SMTP', ours, 'ann@corp.test accepted'],
  ['into a mailbox', 'ann <ann@corp.test> R=local_user T=mail_spool', 'ann@corp.test accepted'],
  ['into nothing', ':blackhole: <ann@corp.test> R=system_aliases', 'ann@corp.test accepted'],
  ['into a file', '/var/mail/ann <ann@corp.test> R=userforward T=address_file', 'ann@corp.test accepted'],
  ['to a command', '|/usr/bin/vacation -a ann <ann@corp.test> R=userforward T=address_pipe', 'ann@corp.test accepted'],
  ['by an alias', 'ben@corp.test <ann@corp.test> R=ours T=inner H=in.test [192.0.2.99]:26 X=TLS1.3:x:256 CV=no K C="250 Ok"', 'ann@corp.test accepted'],
  ['for a quoted address', '"o b"@corp.test R=ours T=inner H=in.test [192.0.2.99] C="250 Ok"', '"o b"@corp.test accepted'],
])('knows whom a delivery is for: %s', (_, text, expected) => {
  expect(recipientsOf([arrived(), delivered(text), completed])).toEqual([expected])
})

it.each<[string, string, object]>([
  ['refused by the next hop', '** ann@corp.test R=dns T=remote_smtp H=in.test [192.0.2.99]: SMTP error from remote mail server after RCPT TO:<ann@corp.test>: 550 5.1.1 unknown', { outcome: 'failed', reply: { code: 550, enhanced: '5.1.1', text: 'unknown' } }],
  ['put off by the next hop', '== ann@corp.test R=dns T=remote_smtp defer (-44) H=in.test [192.0.2.99]: SMTP error from remote mail server after RCPT TO:<ann@corp.test>: 451 4.7.1 later', { outcome: 'deferred', reply: { code: 451, enhanced: '4.7.1', text: 'later' } }],
  ['put off without a connection', '== ann@corp.test R=dns T=remote_smtp defer (111): Connection refused', { outcome: 'deferred', reply: null, error: 'Connection refused' }],
  ['given up', '** ann@corp.test: retry timeout exceeded', { outcome: 'failed', reply: null, error: 'retry timeout exceeded' }],
])('tells how a delivery ended: %s', (_, text, expected) => {
  const { events } = eventsOf('exim', [[arrived(), line(`${id} ${text}`, 2), completed]])
  expect(events.find((event) => event.kind === 'delivery.attempted')?.recipients).toMatchObject([{ address: 'ann@corp.test', ...expected }])
})

it.each<[string, string, string]>([
  ['a recipient', 'F=<a@x.test> rejected RCPT <no@corp.test>: unknown user', 'refused rcpt unknown-recipient no@corp.test'],
  ['a recipient for now', 'X=TLS1.3:x:256 CV=no F=<a@x.test> A=plain:joe temporarily rejected RCPT <no@corp.test>: greylisted', 'deferred rcpt null no@corp.test'],
  ['relaying', 'F=<a@x.test> rejected RCPT <o@p.test>: relay not permitted', 'refused rcpt relay-denied o@p.test'],
  ['an empty sender', 'F=<> rejected RCPT <no@corp.test>: Unrouteable address', 'refused rcpt unknown-recipient no@corp.test'],
  ['a connection', 'rejected connection in "connect" ACL: listed', 'refused connect null '],
  ['HELO', 'rejected EHLO or HELO x: bad', 'refused helo null '],
  ['MAIL', 'rejected MAIL <a@x.test>: bad', 'refused mail null '],
  ['content', 'F=<a@x.test> rejected after DATA: virus', 'refused complete null '],
  ['MIME', 'F=<a@x.test> rejected during MIME ACL checks: exe', 'refused complete null '],
])('tells what was refused: %s', (_, text, expected) => {
  const { outcome, stage, reason, recipients } = only([line(`H=out.test (helo.test) [192.0.2.7]:4321 I=[192.0.2.1]:25 ${text}`)])
  expect(`${outcome} ${stage} ${reason} ${recipients.map(({ address }) => address).join(', ')}`).toBe(expected)
})

it.each([
  '"x> rejected RCPT <y@z>: no"@corp.test', '"<= b@x H=(x) [1.2.3.4] P=esmtp S=1"@corp.test', '"C=250 S=999999 id=x"@corp.test', "o'brien%x@corp.test",
])('keeps an address one that looks like log words: %s', (address) => {
  expect(only([line(`H=(h) [192.0.2.7] F=<${address}> rejected RCPT <${address}>: no`)])).toMatchObject({ sender: address, recipients: [{ address, outcome: 'refused' }] })
  expect(only([arrived().replace('a@x.test', address), delivered(`${address} R=ours T=inner H=in.test [192.0.2.99] C="250 Ok"`), completed])).toMatchObject({ sender: address, messageBytes: 900, recipients: [{ address, outcome: 'accepted' }] })
})

it('makes nothing of a subject and a Message-ID that look like log words', () => {
  const mail = only([arrived('', undefined, 'id=S=5 T="S=7 id=9 for evil@x.test" for ann@corp.test'), delivered(ours), completed])
  expect(mail).toMatchObject({ messageBytes: 900, subject: 'S=7 id=9 for evil@x.test', recipients: [{ address: 'ann@corp.test' }] })
})

it.each(['Start queue run: pid=1', 'no host name found for IP address 192.0.2.7', 'H=(x) [192.0.2.7] SMTP protocol error', `${id} H=in.test [192.0.2.99] Connection refused`, `${id} no immediate delivery: load average 9`])('makes nothing of a line that tells of no mail: %s', (text) => {
  expect(eventsOf('exim', [[line(text)]], { isFinal: true })).toEqual({ events: [], unknown: [], carried: [] })
})
