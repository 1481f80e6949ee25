/** Lines as Debian's Postfix 3.7 writes them, and what is told of them. */
import { describe, expect, it } from 'vitest'
import type { TransactionEnded } from '../../contracts/event.ts'
import { eventsOf, type EventRun } from '../../../test/mta-fixture.ts'
import { isTransaction } from './mta-event.ts'

const at = (second: number, program: string, text: string): string => `Nov 25 10:00:${String(second).padStart(2, '0')} mx ${program}: ${text}`
const smtpd = (text: string, second = 1): string => at(second, 'postfix/smtpd[11]', text)
const cleanup = (text: string, second = 2): string => at(second, 'postfix/cleanup[12]', text)
const qmgr = (text: string, second = 3): string => at(second, 'postfix/qmgr[13]', text)
const smtp = (text: string, second = 4): string => at(second, 'postfix/smtp[14]', text)
const postscreen = (text: string, second = 1): string => at(second, 'postfix/postscreen[15]', text)

const client = 'out.test[192.0.2.7]'
const connect = smtpd(`connect from ${client}`)
const disconnect = smtpd(`disconnect from ${client} ehlo=1 quit=1 commands=2`, 9)
const tail = 'from=<a@x.test> to=<ann@corp.test> proto=ESMTP helo=<h.test>'
const relay = 'relay=in[192.0.2.99]:25, delay=0.1, delays=0.05/0/0.03/0.02, dsn=2.0.0, status=sent (250 2.0.0 Ok)'
const begun = [connect, smtpd(`ABCDE12345: client=${client}`)]
const queued = (id = 'ABCDE12345', count = 1): string[] => [cleanup(`${id}: message-id=<1@x.test>`), qmgr(`${id}: from=<a@x.test>, size=900, nrcpt=${count} (queue active)`)]
const delivered = (to = 'ann@corp.test', rest = relay, second = 4): string => smtp(`ABCDE12345: to=<${to}>, ${rest}`, second)
const removed = qmgr('ABCDE12345: removed', 8)

function mails(run: EventRun): TransactionEnded[] {
  return run.events.filter(isTransaction).sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1))
}

/** `outcome stage reason sender > recipient outcome, …`. */
function told(lines: readonly string[], isFinal = false): string[] {
  const run = eventsOf('postfix', [lines], { isFinal })
  expect(run.unknown).toEqual([])
  return mails(run).map(brief)
}

function brief({ outcome, stage, reason, sender, recipients }: TransactionEnded): string {
  return `${outcome} ${stage} ${reason} ${sender} > ${recipients.map((one) => `${one.address} ${one.outcome}`).join(', ')}`
}

const only = (lines: readonly string[]): TransactionEnded => {
  const found = mails(eventsOf('postfix', [lines]))
  expect(found).toHaveLength(1)
  return found[0]!
}

