import { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ScriptedDialog, startScriptedServer, type ScriptedServer } from '../../../test/scripted-server.ts'
import { acceptMessage, envelopeTo, eventually, MemoryEventLog, openTestSpool, temporaryFolder } from '../../../test/spool-fixture.ts'
import { testCertificate, testKey } from '../../../test/test-certificate.ts'
import type { OpenSpool } from '../spool/open-spool.ts'

const octets = 'Subject: hello\r\n\r\nbody\r\n'

describe('TLS with a next hop', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let log: MemoryEventLog
  let open: OpenSpool
  let server: ScriptedServer
  /** What the server understood after STARTTLS. */
  let secureLines: string[]

  beforeEach(async () => {
    place = await temporaryFolder()
    log = new MemoryEventLog()
    secureLines = []
  })
  afterEach(async () => {
    await open.stop()
    await server.stop()
    await place.remove()
  })

  async function send(tls: 'off' | 'may' | 'must', script: (dialog: ScriptedDialog) => Promise<void>): Promise<void> {
    server = await startScriptedServer(script)
    open = await openTestSpool(place.folder, log, {
      routes: [{ port: server.port, tls }],
      limits: { relay: { tlsMs: 1_000, idleMs: 20, stopMs: 20 } },
    })
    await acceptMessage(open.spool, log, envelopeTo(['a@example.org']), octets)
    await eventually(() => log.of('delivery.attempted').length > 0)
  }

  /** Answers STARTTLS with `before` more in the same packet, then speaks SMTP inside. */
  async function upgrading(dialog: ScriptedDialog, before = ''): Promise<void> {
    await dialog.greet(['PIPELINING', 'STARTTLS'])
    const line = await dialog.line()
    if (line !== 'STARTTLS') {
      dialog.send('250 ok\r\n')
      await dialog.line()
      dialog.send('250 ok\r\n')
      await dialog.line()
      dialog.send('354 go\r\n')
      await dialog.data()
      return dialog.send('250 taken in plain text\r\n')
    }
    dialog.socket.removeAllListeners('data')
    dialog.send(`220 go\r\n${before}`)
    const secure = new ScriptedDialog(new TLSSocket(dialog.socket, { isServer: true, cert: testCertificate, key: testKey }))
    await secure.line()
    secure.send('250-inner\r\n250 PIPELINING\r\n')
    await secure.takeMessage()
    secureLines.push(...secure.lines)
  }

  const result = () => log.of('delivery.attempted')[0]!

  it('may: STARTTLS is used with whatever certificate there is, and the event tells version and cipher', async () => {
    await send('may', upgrading)
    expect(result()).toMatchObject({ tls: { version: 'TLSv1.3' }, recipients: [{ outcome: 'delivered' }] })
    expect(secureLines).toEqual(['EHLO gateway.test', 'MAIL FROM:<sender@example.com>', 'RCPT TO:<a@example.org>', 'DATA'])
  })

  it('may: a next hop without STARTTLS gets plain text', async () => {
    await send('may', async (dialog) => {
      await dialog.greet()
      await dialog.takeMessage()
    })
    expect(result()).toMatchObject({ tls: null, recipients: [{ outcome: 'delivered' }] })
  })

  it('may: after a failed handshake the mail goes in plain text at once', async () => {
    await send('may', async (dialog) => {
      if (server.dialogs.length > 1) return upgrading(dialog)
      await dialog.greet(['PIPELINING', 'STARTTLS'])
      await dialog.line()
      dialog.send('220 go\r\n')
      await dialog.octets(10)
      dialog.send('this is no handshake\r\n')
    })
    expect(result()).toMatchObject({ tls: null, recipients: [{ outcome: 'delivered', reply: { text: 'taken in plain text' } }] })
    expect(server.dialogs).toHaveLength(2)
  })

  it('off: STARTTLS is not used though it is offered', async () => {
    await send('off', upgrading)
    expect(result()).toMatchObject({ tls: null, recipients: [{ outcome: 'delivered' }] })
  })

  it('must: a certificate that nobody vouches for gets no mail', async () => {
    await send('must', upgrading)
    expect(result().recipients[0]).toMatchObject({ outcome: 'deferred', error: expect.stringContaining('self-signed') })
    expect(secureLines).toEqual([])
  })

  it('must: a next hop without STARTTLS gets no mail, and the reason names the setting', async () => {
    await send('must', async (dialog) => {
      await dialog.greet()
      await dialog.takeMessage()
    })
    expect(result().recipients[0]!.error).toContain('offers no STARTTLS, and the route asks for it')
  })

  it('replies that came in plain text behind the 220 of STARTTLS are not believed', async () => {
    const forged = '250 forged\r\n'.repeat(6)
    await send('may', (dialog) => upgrading(dialog, forged))
    expect(JSON.stringify(log.bodies)).not.toContain('forged')
  })
})
