import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startScriptedServer } from '../../../test/scripted-server.ts'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, openTestSpool, temporaryFolder } from '../../../test/spool-fixture.ts'
import { startSink, type Sink } from '../../demo/sink.ts'
import type { OpenSpool } from '../spool/open-spool.ts'
import { newDeliveryState, readRecord, segmentHeaderBytes } from '../spool/record.ts'
import type { Envelope, NamedRecipient } from '../spool/spool-contract.ts'
import { deliveryReport, reportedRecipients } from './delivery-report.ts'

const octets = 'Received: from x\r\nSubject: hello\r\n\r\nsecret body\r\n'

function asked(address: string, named: Partial<NamedRecipient> = {}): Envelope['recipients'][number] {
  return { address, normalized: address, named: { address, notify: null, originalRecipient: null, ...named } }
}

const local = (recipients: Envelope['recipients'], more: Partial<Envelope> = {}): Envelope =>
  envelopeTo([], { sender: 'ann@example.com', mayNotifySender: true, recipients, ...more })

describe('the relay', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let inside: Sink
  let refusing: Sink
  const opened: OpenSpool[] = []

  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
    inside = await startSink({ port: 0, keepOctets: true })
    refusing = await startSink({ port: 0, refuseRecipient: (address) => (address.startsWith('ok') ? null : { code: 550, text: '5.1.1 no such user here' }) })
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((open) => open.stop()))
    await Promise.all([inside.stop(), refusing.stop()])
    await place.remove()
  })

  const routes = () => [{ domain: 'example.com', port: inside.port }, { domain: '*', port: refusing.port }]
  async function start(folder = place.folder, more: Parameters<typeof openTestSpool>[2] = {}): Promise<OpenSpool> {
    const open = await openTestSpool(folder, log, { routes: routes(), ...more })
    opened.push(open)
    return open
  }

  it('tells a sender who may be told, once, with the fields of RFC 3464, and holds nothing then', async () => {
    const open = await start()
    const envelope = local([asked('x@far.example', { originalRecipient: 'rfc822;X.Y@far.example' }), asked('ok@far.example')], {
      dsn: { return: 'headers', envelopeId: 'QQ+1' },
    })
    await acceptMessage(open.spool, log, envelope, octets)
    await eventually(() => log.of('message.finished').length === 2)
    expect(inside.messages).toMatchObject([{ sender: '', recipients: ['ann@example.com'] }])
    const text = inside.messages[0]!.octets!.toString()
    const reportId = log.of('delivery.attempted').at(-1)!.queueId
    for (const line of [
      'To: <ann@example.com>',
      'Auto-Submitted: auto-replied',
      'Content-Type: multipart/report; report-type=delivery-status;',
      'Content-Type: message/delivery-status',
      'Reporting-MTA: dns; gateway.test',
      'Original-Envelope-Id: QQ+1',
      'Original-Recipient: rfc822; X.Y@far.example',
      'Final-Recipient: rfc822; x@far.example',
      'Action: failed',
      'Status: 5.1.1',
      'Remote-MTA: dns; 127.0.0.1',
      'Diagnostic-Code: smtp; 550 5.1.1 no such user here',
      'Content-Type: text/rfc822-headers',
      'Subject: hello',
    ])
      expect(text).toContain(`\r\n${line}\r\n`)
    expect(text).not.toContain('secret body')
    expect(text).not.toContain('ok@far.example')
    expect(text).not.toMatch(/[^\r]\n/)
    expect(log.of('message.finished')).toMatchObject([{ transactionId: envelope.queueId, failedCount: 1, deliveredCount: 1, reportId }, { transactionId: reportId }])
    await eventually(() => open.relay.counts().queuedCount === 0)
    expect(open.relay.counts().heldCount).toBe(0)
  })

  it('writes nobody back who may not be, never to `<>`, of no copies, and not where it was not wanted: then the mail is held', async () => {
    const open = await start()
    const quiet: Envelope[] = [
      local([asked('x@far.example')], { mayNotifySender: false }),
      local([asked('x@far.example')], { sender: '' }),
      local([{ address: 'copy@far.example', normalized: 'copy@far.example' }]),
      local([asked('x@far.example', { notify: ['never'] })]),
      local([asked('x@far.example', { notify: ['success', 'delay'] })]),
    ]
    for (const envelope of quiet) await acceptMessage(open.spool, log, envelope, octets)
    await eventually(() => log.of('message.finished').length === quiet.length)
    await eventually(() => open.relay.counts().heldCount === quiet.length)
    expect(inside.counts.messages).toBe(0)
    expect(log.of('message.finished').every(({ reportId }) => reportId === undefined)).toBe(true)
  })

  it('holds a report that cannot be delivered, and reports of no report', async () => {
    const open = await start()
    await acceptMessage(open.spool, log, local([asked('x@far.example')], { sender: 'gone@far.example' }), octets)
    await eventually(() => log.of('message.finished').length === 2)
    await eventually(() => open.relay.counts().heldCount === 1)
    expect((await open.quarantine.list({})).messages[0]).toMatchObject({ sender: '' })
  })

  it('gives the whole message back where that was asked for', async () => {
    const open = await start()
    await acceptMessage(open.spool, log, local([asked('x@far.example')], { dsn: { return: 'full', envelopeId: null } }), octets)
    await eventually(() => inside.counts.messages === 1)
    expect(inside.messages[0]!.octets!.toString()).toContain(`Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n${octets}\r\n--=_`)
  })

  it('gives only the header section of a large message back', async () => {
    const open = await start()
    const large = `Subject: large\r\n\r\n${'x'.repeat(76)}\r\n`.padEnd(3_000_000, 'y\r\n')
    await acceptMessage(open.spool, log, local([asked('x@far.example')], { dsn: { return: 'full', envelopeId: null } }), large)
    await eventually(() => inside.counts.messages === 1)
    const text = inside.messages[0]!.octets!.toString()
    expect(text).toContain('\r\n\r\nSubject: large\r\n\r\n--=_')
    expect(text.length).toBeLessThan(4_000)
  })

  it('tells of success only who asked, where the next hop does not do so, and passes the wish on where it does', async () => {
    const said: string[] = []
    const knowing = await startScriptedServer(async (dialog) => {
      dialog.send('220 hop\r\n')
      for (;;) {
        const command = await dialog.line()
        said.push(command)
        if (command.startsWith('EHLO')) dialog.send('250-hop\r\n250 DSN\r\n')
        else if (command === 'DATA') {
          dialog.send('354 go\r\n')
          await dialog.data()
          dialog.send('250 taken\r\n')
        } else dialog.send('250 ok\r\n')
      }
    })
    try {
      const open = await openTestSpool(place.folder, log, { routes: [...routes(), { domain: 'knows.example', port: knowing.port }] })
      opened.push(open)
      const recipients = ['ok@far.example', 'ok@knows.example'].map((address) => asked(address, { notify: ['success'], originalRecipient: 'rfc822;o+k@far.example' }))
      await acceptMessage(open.spool, log, local(recipients, { dsn: { return: 'full', envelopeId: 'a=b' } }), octets)
      await eventually(() => log.of('message.finished').length === 2)
      const text = inside.messages[0]!.octets!.toString()
      expect(text).toContain('Final-Recipient: rfc822; ok@far.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n')
      expect(text).not.toContain('knows.example')
      expect(said).toContain('MAIL FROM:<ann@example.com> RET=FULL ENVID=a+3Db')
      expect(said).toContain('RCPT TO:<ok@knows.example> NOTIFY=SUCCESS ORCPT=rfc822;o+2Bk@far.example')
    } finally {
      await knowing.stop()
    }
  })

  it('makes one report of a message, wherever the process dies', async () => {
    const first = await start(join(place.folder, 'whole'))
    const envelope = local([asked('x@far.example')])
    await acceptMessage(first.spool, log, envelope, octets)
    await eventually(() => log.of('message.finished').length === 2)
    await eventually(() => first.relay.counts().queuedCount === 0)
    // A stopped spool removes what is done: this is what lies there before.
    const [name] = await readdir(join(place.folder, 'whole'))
    const whole = await readFile(join(place.folder, 'whole', name!))
    const kinds: string[] = []
    for (let offset = segmentHeaderBytes, index = 0; offset < whole.length; index += 1) {
      const { record, endOffset } = readRecord(whole, offset)!
      offset = endOffset
      kinds.push(`${record.kind} ${record.queueId === envelope.queueId ? 'message' : 'report'}`)
      if (kinds.at(-1) === 'finished message') break
      const folder = join(place.folder, `died-${index}`)
      await mkdir(folder)
      await writeFile(join(folder, name!), whole.subarray(0, endOffset))
      const before = inside.counts.messages
      const memory = new MemoryEventLog()
      memory.logged.add(envelope.queueId)
      const again = await openTestSpool(folder, memory, { routes: routes() })
      await eventually(() => again.relay.counts().queuedCount === 0)
      const isDelivered = kinds.includes('attempt report')
      expect(`${kinds.join(', ')}: ${inside.counts.messages - before}`).toBe(`${kinds.join(', ')}: ${isDelivered ? 0 : 1}`)
      expect(again.relay.counts().heldCount).toBe(0)
      await again.stop()
    }
    expect(kinds).toContain('message report')
  })
})