describe('what is refused', () => {
  it.each<[string, string, string]>([
    ['CONNECT', `NOQUEUE: reject: CONNECT from ${client}: 554 5.7.1 <${client}>: Client host rejected: Access denied; proto=SMTP`, 'refused connect null null > '],
    ['HELO', `NOQUEUE: reject: HELO from ${client}: 504 5.5.2 <h>: Helo command rejected: need fully-qualified hostname; proto=SMTP helo=<h>`, 'refused helo null null > '],
    ['MAIL for its size', `NOQUEUE: reject: MAIL from ${client}: 552 5.3.4 Message size exceeds fixed limit; from=<a@x.test> proto=ESMTP helo=<h.test>`, 'refused mail size-limit a@x.test > '],
    ['RCPT', `NOQUEUE: reject: RCPT from ${client}: 550 5.1.1 <ann@corp.test>: Recipient address rejected: User unknown in relay recipient table; ${tail}`, 'refused rcpt unknown-recipient a@x.test > ann@corp.test refused'],
    ['RCPT for now', `NOQUEUE: reject: RCPT from ${client}: 450 4.7.1 <ann@corp.test>: Recipient address rejected: Greylisted; ${tail}`, 'deferred rcpt null a@x.test > ann@corp.test deferred'],
    ['RCPT of a block list', `NOQUEUE: reject: RCPT from ${client}: 554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.test; https://www.zen.test/query?ip=192.0.2.7; ${tail}`, 'refused rcpt null a@x.test > ann@corp.test refused'],
    ['RCPT of an empty sender', `NOQUEUE: reject: RCPT from ${client}: 554 5.7.1 <o@p.test>: Relay access denied; from=<> to=<o@p.test> proto=SMTP helo=<h.test>`, 'refused rcpt relay-denied  > o@p.test refused'],
    ['RCPT of a user', `NOQUEUE: reject: RCPT from ${client}: 554 5.7.1 <o@p.test>: Relay access denied; from=<a@x.test> to=<o@p.test> proto=ESMTP helo=<h> sasl_username=<joe>`, 'refused rcpt relay-denied a@x.test > o@p.test refused'],
    ['DATA', `NOQUEUE: reject: DATA from ${client}: 503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining; ${tail}`, 'refused complete early-talker a@x.test > ann@corp.test accepted'],
    ['by a milter at CONNECT', `NOQUEUE: milter-reject: CONNECT from ${client}: 451 4.7.1 Service unavailable - try again later; proto=SMTP`, 'deferred connect null null > '],
    ['by a milter at EHLO', `NOQUEUE: milter-reject: EHLO from ${client}: 550 5.7.1 Command rejected; proto=SMTP helo=<h.test>`, 'refused helo null null > '],
    ['by a milter at MAIL', `NOQUEUE: milter-reject: MAIL from ${client}: 550 5.7.1 Command rejected; from=<a@x.test> proto=ESMTP helo=<h.test>`, 'refused mail null a@x.test > '],
    ['by a milter at RCPT', `NOQUEUE: milter-reject: RCPT from ${client}: 451 4.3.0 <ann@corp.test>: Temporary lookup failure; ${tail}`, 'deferred rcpt null a@x.test > ann@corp.test deferred'],
    ['by a filter before the queue', `NOQUEUE: proxy-reject: END-OF-MESSAGE: 554 5.7.0 Reject, id=1-01 - spam; ${tail}`, 'refused complete null a@x.test > ann@corp.test accepted'],
  ])('is told with its stage, reason and recipients: %s', (_, text, expected) => {
    expect(told([connect, smtpd(text, 2), disconnect])).toEqual([expected])
  })

  it.each<[string, string]>([
    ['a message rejected by a milter', `milter-reject: END-OF-MESSAGE from ${client}: 5.7.1 Spam message rejected; ${tail}`],
    ['a header', `reject: header Subject: buy from ${client}; ${tail}: 5.7.1 no such content`],
    ['a body', `reject: body buy from ${client}; ${tail}: 5.7.1 no such content`],
  ])('is told at the end of the message, with the recipient that is named: %s', (_, text) => {
    const lines = [...begun, cleanup('ABCDE12345: message-id=<1@x.test>'), cleanup(`ABCDE12345: ${text}`), disconnect]
    expect(told(lines)).toEqual(['refused complete null a@x.test > ann@corp.test accepted'])
    expect(only(lines)).toMatchObject({ messageBytes: null, declaredSizeBytes: null, reply: { code: 550, enhanced: '5.7.1' } })
    expect(told(lines.map((line) => line.replace('5.7.1', '4.7.1')))).toEqual(['deferred complete null a@x.test > ann@corp.test accepted'])
  })

  it('is told as too large where the queue file outgrew the limit', () => {
    const lines = [...begun, cleanup('ABCDE12345: message-id=<1@x.test>'), smtpd('warning: ABCDE12345: queue file size limit exceeded', 3), cleanup('warning: ABCDE12345: queue file size limit exceeded', 3), disconnect]
    expect(told(lines)).toEqual(['refused complete size-limit null > '])
    expect(eventsOf('postfix', [lines]).carried).toEqual([])
  })

  it.each<[string, string, string]>([
    ['a recipient', 'NOQUEUE: reject: RCPT from [192.0.2.7]:4321: 550 5.7.1 Service unavailable; client [192.0.2.7] blocked using zen.test; from=<a@x.test>, to=<ann@corp.test>, proto=ESMTP, helo=<h.test>', 'refused rcpt null a@x.test > ann@corp.test refused'],
    ['of IPv6', 'NOQUEUE: reject: RCPT from [2001:db8::7]:4321: 450 4.3.2 Service currently unavailable; from=<a@x.test>, to=<ann@corp.test>, proto=ESMTP, helo=<h.test>', 'deferred rcpt null a@x.test > ann@corp.test deferred'],
    ['a client too many', 'NOQUEUE: reject: CONNECT from [192.0.2.7]:4321: too many connections', 'deferred connect connection-limit null > '],
    ['no server free', 'NOQUEUE: reject: CONNECT from [192.0.2.7]:4321: all server ports busy', 'deferred connect connection-limit null > '],
  ])('is told of postscreen: %s', (_, text, expected) => {
    const ip = text.includes('2001') ? '2001:db8::7' : '192.0.2.7'
    const lines = [postscreen(`CONNECT from [${ip}]:4321 to [192.0.2.1]:25`), postscreen(text), postscreen(`DISCONNECT [${ip}]:4321`, 5)]
    expect(told(lines)).toEqual([expected])
    expect(only(lines).remote).toMatchObject({ ip, port: 4321 })
  })

  it('is no mail where VRFY or ETRN was refused', () => {
    expect(told([connect, smtpd(`NOQUEUE: reject: VRFY from ${client}: 550 5.1.1 <no@corp.test>: Recipient address rejected: User unknown; to=<no@corp.test> proto=SMTP helo=<h>`), disconnect])).toEqual([])
  })

  it('takes no reason from an address that the remote chose', () => {
    const text = `NOQUEUE: reject: RCPT from ${client}: 550 5.7.1 <"too many connections"@corp.test>: Recipient address rejected: no; from=<a@x.test> to=<"too many connections"@corp.test> proto=SMTP helo=<h>`
    expect(only([connect, smtpd(text), disconnect]).reason).toBe(null)
  })
})

