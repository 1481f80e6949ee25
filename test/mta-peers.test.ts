/** A real Postfix under test: what it logged becomes what was sent, and its totals are those of pflogsumm. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { peer } from './e2e/peers.ts'
import { writePostfixConfig } from './e2e/postfix-config.ts'
import { freePort, until } from './e2e/product.ts'
import { startSmtpSink, swaks, type Sink } from './e2e/smtp-sink.ts'
import { addTenant } from './ingest-rows.ts'
import { ingestMta } from './mta-fixture.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

const postfix = peer('postfix', 'postfix')
const pflogsumm = peer('pflogsumm', 'pflogsumm')
const isMissing = postfix.isMissing || pflogsumm.isMissing || swaks.isMissing || process.getuid?.() !== 0

describe.skipIf(isMissing)(`a real Postfix${postfix.label}${pflogsumm.label}${swaks.label} (as root)`, () => {
  let folder = ''
  let test: TestDatabase
  let sink: Sink
  const log = (): string => path.join(folder, 'mail.log')

  beforeAll(async () => {
    test = await createTestDatabase()
    await addTenant(test.database)
    sink = await startSmtpSink()
    folder = mkdtempSync(path.join(tmpdir(), 'tollgate-postfix-'))
    chmodSync(folder, 0o755)
    const port = await freePort()
    const latePort = await freePort()
    writeConfig(folder, { port, innerPort: sink.port, latePort })
    postfixCommand(folder, 'start')
    await until('Postfix listens', () => Promise.resolve(isTalking(port)))

    send(port, 'alice@partner.test', ['ann@corp.test', 'ben@corp.test', 'nobody@corp.test'], 'Subject: first')
    send(port, 'alice@partner.test', ['nobody@corp.test', 'else@other.test'])
    send(port, 'bob@partner.test', ['alias@corp.test', 'zoe@corp.test'])
    send(port, 'bob@partner.test', ['ann@corp.test'], 'Subject: forbidden')
    send(port, 'bob@partner.test', ['late@corp.test'])
    await until('the late message was tried', () => Promise.resolve(/to=<late@corp\.test>.*status=deferred/.test(readFileSync(log(), 'utf8'))))
    writeFileSync(path.join(folder, 'conf', 'transport'), transports(sink.port, sink.port))
    postfixCommand(folder, 'reload')
    await until('the queue is empty', () => Promise.resolve(readFileSync(log(), 'utf8').match(/: removed/g)?.length === 3))
  }, 60_000)
  afterAll(async () => {
    postfixCommand(folder, 'stop')
    await sink.stop()
    await test.drop()
    rmSync(folder, { recursive: true, force: true })
  })

  it('becomes the messages that were sent, with who was accepted, refused and delivered', async () => {
    const summary = await ingestMta(test.database, 'postfix', [log()], { clock: { timeZone: null, year: null } })
    expect([...summary.unknown]).toEqual([])
    expect(summary.unfinished).toEqual({ threadCount: 0, lineCount: 0 })
    const { rows } = await test.database.pool.query(`
      select t.outcome, t.sender, t.subject, t.size_source,
        array(select r.address || ' ' || r.outcome from transaction_recipient r where r.transaction_id = t.transaction_id order by r.address) as recipients,
        (select array_agg(distinct a.delivered_count > 0 order by a.delivered_count > 0) from delivery_attempt a where a.transaction_id = t.transaction_id) as tries,
        (select f.delivered_count from message_finished f where f.transaction_id = t.transaction_id) as delivered
      from mail_transaction t order by t.ended_at, t.sender, t.outcome, recipients`)
    const told = rows.map((row: { outcome: string; sender: string; recipients: string[]; delivered: number | null }) => [row.outcome, row.sender, row.recipients, row.delivered])
    const expected = [
      ['accepted', 'alice@partner.test', ['ann@corp.test accepted', 'ben@corp.test accepted', 'nobody@corp.test refused'], 2],
      ['refused', 'alice@partner.test', ['else@other.test refused', 'nobody@corp.test refused'], null],
      ['accepted', 'bob@partner.test', ['alias@corp.test accepted', 'zoe@corp.test accepted'], 3],
      ['refused', 'bob@partner.test', ['ann@corp.test accepted'], null],
      ['accepted', 'bob@partner.test', ['late@corp.test accepted'], 1],
    ]
    expect(told.map((row) => JSON.stringify(row)).sort()).toEqual(expected.map((row) => JSON.stringify(row)).sort())
    expect(rows.find((row: { recipients: string[] }) => row.recipients[0] === 'late@corp.test accepted')).toMatchObject({ tries: [false, true] })
    expect(rows.find((row: { subject: string | null }) => row.subject === 'first')).toMatchObject({ size_source: 'queue' })
  })

  it('has the totals that pflogsumm counts in the same file', async () => {
    const text = execFileSync(pflogsumm.path, [log()], { encoding: 'utf8' })
    const totalOf = (name: string): number => Number(new RegExp(`^\\s*(\\d+)\\s+${name}`, 'm').exec(text)?.[1])
    const { rows } = await test.database.pool.query(`select
      (select count(*)::int from mail_transaction where outcome = 'accepted') as received,
      (select sum(message_bytes)::int from mail_transaction where outcome = 'accepted') as bytes,
      (select sum(delivered_count)::int from delivery_attempt) as delivered,
      (select sum(deferred_count)::int from delivery_attempt) as deferrals,
      (select sum(failed_count)::int from delivery_attempt) as bounced,
      (select count(*)::int from transaction_recipient where outcome = 'refused')
        + (select count(*)::int from mail_transaction where outcome = 'refused' and stage = 'complete') as rejected`)
    // pflogsumm counts as received what a client began, the message that its content refused included.
    expect({
      received: totalOf('received') - 1, bytes: totalOf('bytes received'), delivered: totalOf('delivered'),
      deferrals: Number(/\((\d+)\s+deferrals\)/.exec(text)?.[1]), bounced: totalOf('bounced'), rejected: totalOf('rejected'),
    }).toEqual(rows[0])
  })
})

function send(port: number, from: string, to: string[], header?: string): void {
  const words = ['--server', `127.0.0.1:${port}`, '--from', from, '--to', to.join(','), '--silent', '3', ...(header === undefined ? [] : ['--header', header])]
  try {
    execFileSync(swaks.path, words, { stdio: 'ignore', timeout: 20_000 })
  } catch {
    // Refused mail is an error to swaks, and what this is about.
  }
}

function isTalking(port: number): boolean {
  try {
    return execFileSync(swaks.path, ['--server', `127.0.0.1:${port}`, '--quit-after', 'CONNECT', '--silent', '3'], { stdio: 'ignore', timeout: 10_000 }) !== undefined
  } catch {
    return false
  }
}

function postfixCommand(folder: string, command: string): void {
  execFileSync(postfix.path, ['-c', path.join(folder, 'conf'), command], { stdio: 'ignore', timeout: 30_000 })
}

const transports = (innerPort: number, latePort: number): string =>
  `/^late@corp\\.test$/ smtp:[127.0.0.1]:${latePort}\n/./ smtp:[127.0.0.1]:${innerPort}\n`

function writeConfig(folder: string, { port, innerPort, latePort }: { port: number; innerPort: number; latePort: number }): void {
  writePostfixConfig(folder, {
    port,
    settings: `
myhostname = mx.example.org
mynetworks = 127.0.0.2/32
relay_domains = corp.test
relay_recipient_maps = regexp:$config_directory/recipients
virtual_alias_maps = regexp:$config_directory/aliases
transport_maps = regexp:$config_directory/transport
header_checks = regexp:$config_directory/header_checks
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
minimal_backoff_time = 1s
maximal_backoff_time = 1s
queue_run_delay = 1s
smtp_destination_concurrency_failed_cohort_limit = 0
notify_classes =
smtp_dns_support_level = disabled
smtp_tls_security_level = none
`,
    maps: {
      recipients: '/^(ann|ben|zoe|late|alias)@corp\\.test$/ ok\n',
      aliases: '/^alias@corp\\.test$/ ann@corp.test, ben@corp.test\n',
      header_checks: '/^Subject: .*forbidden/ REJECT no such content\n/^Subject: first/ WARN\n',
      transport: transports(innerPort, latePort),
    },
  })
}