describe('a report', () => {
  const of = (envelope: Envelope, change: (state: ReturnType<typeof newDeliveryState>) => void, original = octets) => {
    const state = newDeliveryState(envelope)
    change(state)
    const message = { envelope, state, sizeBytes: original.length }
    const options = { reportId: '00000000-0000-7000-8000-000000000000', hostname: 'mx.test', nowMs: 0 }
    return deliveryReport(message, reportedRecipients(message), Buffer.from(original), options)
  }

  it('cannot be given fields by what a next hop says', () => {
    const { octets: report } = of(local([asked('x@far.example')]), (state) => {
      state.recipients[0] = 'failed'
      const reply = { code: 550, enhanced: null, text: 'no\r\nAction: delivered\nX: y' }
      state.failures = { 0: { reply, error: null, host: 'hop', atMs: 0 } }
    })
    expect(report.toString()).toContain('Diagnostic-Code: smtp; 550 no Action: delivered X: y\r\n')
    expect(report.toString()).not.toMatch(/^(Action: delivered|X: y)/m)
  })

  it('of an address beyond ASCII is one for all alphabets (RFC 6533)', () => {
    const { octets: report, envelope } = of(local([asked('jörg@far.example')]), (state) => (state.recipients[0] = 'expired'))
    expect(report.toString()).toContain('report-type=global-delivery-status')
    expect(report.toString()).toContain('Final-Recipient: utf-8; jörg@far.example\r\nAction: failed\r\nStatus: 4.4.7\r\n')
    expect(envelope).toMatchObject({ sender: '', isSmtpUtf8: true, is8BitMime: true, mayNotifySender: false })
  })

  it('names an address once, however many ways it had, and none of them', () => {
    const ways = ['a@one.example', 'b@two.example'].map((address) => ({ ...asked(address), named: { address: 'all@example.com', notify: null, originalRecipient: null } }))
    const { octets: report } = of(local(ways), (state) => (state.recipients = ['failed', 'failed']))
    expect(report.toString().match(/Final-Recipient/g)).toHaveLength(1)
    expect(report.toString()).not.toMatch(/one\.example|two\.example/)
  })
})