describe('what is held or discarded', () => {
  it.each<[string, string[], string]>([
    ['discarded by its header', [cleanup(`ABCDE12345: discard: header Subject: x from ${client}; ${tail}: gone`)], 'discarded'],
    ['discarded by its body', [cleanup('ABCDE12345: message-id=<1@x.test>'), cleanup(`ABCDE12345: discard: body x from ${client}; ${tail}`)], 'discarded'],
    ['discarded by a milter', [cleanup(`ABCDE12345: milter-discard: END-OF-MESSAGE from ${client}: milter triggers DISCARD action; ${tail}`)], 'discarded'],
    ['discarded by a later recipient', [smtpd(`ABCDE12345: discard: RCPT from ${client}: <ann@corp.test>: Recipient address triggers DISCARD action; ${tail}`)], 'discarded'],
  ])('counts as accepted mail: %s', (_, lines, outcome) => {
    expect(told([...begun, ...lines, disconnect])).toEqual([`${outcome} complete null a@x.test > ann@corp.test discarded`])
    expect(eventsOf('postfix', [[...begun, ...lines, disconnect]]).carried).toEqual([])
  })

  it('is told of the message that began after the recipient that discards it', () => {
    const noqueue = smtpd(`NOQUEUE: discard: RCPT from ${client}: <ann@corp.test>: Recipient address triggers DISCARD action; ${tail}`)
    expect(told([connect, noqueue, smtpd(`ABCDE12345: client=${client}`), disconnect])).toEqual(['discarded complete null a@x.test > ann@corp.test discarded'])
  })

  const held = [...begun, cleanup(`ABCDE12345: hold: header Subject: x from ${client}; ${tail}: look`), cleanup('ABCDE12345: message-id=<1@x.test>'), disconnect]
  it('waits while it is held, and is told as mail when it is released', () => {
    expect(told(held)).toEqual([])
    const released = [qmgr('ABCDE12345: from=<a@x.test>, size=900, nrcpt=1 (queue active)', 10), delivered('ann@corp.test', relay, 11), qmgr('ABCDE12345: removed', 11)]
    expect(told([...held, at(10, 'postfix/postsuper[9]', 'ABCDE12345: released from hold'), ...released])).toEqual(['accepted complete null a@x.test > ann@corp.test accepted'])
  })
  it('is told as quarantined when it is deleted, or when nothing more comes', () => {
    const expected = ['quarantined complete null a@x.test > ann@corp.test quarantined']
    expect(told([...held, at(10, 'postfix/postsuper[9]', 'ABCDE12345: removed')])).toEqual(expected)
    expect(told(held, true)).toEqual(expected)
  })
})

