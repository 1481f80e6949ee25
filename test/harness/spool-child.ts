/**
 * A process with spool, relay and event log that accepts messages as told by its parent, for tests that kill it.
 *
 * Usage  forked as spool-child.js FOLDER SINK-PORT; takes `{ accept, sizeBytes }`, answers `{ accepted }` at the moment
 *        at which a session would send its 250, and `{ queuedCount }` to `{ count: true }`.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { EventBody, TransactionEnded } from '../../services/contracts/event.ts'
import { transactionIdOf } from '../../services/contracts/transaction-id.ts'
import { openEventLog } from '../../services/gateway/log/event-log-writer.ts'
import { readRecentEvents } from '../../services/gateway/log/recent-events.ts'
import { openSpool } from '../../services/gateway/spool/open-spool.ts'
import { systemClock } from '../../services/kit/clock.ts'
import { openOperatorLog } from '../../services/kit/operator-log.ts'
import { envelopeTo, relayConfig } from '../spool-fixture.ts'

const [folder, port] = process.argv.slice(2) as [string, string]
const log = openOperatorLog('spool child', { level: 'error' })
const clock = systemClock
const eventLog = await openEventLog({ folder: join(folder, 'events'), tenantId: 'main', node: 'child', version: '0', clock })
const recent = await readRecentEvents(eventLog.olderSegments, clock.nowMs())
const { spool, relay } = await openSpool({
  folder: join(folder, 'spool'),
  config: relayConfig([{ port: Number(port) }], { firstRetrySeconds: 1, lastRetrySeconds: 1 }),
  clock,
  log,
  eventLog,
  ...recent,
  limits: { journal: { segmentBytes: 1_000_000 } },
})

process.on('message', (order: { accept: string; sizeBytes: number } | { count: true }) => {
  if ('count' in order) return void process.send!({ queuedCount: relay.counts().queuedCount })
  void accept(order.accept, order.sizeBytes).then((queueId) => process.send!({ accepted: order.accept, queueId }))
})
process.on('disconnect', () => process.exit(0))
process.send!({ isReady: true })

async function accept(name: string, sizeBytes: number): Promise<string> {
  const queueId = transactionIdOf(clock.nowMs(), randomBytes(10))
  const message = spool.begin(queueId)
  await message.write(Buffer.from(`Subject: ${name}\r\n\r\n`))
  for (let left = sizeBytes; left > 0; left -= 65_536) await message.write(Buffer.alloc(Math.min(left, 65_536), 'x'))
  await message.commit(envelopeTo([`${name}@example.org`], { queueId }))
  await eventLog.append(transactionEnded(queueId, `${name}@example.org`))
  message.release()
  return queueId
}

function transactionEnded(queueId: string, address: string): EventBody<TransactionEnded> {
  const at = new Date(clock.nowMs()).toISOString()
  const reply = { code: 250, enhanced: '2.0.0', text: 'queued' }
  return {
    kind: 'transaction.ended',
    transactionId: queueId,
    sessionId: queueId,
    source: 'tollgate',
    listener: null,
    startedAt: at,
    endedAt: at,
    remote: { ip: null, port: null, reverseName: null, forwardConfirmed: null, country: null, networkClass: 'public', networkName: null },
    helo: null,
    tls: null,
    authUser: null,
    sender: 'sender@example.com',
    declaredSizeBytes: null,
    recipients: [{ address, normalized: address, direction: 'inbound', outcome: 'accepted', reason: null, reply, clientId: null }],
    headers: [],
    subject: null,
    messageId: null,
    attachments: [],
    messageBytes: 0,
    sizeSource: 'data',
    dataBytes: 0,
    commandBytes: 0,
    evaluations: [],
    checks: [],
    plugins: [],
    weight: 0,
    marks: [],
    outcome: 'accepted',
    stage: 'complete',
    reason: null,
    decidingRuleId: null,
    reply,
    queueId,
    digest: null,
    duplicateOf: null,
    timings: { connectUs: null, heloUs: null, mailUs: null, rcptUs: null, headerUs: null, completeUs: null, spoolUs: null },
    rulesetHash: null,
    directoryVersion: null,
    truncated: [],
  }
}
