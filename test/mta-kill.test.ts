/** `tollgate ingest FILE --format postfix` that is ended by kill -9, again and again, at any moment. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ensureBillingPolicy } from '../services/billing/billing-policy.ts'
import { openDatabase } from '../services/database/open-database.ts'
import { policySettings } from './billing-tenant.ts'
import { runTollgate, startTollgate, type Finished } from './harness/tollgate-command.ts'
import { addTenant, emptyTables, snapshotOf, until } from './ingest-rows.ts'
import { meterAll } from './mta-fixture.ts'
import { createTestDatabase, type TestDatabase } from './test-database.ts'

/** Of some three events each: two batches. */
const messageCount = 3_000
const words = ['ingest', 'mail.log', '--format', 'postfix', '--year', '2026', '--time-zone', 'UTC']

describe('tollgate ingest of the log of a Postfix, ended by kill -9', () => {
  let test: TestDatabase
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tollgate-mta-kill-'))
    test = await createTestDatabase()
    await writeFile(path.join(folder, 'tollgate.yaml'), 'recipients:\n  domains: [corp.test]\n')
    await writeFile(path.join(folder, 'mail.log'), postfixLog(messageCount))
    await prepare()
  }, 60_000)
  afterAll(async () => {
    await test.drop()
    await rm(folder, { recursive: true, force: true })
  })

  const options = () => ({ folder, environment: { TOLLGATE_DATABASE: test.url, TZ: 'UTC' } })

  async function prepare(): Promise<void> {
    await emptyTables(test.url)
    const owner = openDatabase(test.url, { applicationName: 'test', role: 'owner', maxConnections: 1 })
    await owner.pool.query('truncate usage_entry, metered_batch, recipient_name')
    await owner.close()
    await addTenant(test.database)
    await ensureBillingPolicy(test.database, 'main', policySettings())
  }

  const batchCount = async (): Promise<number> =>
    (await test.database.pool.query('select from ingest_batch')).rows.length

  /** Files of which it is noted how far they are read. */
  const placeCount = async (): Promise<number> => (await test.database.pool.query('select from log_source_file where position_bytes > 0')).rows.length

  const transactionCount = async (): Promise<number> =>
    (await test.database.pool.query<{ count: number }>('select count(*)::int as count from mail_transaction')).rows[0]!.count

  /** Ends the command when it has stored a batch more than before, has noted a place in a file, or so many milliseconds after its start. */
  async function killed(when: 'batch' | 'place' | number, more: string[] = []): Promise<NodeJS.Signals | null> {
    const before = await batchCount()
    const child = startTollgate([...words, ...more], options())
    let isOver = false
    const finished: Promise<Finished> = child.finished.finally(() => (isOver = true))
    if (when === 'place') await until(async () => isOver || (await placeCount()) > 0)
    else if (when === 'batch') await until(async () => isOver || (await batchCount()) > before)
    else await Promise.race([sleep(when), finished])
    child.kill('SIGKILL')
    await finished
    return child.signalCode
  }

  it('ends in the same rows and the same metering as a run that nobody disturbed', { timeout: 240_000 }, async () => {
    const startedAt = performance.now()
    const whole = await runTollgate(words, options())
    const wholeMs = performance.now() - startedAt
    expect(whole.stderr).toContain(`${messageCount} of them mail transactions`)
    expect(whole.code).toBe(0)
    const entries = await meterAll(test.database)
    const rows = await snapshotOf(test.database)
    expect([rows['mail_transaction']!.length, rows['miscounted_batch']]).toEqual([messageCount, []])
    expect(entries).toHaveLength(messageCount + Math.ceil(messageCount / 3))

    await prepare()
    expect([await killed('batch'), (await batchCount()) > 0]).toEqual(['SIGKILL', true])
    for (let turn = 0; turn < 5; turn += 1) {
      await killed(wholeMs * (0.1 + 0.5 * Math.random()))
      // As the worker does while the log is still being read.
      await meterAll(test.database)
    }
    expect((await runTollgate(words, options())).code).toBe(0)
    expect(await meterAll(test.database)).toEqual(entries)
    expect(await snapshotOf(test.database)).toEqual(rows)

    // The same where it goes on from the place that it noted: what was noted and not stored would never come again.
    await prepare()
    expect(await killed('place', ['--follow'])).toBe('SIGKILL')
    for (let turn = 0; turn < 4; turn += 1) await killed(wholeMs * (0.1 + 0.5 * Math.random()), ['--follow'])
    const last = startTollgate([...words, '--follow'], options())
    await until(async () => last.exitCode !== null || (await transactionCount()) === messageCount)
    last.kill('SIGTERM')
    await last.finished
    expect(await meterAll(test.database)).toEqual(entries)
  })
})

/** Sessions of three processes at once; each third message has two recipients, each seventh waits for delivery. */
function postfixLog(count: number): string {
  const lines: string[] = []
  for (let index = 0; index < count; index += 1) {
    const at = (second: number, program: string, text: string): string => {
      const time = new Date(Date.UTC(2026, 8, 10, 0, 0, index * 2 + second)).toISOString()
      return `Sep 10 ${time.slice(11, 19)} mx postfix/${program}: ${text}`
    }
    const id = `4${index.toString(16).toUpperCase().padStart(9, '0')}`
    const smtpd = `smtpd[${100 + (index % 3)}]`
    const recipients = index % 3 === 0 ? ['ann', 'ben'] : ['ann']
    const client = `out.test[192.0.2.${index % 250}]`
    const isWaiting = index % 7 === 0
    const status = isWaiting ? 'dsn=4.4.1, status=deferred (timed out)' : 'dsn=2.0.0, status=sent (250 2.0.0 Ok)'
    const delivered = (name: string): string =>
      `${id}: to=<${name}@corp.test>, relay=in[192.0.2.99]:25, delay=1, delays=1/0/0/0, ${status}`
    lines.push(
      at(0, smtpd, `connect from ${client}`),
      at(0, smtpd, `${id}: client=${client}`),
      at(0, 'cleanup[12]', `${id}: message-id=<${index}@x.test>`),
      at(0, 'qmgr[13]', `${id}: from=<a@x.test>, size=${1_000 + index}, nrcpt=${recipients.length} (queue active)`),
      at(0, smtpd, `disconnect from ${client} ehlo=1 mail=1 rcpt=${recipients.length} data=1 quit=1 commands=5`),
      ...recipients.map((name) => at(1, 'smtp[14]', delivered(name))),
      ...(isWaiting ? [] : [at(1, 'qmgr[13]', `${id}: removed`)]),
    )
  }
  return `${lines.join('\n')}\n`
}