describe('what is accepted', () => {
  it('has its client, cipher, user, subject and size', () => {
    const mail = only([
      connect,
      smtpd(`Anonymous TLS connection established from ${client}: TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256`),
      smtpd(`ABCDE12345: client=${client}, sasl_method=PLAIN, sasl_username=joe@corp.test`),
      cleanup(`ABCDE12345: warning: header Subject: it's here; from=<q@x> to=<y@z> proto=ESMTP helo=<evil>: x from ${client}; ${tail}`),
      ...queued(), delivered(), removed, disconnect,
    ])
    expect(mail).toMatchObject({
      remote: { ip: '192.0.2.7', reverseName: 'out.test' }, tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
      authUser: 'joe@corp.test', subject: "it's here; from=<q@x> to=<y@z> proto=ESMTP helo=<evil>: x",
      messageId: '<1@x.test>', messageBytes: 900, sizeSource: 'queue', declaredSizeBytes: null,
    })
  })

  it.each(['ABCDE1', 'ABCDE1234567890ABCDE1', '4SbqLZ1vJRz9rXn', '3zXkVt6BcDzMh'])('is known by the queue id %s', (id) => {
    const lines = [...begun, ...queued(), delivered(), removed, disconnect].map((line) => line.replaceAll('ABCDE12345', id))
    expect(told(lines)).toEqual(['accepted complete null a@x.test > ann@corp.test accepted'])
  })

  it('is another message when a short queue id is used again', () => {
    const first = [...begun, ...queued(), delivered(), removed, disconnect]
    const again = first.map((line) => line.replace('10:00:', '10:05:').replaceAll('a@x.test', 'b@x.test'))
    expect(told([...first, ...again])).toEqual(['accepted complete null a@x.test > ann@corp.test accepted', 'accepted complete null b@x.test > ann@corp.test accepted'])
    // Also where the end of the first is missing.
    expect(told([...first.filter((line) => line !== removed), ...again])).toHaveLength(2)
  })

  it('of two instances is told apart, by the names of their programs', () => {
    const first = [...begun, ...queued(), delivered(), removed, disconnect]
    const other = first.map((line) => line.replaceAll('postfix/', 'postfix-out/').replaceAll('a@x.test', 'b@x.test'))
    expect(told(first.flatMap((line, index) => [line, other[index]!])).sort()).toEqual(['accepted complete null a@x.test > ann@corp.test accepted', 'accepted complete null b@x.test > ann@corp.test accepted'])
  })

  it('names every recipient where local(8) makes several deliveries of one', () => {
    const local = (to: string, orig: string): string => at(4, 'postfix/local[20]', `ABCDE12345: to=<${to}>, ${orig}relay=local, delay=0.1, delays=0.1/0/0/0, dsn=2.0.0, status=sent (delivered to mailbox)`)
    const lines = [...begun, ...queued('ABCDE12345', 2), local('x@corp.test', 'orig_to=<team@corp.test>, '), local('y@corp.test', 'orig_to=<team@corp.test>, '), local('ann@corp.test', ''), removed, disconnect]
    expect(told(lines)).toEqual(['accepted complete null a@x.test > team@corp.test accepted, ann@corp.test accepted'])
  })

  it('counts an expired message, a soft bounce and its tries', () => {
    const deferred = relay.replace(/dsn.*/, 'dsn=4.4.1, status=deferred (connect to in[192.0.2.99]:25: Connection refused)')
    const soft = relay.replace(/dsn.*/, 'dsn=4.1.1, status=SOFTBOUNCE (host in[192.0.2.99] said: 550 5.1.1 unknown (in reply to RCPT TO command))')
    const { events } = eventsOf('postfix', [[...begun, ...queued(), delivered('ann@corp.test', deferred), delivered('ann@corp.test', soft, 5), qmgr('ABCDE12345: from=<a@x.test>, status=expired, returned to sender', 6), removed, disconnect]])
    expect(events.find(({ kind }) => kind === 'message.finished')).toMatchObject({ expiredCount: 1, failedCount: 0, deliveredCount: 0 })
    expect(events.filter((event) => event.kind === 'delivery.attempted').map((event) => [event.attempt, event.recipients[0]!.outcome])).toEqual([[1, 'deferred'], [2, 'deferred']])
  })

  it('is a message of its own where Postfix bounces, with an empty sender', () => {
    const bounce = [cleanup('BBBBB12345: message-id=<b@mx>', 5), at(5, 'postfix/bounce[30]', 'ABCDE12345: sender non-delivery notification: BBBBB12345'), qmgr('BBBBB12345: from=<>, size=2400, nrcpt=1 (queue active)', 5), smtp(`BBBBB12345: to=<a@x.test>, ${relay}`, 6), qmgr('BBBBB12345: removed', 6)]
    const failed = relay.replace(/dsn.*/, 'dsn=5.1.1, status=bounced (host in[192.0.2.99] said: 550 5.1.1 unknown (in reply to RCPT TO command))')
    expect(told([...begun, ...queued(), delivered('ann@corp.test', failed), ...bounce, removed, disconnect])).toEqual(['accepted complete null a@x.test > ann@corp.test accepted', 'accepted complete null  > a@x.test accepted'])
  })

  const lost = (during: string): string => smtpd(`lost connection after ${during} from ${client}`, 8)
  it.each<[string, string[], string]>([
    ['RCPT', [lost('RCPT')], 'aborted rcpt client-gone'],
    ['DATA', [cleanup('ABCDE12345: message-id=<1@x.test>'), lost('DATA (4711 bytes)')], 'aborted complete client-gone'],
    ['nothing at all', [], 'aborted rcpt null'],
  ])('is told as broken off after %s', (_, lines, expected) => {
    expect(told([...begun, ...lines, disconnect])).toEqual([`${expected} null > `])
  })
})

