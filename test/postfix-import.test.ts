/** A real Postfix, and a gateway from what `tollgate import postfix` made of its folder, answer the same recipients alike. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { translatePostfix } from '../services/gateway/import-postfix/translate-postfix.ts'
import { writeImport } from '../services/gateway/import-postfix/write-import.ts'
import { freePort, listening } from './bench/smtp-peers.ts'
import { peer } from './e2e/peers.ts'
import { writePostfixConfig } from './e2e/postfix-config.ts'

const postfix = peer('postfix', 'postfix')
const trustedAddress = '127.0.0.2'
const strangers = ['127.0.0.1', '127.0.0.4']
const senders = ['a@partner.test', '', 'bad@spam.test', 'other@spam.test', 'a@blocked.test', 'a@sub.blocked.test']
const recipients = ['ann@corp.test', 'ANN@CORP.TEST', 'nobody@corp.test', 'sales@corp.test', 'any@birch.test', 'a@sub.birch.test', 'a@other.test', 'hidden@corp.test']
const triples = [trustedAddress, ...strangers].flatMap((remote) => senders.flatMap((sender) => recipients.map((recipient) => ({ remote, sender, recipient }))))

/** Where the two differ, and why that is meant. */
const differences = new Map([
  ['a@other.test 4 5', 'relaying to strangers is refused for good, where this Postfix would have it tried again'],
  ['a@sub.birch.test 4 5', 'the same: a subdomain is another domain'],
])

describe.skipIf(postfix.isMissing || process.getuid?.() !== 0)(`an imported configuration${postfix.label} (as root)`, () => {
  let folder = ''
  let gateway: ChildProcess
  let theirs = 0
  let ours = 0

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'tollgate-imported-'))
    chmodSync(folder, 0o755)
    theirs = await freePort()
    ours = await freePort()
    writePostfix(folder, theirs)
    execFileSync(postfix.path, ['-c', path.join(folder, 'conf'), 'start'], { stdio: 'ignore', timeout: 30_000 })
    await writeImport(translatePostfix(path.join(folder, 'conf')).files, path.join(folder, 'imported'), false)
    gateway = spawn(process.execPath, ['bin/tollgate.js', 'gateway', '--config', path.join(folder, 'imported', 'tollgate.yaml')], {
      stdio: 'ignore', env: { ...process.env, TOLLGATE_SMTP_LISTEN: `127.0.0.1:${ours}` },
    })
    await Promise.all([listening(theirs, null), listening(ours, gateway)])
  }, 60_000)
  afterAll(async () => {
    execFileSync(postfix.path, ['-c', path.join(folder, 'conf'), 'stop'], { stdio: 'ignore', timeout: 30_000 })
    const ended = gateway.exitCode === null ? once(gateway, 'exit') : null
    gateway.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }, 60_000)

  it('answers each remote, sender and recipient as the Postfix did, but for the differences that are meant', async () => {
    const found: string[] = []
    const seen = new Set<string>()
    for (const triple of triples) {
      const [their, our] = await Promise.all([verdict(theirs, triple), verdict(ours, triple)])
      if (their === our) continue
      const key = `${triple.recipient} ${their} ${our}`
      if (differences.has(key)) seen.add(key)
      else found.push(`${triple.remote} ${triple.sender} ${key}`)
    }
    expect(found).toEqual([])
    expect([...differences.keys()].filter((key) => !seen.has(key))).toEqual([])
  }, 120_000)
})

/** First digit of the reply that decides: the first refusal, else that to RCPT. */
async function verdict(port: number, { remote, sender, recipient }: (typeof triples)[number]): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: remote })
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  const reply = async (): Promise<string> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done === true) return 'closed'
      if (value[3] !== '-') return value[0]!
    }
  }
  try {
    let last = await reply()
    for (const command of ['EHLO client.partner.test', `MAIL FROM:<${sender}>`, `RCPT TO:<${recipient}>`]) {
      if (last !== '2') return last
      socket.write(`${command}\r\n`)
      last = await reply()
    }
    return last
  } finally {
    socket.destroy()
  }
}

function writePostfix(folder: string, port: number): void {
  writePostfixConfig(folder, {
    port,
    settings: `
myhostname = mx.example.org
mynetworks = ${trustedAddress}/32
relay_domains = corp.test, birch.test
parent_domain_matches_subdomains =
relay_recipient_maps = texthash:$config_directory/recipients
virtual_alias_maps = texthash:$config_directory/virtual
transport_maps = texthash:$config_directory/transport
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_sender_restrictions = permit_mynetworks, check_sender_access texthash:$config_directory/senders
smtpd_client_restrictions = permit_mynetworks, check_client_access cidr:$config_directory/clients
smtpd_recipient_restrictions = permit_mynetworks, check_recipient_access texthash:$config_directory/inside
notify_classes =
`,
    maps: {
      recipients: 'ann@corp.test ok\nhidden@corp.test ok\n@birch.test ok\n',
      virtual: 'sales@corp.test ann@corp.test\n',
      transport: 'corp.test smtp:[127.0.0.1]:9\nbirch.test smtp:[127.0.0.1]:9\n',
      senders: 'bad@spam.test REJECT not you\nblocked.test 550 not your domain\n',
      clients: '127.0.0.4/32 450 later\n',
      inside: 'hidden@corp.test REJECT inside only\n',
    },
  })
}
