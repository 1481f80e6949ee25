import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { EventBody } from '../../contracts/event.ts'
import { Harness } from '../../../test/gateway-harness.ts'
import { openEventLog, type EventLogWriter } from './event-log-writer.ts'
import { readRecentEvents } from './recent-events.ts'
import { listSegments } from './segment-files.ts'

let folder: string
let nowMs = Date.UTC(2026, 10, 24)
beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'tollgate-recent-'))))
afterEach(() => rm(folder, { recursive: true }))

const open = (segmentBytes?: number): Promise<EventLogWriter> => {
  const clock = { nowMs: () => nowMs, monotonicUs: () => 0 }
  return openEventLog({
    folder,
    tenantId: 'main',
    node: 'gw-1',
    version: '0',
    clock,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  })
}
const recent = async (options?: { windowMs?: number; maxBytes?: number }) =>
  readRecentEvents(await listSegments(folder, 'gw-1'), nowMs, options)

/** Events of one real session that delivered some messages; the last of them ends the session. */
async function sessionOf(messageIds: readonly string[], isReadToEnd = true): Promise<EventBody[]> {
  const harness = new Harness()
  harness.nowMs = nowMs
  const client = harness.connect()
  for (const id of messageIds) await client.deliver(`Message-ID: <${id}>\r\nSubject: a\r\n\r\nb`)
  if (!isReadToEnd) client.writeFailure = new Error('EPIPE')
  await client.hangUp()
  return harness.log.events
}

const finished = (queueId: string): EventBody => ({
  kind: 'message.finished',
  transactionId: queueId,
  queueId,
  deliveredCount: 1,
  failedCount: 0,
  expiredCount: 0,
  ageMs: 5,
})
const ids = (events: readonly EventBody[]): string[] =>
  events.flatMap((event) => (event.kind === 'transaction.ended' ? [event.transactionId] : []))

it('tells the spool which messages are in the log and which are done', async () => {
  const events = await sessionOf(['1@x', '2@x', '3@x'])
  const [done, open1, open2] = ids(events)
  const writer = await open()
  for (const event of events) await writer.append(event)
  await writer.append(finished(done!))
  const [neverLogged] = ids(await sessionOf(['4@x']))
  const { wasLogged, wasFinished } = await recent()
  expect([done, open1, open2, neverLogged].map((id) => wasFinished(id!))).toEqual([true, false, false, false])
  expect([open1, open2, neverLogged].map((id) => wasLogged(id!))).toEqual([true, true, false])
  await writer.close('done')
})

it('does not take a message for finished because its events were tidied away', async () => {
  const writer = await open()
  const [id] = ids(await sessionOf(['1@x']))
  expect((await recent()).wasFinished(id!)).toBe(false)
  await writer.close('done')
})

it('trusts the spool about messages older than what is read of the log', async () => {
  const old = await sessionOf(['1@x'])
  const writer = await open(1)
  for (const event of old) await writer.append(event)
  nowMs += 10 * 24 * 3_600_000
  await writer.append({ kind: 'gateway.alive', queuedCount: 0 })
  const [id] = ids(old)
  const memory = await recent()
  expect([memory.wasLogged(id!), memory.wasFinished(id!)]).toEqual([true, false])
  const bounded = await recent({ windowMs: 1e12, maxBytes: 1 })
  expect([bounded.wasLogged(id!), bounded.wasFinished(id!)]).toEqual([true, false])
  await writer.close('done')
})

it('drops nothing from the spool where the log is gone', async () => {
  const [id] = ids(await sessionOf(['1@x']))
  const empty = await recent()
  expect([empty.wasLogged(id!), empty.wasFinished(id!)]).toEqual([true, false])
  // Only the boots of the lost part are missing.
  await (await open()).close('done')
  await (await open()).close('done')
  await rm(path.join(folder, 'gw-1-1-000001.jsonl'))
  const partly = await recent()
  expect([partly.wasLogged(id!), partly.wasFinished(id!)]).toEqual([true, false])
})

it('remembers what a boot that died had accepted in sessions that were open, and nothing of those that were read to the end', async () => {
  const read = await sessionOf(['read@x'])
  const open1 = (await sessionOf(['open@x'])).filter(({ kind }) => kind !== 'session.closed')
  const writer = await open()
  for (const event of [...read, ...open1]) await writer.append(event)
  await appendFile(
    path.join(folder, 'gw-1-1-000001.jsonl'),
    '{"tenantId":"main","node":"gw-1","boot":"x","seq":9,"at":"x","kind":"transaction.ended","tr',
  )
  const next = await open()
  const { duplicates } = await readRecentEvents(next.olderSegments, nowMs)
  expect(duplicates.size).toBe(1)
  const harness = new Harness()
  Object.assign(harness.deps, { duplicates })
  harness.nowMs = nowMs
  const client = harness.connect()
  await client.deliver('Message-ID: <open@x>\r\nSubject: a\r\n\r\nb')
  await client.deliver('Message-ID: <read@x>\r\nSubject: a\r\n\r\nb')
  expect(harness.log.transactions.map(({ duplicateOf }) => duplicateOf)).toEqual([ids(open1)[0], null])
  await next.close('done')
})

it('remembers replies that could not be written in a boot that ended well', async () => {
  const events = await sessionOf(['1@x', '2@x'])
  const [, second] = ids(events)
  for (const event of events) if (event.kind === 'session.closed') event.unflushedTransactionIds = [second!]
  const writer = await open()
  for (const event of events) await writer.append(event)
  await writer.close('done')
  expect((await recent()).duplicates.size).toBe(1)
})