describe('a filter that hands a message back', () => {
  const back = 'localhost[127.0.0.1]'
  const second = (id: string, origin: string): string[] => [at(5, 'postfix/smtpd[40]', `connect from ${back}`), at(5, 'postfix/smtpd[40]', `BBBBB12345: client=${back}${origin}`), cleanup(`BBBBB12345: message-id=<${id}>`, 5), qmgr('BBBBB12345: from=<a@x.test>, size=1200, nrcpt=1 (queue active)', 5), at(5, 'postfix/smtpd[40]', `disconnect from ${back}`)]
  const out = [smtp(`BBBBB12345: to=<ann@corp.test>, ${relay}`, 7), qmgr('BBBBB12345: removed', 7)]
  const handed = (text: string): string => delivered('ann@corp.test', `relay=127.0.0.1[127.0.0.1]:10024, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (${text})`, 6)

  it.each<[string, string[]]>([
    ['its answer, before the second is delivered', [...second('other@filter', ''), handed('250 2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as BBBBB12345'), ...out]],
    ['the Message-ID, where the second is delivered first', [...second('1@x.test', ''), ...out, handed('250 2.0.0 Ok')]],
    ['orig_queue_id, where the second is delivered first', [...second('other@filter', ', orig_queue_id=ABCDE12345, orig_client=out.test[192.0.2.7]'), ...out, handed('250 2.0.0 Ok')]],
  ])('is recognised by %s, and billed once', (_, lines) => {
    const found = mails(eventsOf('postfix', [[...begun, ...queued(), ...lines, removed, disconnect]]))
    expect(found.map(brief)).toEqual(['accepted complete null a@x.test > ann@corp.test accepted', 'accepted complete duplicate a@x.test > ann@corp.test accepted'])
    expect(found[1]!.duplicateOf).toBe(found[0]!.transactionId)
  })

  it('is recognised where local(8) forwards by an alias', () => {
    const forward = [cleanup('BBBBB12345: message-id=<1@x.test>', 4), qmgr('BBBBB12345: from=<a@x.test>, size=1200, nrcpt=1 (queue active)', 4), at(5, 'postfix/local[20]', 'ABCDE12345: to=<ann@corp.test>, relay=local, delay=0.1, delays=0.1/0/0/0, dsn=2.0.0, status=sent (forwarded as BBBBB12345)'), smtp(`BBBBB12345: to=<far@y.test>, orig_to=<ann@corp.test>, ${relay}`, 7), qmgr('BBBBB12345: removed', 7)]
    const run = eventsOf('postfix', [[...begun, ...queued(), ...forward, removed, disconnect]])
    expect(mails(run).map(({ outcome, duplicateOf }) => [outcome, duplicateOf !== null])).toEqual([['accepted', false], ['accepted', true]])
    expect(run.carried).toEqual([])
  })

  it('is never taken for one that comes from elsewhere with the same Message-ID', () => {
    const lines = second('1@x.test', '').map((line) => line.replaceAll(back, 'far.test[198.51.100.9]'))
    expect(mails(eventsOf('postfix', [[...begun, ...queued(), ...lines, ...out, delivered(), removed, disconnect]])).map(({ duplicateOf }) => duplicateOf)).toEqual([null, null])
  })
})

