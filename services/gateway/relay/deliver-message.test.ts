import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, openTestSpool, temporaryFolder } from '../../../test/spool-fixture.ts'
import { startScriptedServer, type ScriptedDialog, type ScriptedServer } from '../../../test/scripted-server.ts'
import type { Envelope } from '../spool/spool-contract.ts'
import type { OpenSpool } from '../spool/open-spool.ts'

const octets = 'Subject: hello\r\n\r\nbody\r\n'

type DeliveryTest = Partial<Omit<Envelope, 'recipients'>> & {
  recipients?: string[]
  content?: string | Buffer
  connections?: number
}

describe('a transaction with a next hop', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let open: OpenSpool | null
  let server: ScriptedServer

  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
    open = null
  })
  afterEach(async () => {
    await open?.stop()
    await server.stop()
    await place.remove()
  })

  /** Sends one message to a next hop with this script and waits for the first attempt. */
  async function deliverTo(
    script: (dialog: ScriptedDialog, connection: number) => Promise<void>,
    { recipients = ['a@example.org', 'b@example.org', 'c@example.org'], content = octets, connections = 10, ...settings }: DeliveryTest = {},
  ) {
    server = await startScriptedServer(script)
    open = await openTestSpool(place.folder, log, {
      routes: [{ port: server.port }],
      delivery: { connectionsPerRoute: connections },
      limits: { relay: { commandMs: 2_000, dataBlockMs: 2_000, finalReplyMs: 2_000, dataMs: 2_000, greetingMs: 2_000, stopMs: 100, idleMs: 50 } },
    })
    await acceptMessage(open.spool, log, envelopeTo(recipients, settings), content)
    await eventually(() => log.of('delivery.attempted').length > 0)
    return log.of('delivery.attempted')[0]!.recipients
  }

  const taking = async (dialog: ScriptedDialog) => {
    await dialog.greet()
    for (;;) await dialog.takeMessage()
  }

  it('4xx for one of three recipients defers that one and delivers the others', async () => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      await dialog.takeMessage({ rcpt: (line) => (line.includes('b@') ? '451 4.2.1 mailbox busy' : '250 ok') })
    })
    expect(results).toMatchObject([
      { address: 'a@example.org', outcome: 'delivered', reply: { code: 250, text: 'taken' } },
      { address: 'b@example.org', outcome: 'deferred', reply: { code: 451, enhanced: '4.2.1', text: 'mailbox busy' } },
      { address: 'c@example.org', outcome: 'delivered' },
    ])
    expect(open!.relay.counts()).toMatchObject({ queuedCount: 1, deferredCount: 1 })
  })

  it('552 at RCPT means too many recipients and is tried again', async () => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      await dialog.takeMessage({ rcpt: (line) => (line.includes('c@') ? '552 too many' : '250 ok') })
    })
    expect(results.map((result) => result.outcome)).toEqual(['delivered', 'delivered', 'deferred'])
  })

  it.each([
    ['MAIL', { mail: '451 4.7.1 slow down', data: '503 no' }, 'deferred', 451],
    ['MAIL', { mail: '550 5.7.1 not you', data: '503 no' }, 'failed', 550],
    ['DATA', { data: '451 no' }, 'deferred', 451],
    ['DATA', { data: '554 no' }, 'failed', 554],
    ['the message', { final: '451 later' }, 'deferred', 451],
    ['the message', { final: '554 5.7.1 spam' }, 'failed', 554],
  ] as const)('a refusal of %s %o is the outcome of every recipient', async (_, replies, outcome, code) => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      await dialog.takeMessage(replies)
      for (;;) await dialog.takeMessage()
    })
    expect(results.map((result) => [result.outcome, result.reply?.code])).toEqual(Array(3).fill([outcome, code]))
  })

  it('a server that takes DATA although it refused every recipient gets no message, and the connection goes on', async () => {
    const contents: string[] = []
    await deliverTo(async (dialog) => {
      await dialog.greet()
      contents.push(await dialog.takeMessage({ rcpt: () => '550 no', final: '554 no recipients' }))
      for (;;) contents.push(await dialog.takeMessage())
    }, { connections: 1 })
    await acceptMessage(open!.spool, log, envelopeTo(['x@example.org']), octets)
    await eventually(() => log.of('delivery.attempted').length === 2)
    expect(contents).toEqual(['', octets])
    expect(server.dialogs).toHaveLength(1)
  })

  it('all recipients are delivered and none told twice when the reply comes in pieces of one octet', async () => {
    const replies = '250-2.0.0 taken\r\n250-2.0.0 with\r\n250 2.0.0 many lines\r\n'
    for (let split = 1; split < replies.length; split += 1) {
      log.bodies.length = 0
      const results = await deliverTo(async (dialog) => {
        await dialog.greet()
        await dialog.line()
        dialog.send('250 ok\r\n')
        await dialog.line()
        dialog.send('250 ok\r\n')
        await dialog.line()
        dialog.send('354 go\r\n')
        await dialog.data()
        dialog.send(replies.slice(0, split))
        await new Promise((resolve) => setTimeout(resolve, 2))
        dialog.send(replies.slice(split))
      }, { recipients: ['a@example.org'] })
      expect(results).toMatchObject([{ outcome: 'delivered', reply: { code: 250, enhanced: '2.0.0', text: 'taken\nwith\nmany lines' } }])
      await open!.stop()
      await server.stop()
    }
  })

  it('a next hop that closes in the middle of the message leaves every recipient deferred', async () => {
    const content = Buffer.alloc(900_000, 'a line of text\r\n')
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      for (let index = 0; index < 5; index += 1) {
        const line = await dialog.line()
        dialog.send(line === 'DATA' ? '354 go\r\n' : '250 ok\r\n')
      }
      await dialog.octets(1_000)
      dialog.socket.destroy()
    }, { content })
    expect(results.map((result) => [result.outcome, result.reply])).toEqual(Array(3).fill(['deferred', null]))
    expect(open!.relay.counts()).toMatchObject({ queuedCount: 1, deferredCount: 1, heldCount: 0 })
  })

  it('a next hop that closes before its final reply leaves the message deferred, and the doubt is told', async () => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      for (let index = 0; index < 5; index += 1) dialog.send((await dialog.line()) === 'DATA' ? '354 go\r\n' : '250 ok\r\n')
      await dialog.data()
      dialog.close()
    })
    expect(results[0]).toMatchObject({ outcome: 'deferred', reply: null })
    expect(results[0]!.error).toContain('may have taken the message')
  })

  it('a next hop that refuses in the middle of the message and closes is believed', async () => {
    const content = Buffer.alloc(30_000_000, 'a line of text\r\n')
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      for (let index = 0; index < 3; index += 1) dialog.send((await dialog.line()) === 'DATA' ? '354 go\r\n' : '250 ok\r\n')
      await dialog.octets(1_000)
      dialog.ignore()
      dialog.socket.end('552 5.3.4 too large\r\n')
    }, { content, recipients: ['a@example.org'] })
    expect(results).toMatchObject([{ outcome: 'failed', reply: { code: 552 } }])
  })

  it.each(['greeting', 'EHLO', 'MAIL', 'DATA', 'final'])('421 at %s defers and the connection is not used again', async (where) => {
    const results = await deliverTo(async (dialog) => {
      if (where === 'greeting') return dialog.send('421 4.3.2 going down\r\n')
      if (where === 'EHLO') {
        dialog.send('220 inner\r\n')
        await dialog.line()
        return dialog.send('421 4.3.2 going down\r\n')
      }
      await dialog.greet()
      const gone = '421 4.3.2 going down'
      await dialog.takeMessage(where === 'MAIL' ? { mail: gone } : where === 'DATA' ? { data: gone } : { final: gone })
      await dialog.line()
    })
    expect(results.map((result) => result.outcome)).toEqual(['deferred', 'deferred', 'deferred'])
    expect(JSON.stringify(results[0])).toContain('going down')
    await eventually(() => server.dialogs.every((dialog) => dialog.socket.destroyed || dialog.socket.readableEnded))
  })

  it('a next hop that says something that is no reply is left, and the message waits', async () => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      await dialog.line()
      dialog.send('HTTP/1.1 400 Bad Request\r\n\r\n')
    })
    expect(results[0]!.error).toContain('no reply: HTTP/1.1 400')
  })

  it('a next hop that falls silent is left after its time', async () => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet()
      await dialog.line()
    })
    expect(results[0]!.error).toContain('gave no reply within')
  })

  it('without PIPELINING each command waits for its reply, and HELO will do', async () => {
    const contents: string[] = []
    const results = await deliverTo(async (dialog) => {
      dialog.send('220 old server\r\n')
      await dialog.line()
      dialog.send('502 what?\r\n')
      expect(await dialog.line()).toBe('HELO gateway.test')
      dialog.send('250 hello\r\n')
      for (const reply of ['250 ok', '250 ok', '550 no', '250 ok', '354 go']) {
        await dialog.line()
        await new Promise((resolve) => setTimeout(resolve, 5))
        expect(() => dialog.socket.read()).not.toThrow()
        dialog.send(`${reply}\r\n`)
      }
      contents.push(await dialog.data())
      dialog.send('250 taken\r\n')
    })
    expect(results.map((result) => result.outcome)).toEqual(['delivered', 'failed', 'delivered'])
    expect(server.dialogs[0]!.lines).toEqual([
      'EHLO gateway.test',
      'HELO gateway.test',
      'MAIL FROM:<sender@example.com>',
      'RCPT TO:<a@example.org>',
      'RCPT TO:<b@example.org>',
      'RCPT TO:<c@example.org>',
      'DATA',
    ])
    expect(contents).toEqual([octets])
  })

  it('offers what the next hop offers: SIZE with the headers counted, 8BITMIME, SMTPUTF8', async () => {
    await deliverTo(async (dialog) => {
      await dialog.greet(['PIPELINING', 'SIZE 1000', '8BITMIME', 'SMTPUTF8'])
      await dialog.takeMessage()
    }, { is8BitMime: true, isSmtpUtf8: true, prependedHeaders: 'X: y\r\n', recipients: ['б@example.org'] })
    expect(server.dialogs[0]!.lines.slice(1, 3)).toEqual([
      `MAIL FROM:<sender@example.com> SIZE=${octets.length + 6} BODY=8BITMIME SMTPUTF8`,
      'RCPT TO:<б@example.org>',
    ])
  })

  it('a message over the size that the next hop takes fails without being sent', async () => {
    const results = await deliverTo(async (dialog) => {
      await dialog.greet(['PIPELINING', 'SIZE 10'])
      await dialog.takeMessage()
    })
    expect(results[0]).toMatchObject({ outcome: 'failed', error: expect.stringContaining('5.3.4') })
    expect(server.dialogs[0]!.lines).toEqual(['EHLO gateway.test'])
  })

  it('an address that is not ASCII fails where the next hop offers no SMTPUTF8', async () => {
    const results = await deliverTo(taking, { recipients: ['б@example.org'], isSmtpUtf8: true })
    expect(results[0]).toMatchObject({ outcome: 'failed', error: expect.stringContaining('SMTPUTF8') })
  })

  it('a subject tag is put in while sending, and the octets in the spool stay as they were', async () => {
    const contents: string[] = []
    await deliverTo(async (dialog) => {
      await dialog.greet()
      contents.push(await dialog.takeMessage({ final: '451 later' }))
    }, { subjectTag: '[SPAM]', prependedHeaders: 'X-Spam: yes\r\n' })
    expect(contents).toEqual(['X-Spam: yes\r\nSubject: [SPAM] hello\r\n\r\nbody\r\n'])
  })

  it('more than a hundred recipients go in several transactions, each recipient once', async () => {
    const recipients = Array.from({ length: 250 }, (_, index) => `user${index}@example.org`)
    const transactions: number[] = []
    await deliverTo(async (dialog) => {
      await dialog.greet()
      for (;;) {
        const before = dialog.lines.length
        await dialog.takeMessage()
        transactions.push(dialog.lines.slice(before).filter((line) => line.startsWith('RCPT')).length)
      }
    }, { recipients })
    await eventually(() => log.of('message.finished').length === 1)
    expect(transactions.sort()).toEqual([100, 100, 50])
    const rcpts = server.dialogs.flatMap((dialog) => dialog.lines.filter((line) => line.startsWith('RCPT')))
    expect(new Set(rcpts).size).toBe(250)
    expect(rcpts).toHaveLength(250)
    expect(log.of('message.finished')).toMatchObject([{ deliveredCount: 250 }])
  })

  it('a large message goes in blocks, as fast as the next hop reads, and whole', async () => {
    const content = Buffer.concat([Buffer.from('Subject: big\r\n\r\n'), Buffer.alloc(4_000_000, '.a line that begins with a dot\r\n'), Buffer.from('\r\n')])
    const contents: string[] = []
    await deliverTo(async (dialog) => {
      await dialog.greet()
      contents.push(await dialog.takeMessage())
    }, { content, recipients: ['a@example.org'], subjectTag: '[BIG]' })
    expect(contents[0]!.replaceAll('\r\n..', '\r\n.')).toBe(content.toString('latin1').replace('big', '[BIG] big'))
  })
})
