/**
 * What the golden segments tell: one short life of a gateway and its end, a second one after it, played through the
 * real session, policy and writer on a clock of its own. Every kind of event and every outcome occurs.
 */
import { readdir, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { EventBody } from '../../services/contracts/event.ts'
import { openEventLog, type EventLogWriter } from '../../services/gateway/log/event-log-writer.ts'
import { PolicySource } from '../../services/gateway/policy/policy-source.ts'
import { deliveryAttempted, messageFinished } from '../../services/gateway/relay/delivery-events.ts'
import { openOperatorLog } from '../../services/kit/operator-log.ts'
import { Harness, configOf, type Client } from '../gateway-harness.ts'

const rules = `name: golden
markAt: 5
rejectAt: 10
subjectTag: '[SPAM]'
lists: {bad-senders: [win@lottery.example]}
rules:
  - {id: bad-network, revision: 1, name: bad network, stage: connect, mode: active, when: {attribute: remote.ip, cidr: 198.51.100.0/24}, then: {reject: {text: Not from there}}}
  - {id: bare-helo, revision: 3, name: bare helo, stage: helo, mode: active, when: {attribute: helo, matches: '^[0-9.]+$'}, then: {weight: 2.5}}
  - {id: bad-helo, revision: 1, name: bad helo, stage: helo, mode: active, when: {attribute: helo, equals: localhost}, then: {reject: {text: Not your name}}}
  - {id: bad-sender, revision: 1, name: bad sender, stage: mail, mode: active, when: {attribute: sender, in: bad-senders}, then: {reject: {text: Sender refused}}}
  - {id: grey-sender, revision: 1, name: grey sender, stage: mail, mode: active, when: {attribute: sender.domain, equals: grey.example}, then: {defer: {text: Try again later}}}
  - {id: harvest, revision: 1, name: harvest, stage: rcpt, mode: shadow, when: {attribute: refusedRecipientCount, above: 0}, then: {weight: 3, reject: {text: Too many}}}
  - {id: spam-words, revision: 2, name: spam words, stage: header, mode: active, when: {attribute: subject, matches: 'pills|casino'}, then: {weight: 5}}
  - {id: bulk-mailer, revision: 1, name: bulk mailer, stage: header, mode: active, when: {attribute: header.X-Mailer, matches: bulk}, then: {weight: 6, addHeader: {name: X-Bulk, value: 'yes'}}}
  - {id: drop, revision: 1, name: drop, stage: header, mode: active, when: {attribute: subject, equals: drop me}, then: {discard: true}}
  - {id: executable, revision: 1, name: executable, stage: complete, mode: active, when: {attribute: attachment.name, matches: 'exe$'}, then: {quarantine: true}}
`
const directory = `clients:
  - {id: acme, name: Acme, addresses: [anna@example.com, bob@example.com]}
  - {id: late, name: Late payer, state: quota, addresses: [late@example.com]}
  - {id: off, name: Former client, state: blocked, addresses: [off@example.com]}
`
const settings = `recipients: {domains: [example.com, bücher.example]}
networks: [{name: printers, class: device, cidrs: [10.1.0.0/16]}, {name: office, class: trusted, cidrs: [10.0.0.0/8]}]
`
const pdf = `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nscan\r\n--b\r\nContent-Type: application/pdf; name="=?utf-8?Q?B=C3=BCro.pdf?="\r\nContent-Transfer-Encoding: base64\r\n\r\n${'QUFB'.repeat(19)}\r\n--b--`

/** Writes the segments into an empty folder; `workFolder` holds the files that the policy is read from. */
export async function writeGolden(folder: string, workFolder: string): Promise<void> {
  for (const name of await readdir(folder)) await rm(path.join(folder, name))
  await writeFile(path.join(workFolder, 'rules.yaml'), rules)
  await writeFile(path.join(workFolder, 'directory.yaml'), directory)
  const stage = new Stage(folder, workFolder)
  const log = await stage.boot()
  await playEveryOutcome(stage)
  await tellDeliveries(stage, log)
  await log.append({ kind: 'gateway.alive', queuedCount: 1 })
  await log.close('stopped in an orderly way')
  const second = await stage.boot()
  stage.connect('203.0.113.9')
  await stage.deliver('Message-ID: <first@remote.example>\r\nSubject: hello\r\n\r\nhello')
  await second.append({ kind: 'gateway.alive', queuedCount: 0 })
  await second.close('stopped in an orderly way')
}

class Stage {
  harness = new Harness({ config: settings })
  client!: Client
  readonly #folder: string
  readonly #workFolder: string

  constructor(folder: string, workFolder: string) {
    this.#folder = folder
    this.#workFolder = workFolder
  }

  async boot(): Promise<EventLogWriter> {
    const { harness } = this
    const clock = { nowMs: () => (harness.nowMs += 7), monotonicUs: () => 0 }
    const log = await openEventLog({
      folder: this.#folder,
      tenantId: 'main',
      node: 'golden',
      version: '0.1.0',
      clock,
      segmentBytes: 20_000,
    })
    const config = { ...configOf(settings), data: this.#workFolder, rules: path.join(this.#workFolder, 'rules.yaml') }
    const recipients = { ...config.recipients, directory: path.join(this.#workFolder, 'directory.yaml') }
    const source = new PolicySource({
      config: { ...config, recipients },
      eventLog: log,
      log: openOperatorLog('golden', { level: 'silent' }),
    })
    await source.open()
    await source.close()
    harness.policy = source.current
    let elapsedUs = 0
    Object.assign(harness.deps, {
      eventLog: log,
      clock: { nowMs: clock.nowMs, monotonicUs: () => (elapsedUs += 11) },
    })
    return log
  }

  connect(ip: string): void {
    this.client = this.harness.connect(ip)
  }

  async lines(...lines: string[]): Promise<void> {
    for (const line of lines) await this.client.line(line)
  }

  async deliver(message: string, recipients = ['anna@example.com'], sender = 'sender@remote.example'): Promise<void> {
    await this.client.deliver(message, recipients, sender)
  }

  async quit(): Promise<void> {
    await this.client.line('QUIT')
    await this.client.session.closed
  }

  /** The connection breaks: replies are not read. */
  async break(): Promise<void> {
    this.client.writeFailure = new Error('EPIPE')
    this.client.session.connectionLost()
    await this.client.session.closed
  }
}

async function playEveryOutcome(stage: Stage): Promise<void> {
  stage.connect('203.0.113.9')
  await stage.deliver('Message-ID: <first@remote.example>\r\nSubject: hello\r\n\r\nhello', [
    'anna@example.com',
    'nobody@example.com',
    'x@elsewhere.example',
    'BOB@Example.com',
  ])
  await stage.deliver('Message-ID: <2@remote.example>\r\nSubject: =?utf-8?Q?g=C3=BCnstige?= pills\r\n\r\nbuy')
  await stage.deliver('Message-ID: <3@remote.example>\r\nSubject: casino\r\nX-Mailer: bulk 9\r\n\r\nbuy')
  await stage.deliver('Message-ID: <4@remote.example>\r\nSubject: drop me\r\n\r\nbuy')
  await stage.deliver(
    'Content-Type: application/octet-stream; name=setup.exe\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA',
    ['anna@example.com', 'postmaster@example.com'],
  )
  await stage.deliver('Subject: bare\n.\nline', ['anna@example.com'])
  await stage.lines(
    'MAIL FROM:<win@lottery.example> SIZE=2000',
    'MAIL FROM:<a@grey.example>',
    'MAIL FROM:<a@b.example> SIZE=99999999999',
  )
  await stage.lines(
    'MAIL FROM:<a@b.example> SIZE=1500',
    'RCPT TO:<nobody@example.com>',
    'RCPT TO:<off@example.com>',
    'RSET',
  )
  await stage.lines(
    'MAIL FROM:<>',
    'RCPT TO:<late@example.com>',
    'RSET',
    'MAIL FROM:<a@b.example>',
    'RCPT TO:<anna@example.com>',
    'RSET',
  )
  await stage.lines('MAIL FROM:<größe@b.example> SMTPUTF8 BODY=8BITMIME', 'RCPT TO:<anna@bücher.example>', 'NONSENSE')
  await stage.quit()

  stage.connect('198.51.100.7')
  await stage.client.session.closed
  stage.connect('2001:db8::7')
  await stage.lines('EHLO localhost')
  await stage.quit()

  stage.connect('203.0.113.10')
  await stage.lines('EHLO 203.0.113.10', 'MAIL FROM:<a@b.example>', 'RCPT TO:<anna@example.com>', 'DATA')
  await stage.client.send('Subject: half of')
  await stage.break()

  const retried = 'Message-ID: <retried@remote.example>\r\nSubject: again\r\n\r\nagain'
  stage.connect('203.0.113.11')
  await stage.lines('EHLO c', 'MAIL FROM:<sender@remote.example>', 'RCPT TO:<anna@example.com>', 'DATA')
  stage.client.writeFailure = new Error('EPIPE')
  await stage.client.send(`${retried}\r\n.\r\n`)
  await stage.break()
  stage.connect('203.0.113.11')
  await stage.deliver(retried)
  await stage.quit()

  stage.connect('10.1.0.9')
  await stage.deliver(pdf, ['bob@example.com'], 'scan@example.com')
  await stage.quit()
  stage.connect('10.0.0.9')
  await stage.deliver(
    'Subject: outbound\r\n\r\nhi',
    ['someone@elsewhere.example', 'bob@example.com'],
    'anna@example.com',
  )
  stage.client.session.timedOut()
  await stage.client.session.closed
}

async function tellDeliveries({ harness }: Stage, log: EventLogWriter): Promise<void> {
  const nextHop = { route: '*', host: '127.0.0.1', port: 2526 }
  const released = harness.spool.released.map(({ envelope, octets }) => ({ envelope: envelope!, octets }))
  const refusal = { code: 550, enhanced: '5.1.1', text: 'No such mailbox' }
  const tell = (body: EventBody): Promise<void> => log.append(body)
  for (const [index, { envelope, octets }] of released.entries()) {
    const { queueId, acceptedAtMs } = envelope
    if (envelope.disposition === 'quarantine') {
      await tell({ kind: 'quarantine.released', transactionId: queueId, by: 'operator' })
      await tell({ kind: 'quarantine.deleted', transactionId: queueId, by: 'operator' })
      continue
    }
    // The first waits for its next hop once, the second is refused there; the last is still under way.
    const attempt = {
      queueId,
      startedAtMs: harness.nowMs,
      durationUs: 4_321,
      nextHop,
      tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
    }
    const recipients = (outcome: 'delivered' | 'deferred' | 'failed') =>
      envelope.recipients.map(({ address }) => ({
        address,
        outcome,
        reply:
          outcome === 'deferred'
            ? null
            : outcome === 'failed'
              ? refusal
              : { code: 250, enhanced: '2.0.0', text: 'queued' },
        error: outcome === 'deferred' ? 'cannot connect to 127.0.0.1:2526' : null,
      }))
    if (index === 0)
      await tell(
        deliveryAttempted({ ...attempt, attempt: 1, tls: null, recipients: recipients('deferred'), sentBytes: 0 }),
      )
    if (index === released.length - 1) continue
    const isFailed = index === 1
    const sentBytes = octets.length + Buffer.byteLength(envelope.prependedHeaders)
    await tell(
      deliveryAttempted({
        ...attempt,
        attempt: index === 0 ? 2 : 1,
        recipients: recipients(isFailed ? 'failed' : 'delivered'),
        sentBytes,
      }),
    )
    const count = envelope.recipients.length
    const finishedAtMs = harness.nowMs
    await tell(
      messageFinished({
        queueId,
        acceptedAtMs,
        finishedAtMs,
        deliveredCount: isFailed ? 0 : count,
        failedCount: isFailed ? count : 0,
        expiredCount: 0,
      }),
    )
  }
}