describe('what a remote writes to be mistaken for the log', () => {
  const hostile = [
    '"x>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250"@corp.test', '"a to=<x@corp.test>"@corp.test', '"; from=<q@x> to=<y@z> proto=ESMTP helo=<h>"@corp.test',
    '"status=sent"@corp.test', '"[1.2.3.4]"@corp.test', '"%s%n"@corp.test', '"a\\"b> c"@corp.test', "o'brien@corp.test", '"ABCDE12345: removed"@corp.test',
  ]
  it.each(hostile)('stays one address: %s', (address) => {
    expect(told([...begun, ...queued(), delivered(address), removed, disconnect])).toEqual([`accepted complete null a@x.test > ${address} accepted`])
    const refusal = `NOQUEUE: reject: RCPT from ${client}: 554 5.7.1 <${address}>: Relay access denied; from=<${address}> to=<${address}> proto=ESMTP helo=<h>`
    const run = eventsOf('postfix', [[connect, smtpd(refusal), disconnect]])
    // Read as one, or listed: never as another.
    if (run.unknown.length === 0) expect(mails(run).map(brief)).toEqual([`refused rcpt relay-denied ${address} > ${address} refused`])
    else expect([run.events, run.unknown.map(({ reason }) => reason)]).toEqual([[], ['ambiguous']])
  })

  it.each(['status=sent', ' to=<x@corp.test>, relay=none', 'to=<x>, status=sent', '100%s [x] "y', 'queued as BBBBB12345'])('stays the text of a reply: %s', (words) => {
    const lines = [...begun, ...queued(), delivered('ann@corp.test', relay.replace(/dsn.*/, `dsn=5.0.0, status=bounced (host in[192.0.2.99] said: 550 ${words} (in reply to end of DATA command))`)), removed, disconnect]
    const { events } = eventsOf('postfix', [lines])
    expect(events.find((event) => event.kind === 'delivery.attempted')?.recipients).toEqual([{ address: 'ann@corp.test', outcome: 'failed', reply: { code: 550, enhanced: null, text: words }, error: null }])
    expect(told(lines)).toEqual(['accepted complete null a@x.test > ann@corp.test accepted'])
  })

  it('is listed where a delivery holds a whole other one', () => {
    const text = `to=<x@corp.test>, relay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 @evil.test>, ${relay}`
    expect(eventsOf('postfix', [[...begun, ...queued(), smtp(`ABCDE12345: ${text}`)]]).unknown.map(({ reason }) => reason)).toEqual(['ambiguous'])
  })

  it('lists what says of a sender more than an address, and makes no noise of it', () => {
    const line = qmgr('ABCDE12345: from=<a>, size=999, nrcpt=1 (queue active)@evil.test>, size=500, nrcpt=1 (queue active)')
    expect(eventsOf('postfix', [[...begun, line]]).unknown.map(({ reason }) => reason)).toEqual(['malformed'])
  })

  it('gets no names into what is told of its content', () => {
    const fake = 'from=<q@x.test> to=<y@corp.test> proto=ESMTP helo=<evil>: 5.7.1 x'
    const lines = (words: string, sender = 'a@x.test'): string[] => [...begun, cleanup(`ABCDE12345: reject: header Subject: ${words} from ${client}; from=<${sender}> to=<ann@corp.test> proto=ESMTP helo=<h>: 5.7.1 no`), disconnect]
    expect(told(lines(`x from evil[1.2.3.4]; ${fake}`))).toEqual(['refused complete null a@x.test > ann@corp.test accepted'])
    // Where two fit, one within the other, neither is believed.
    expect(told(lines('x', `"; ${fake}"@x.test`))).toEqual(['refused complete null null > '])
    expect(told(lines('x; from=<"'))).toEqual(['refused complete null a@x.test > ann@corp.test accepted'])
  })

  it.each<[string, (length: number) => string]>([
    ['tails', (length) => `NOQUEUE: reject: RCPT from ${client}: 550 5.1.1 ${'; from=<'.repeat(length / 8)}`],
    ['quotes', (length) => `NOQUEUE: reject: RCPT from ${client}: 550 5.1.1 <${'"<'.repeat(length / 2)}; ${tail}`],
    ['deliveries', (length) => `ABCDE12345: to=<a@b>, ${relay} ${'>, relay=a, '.repeat(length / 12)}`],
    ['commas', (length) => `ABCDE12345: client=${client}${', sasl_method=x'.repeat(length / 15)}`],
    ['brackets', (length) => `ABCDE12345: to=${'<'.repeat(length)}`],
  ])('costs no more than a line of its length: %s', (_, text) => {
    // Twice the line must not be four times the work; a line that is not linear would not come back at all.
    for (const length of [30_000, 60_000, 120_000, 240_000]) {
      const run = eventsOf('postfix', [[connect, smtpd(text(length))]])
      expect(mails(run)).toEqual([])
    }
  })
})

describe('the frame', () => {
  const rest = `NOQUEUE: reject: RCPT from ${client}: 550 5.1.1 <ann@corp.test>: User unknown; ${tail}`
  it.each<[string, string, string]>([
    ['of RFC 3164', 'Nov  5 10:00:01 mx postfix/smtpd[11]: ', '2026-11-05T10:00:01.000Z'],
    ['of RFC 3164 with a priority', '<22>Nov  5 10:00:01 mx postfix/smtpd[11]: ', '2026-11-05T10:00:01.000Z'],
    ['of rsyslog with an ISO time', '2026-11-05T10:00:01.123456+01:00 mx postfix/smtpd[11]: ', '2026-11-05T09:00:01.123Z'],
    ['of journald', '2026-11-05T10:00:01+0100 mx postfix/smtpd[11]: ', '2026-11-05T09:00:01.000Z'],
    ['of RFC 5424', '<22>1 2026-11-05T10:00:01.123Z mx postfix/smtpd 11 - - ', '2026-11-05T10:00:01.123Z'],
    ['of RFC 5424 with data', '<22>1 2026-11-05T10:00:01Z mx postfix/smtpd 11 - [a@1 b="c\\]d"][e f="g"] ', '2026-11-05T10:00:01.000Z'],
    ['of a service of its own name', 'Nov  5 10:00:01 mx postfix/submission/smtpd[11]: ', '2026-11-05T10:00:01.000Z'],
  ])('%s is read', (_, frame, time) => {
    const run = eventsOf('postfix', [[`${frame}${rest}`, `${frame}disconnect from ${client}`]])
    expect(run.unknown).toEqual([])
    expect(mails(run).map((mail) => [mail.startedAt, mail.node, brief(mail)])).toEqual([[time, 'mx', 'refused rcpt unknown-recipient a@x.test > ann@corp.test refused']])
  })

  it.each(['hello', 'Nov 31 10:00:01 mx postfix/smtpd[1]: connect from a[192.0.2.1]', 'Foo 25 10:00:01 mx postfix/smtpd[1]: x'])('that is none is listed: %s', (line) => {
    expect(eventsOf('postfix', [[line]]).unknown).toHaveLength(1)
  })

  it.each([
    smtpd('warning: hostname h.test does not resolve to address 192.0.2.7'), smtpd('improper command pipelining after EHLO from out.test[192.0.2.7]: VRFY x'), smtpd('NOQUEUE: filter: RCPT from x[192.0.2.7]: words; from=<a> to=<b> proto=SMTP helo=<c>'),
    qmgr('statistics: max simultaneous domains = 1'), at(1, 'postfix/anvil[9]', 'statistics: max connection rate 1/60s for (smtp:192.0.2.7) at Nov 25'), smtp('SSL_connect error to in[192.0.2.99]:25: -1'),
    at(1, 'CRON[9]', '(root) CMD (x)'), at(1, 'dovecot', 'imap-login: Login: user=<x>'), at(1, 'postfix/master[1]', 'daemon started -- version 3.7.11, configuration /etc/postfix'), postscreen('PREGREET 11 after 0.04 from [192.0.2.7]:4321: EHLO x\\r\\n'),
    smtpd(`NOQUEUE: reject_warning: RCPT from ${client}: 554 5.7.1 Service unavailable; ${tail}`),
  ])('of a line that tells of no mail is of no use, and nothing is made of it: %s', (line) => {
    expect(eventsOf('postfix', [[line]], { isFinal: true })).toEqual({ events: [], unknown: [], carried: [] })
  })
})
