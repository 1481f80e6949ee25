/** The live view: real ingest into real Postgres, read over HTTP as a browser would. */
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { BatchReader } from '../services/api/live/batch-reader.ts'
import { liveLimits, type LiveLimits } from '../services/api/live/live-hub.ts'
import type { LiveRow } from '../services/contracts/api.ts'
import { createApiFixture, loggedRecipient, plainMessage, type ApiFixture, type Caller } from './api-fixture.ts'

type LiveEvent = { id: string | null; name: string; data: any }

/** One stream, read into a list. */
class LiveReader {
  readonly events: LiveEvent[] = []
  isEnded = false
  readonly #abort = new AbortController()
  #changed: () => void = () => {}

  static async open(port: number, caller: Caller, query: string, lastEventId?: string | null): Promise<LiveReader> {
    const reader = new LiveReader()
    const reply = await fetch(`http://127.0.0.1:${port}/api/v1/live?q=${encodeURIComponent(query)}`, {
      headers: { cookie: caller.cookie, ...(lastEventId == null ? {} : { 'last-event-id': lastEventId }) },
      signal: reader.#abort.signal,
    })
    expect([reply.status, reply.headers.get('content-type'), reply.headers.get('x-accel-buffering')]).toEqual([
      200, 'text/event-stream; charset=utf-8', 'no',
    ])
    void reader.#read(reply.body!)
    await reader.until((events) => events.some((one) => one.name === 'ready' || one.name === 'too-old'))
    return reader
  }

  get rows(): LiveRow[] {
    return this.events.filter((one) => one.name === 'row').map((one) => one.data as LiveRow)
  }

  get subjects(): (string | null)[] {
    return this.rows.map((row) => row.subject)
  }

  async until(condition: (events: LiveEvent[]) => boolean): Promise<void> {
    while (!condition(this.events)) {
      if (this.isEnded) throw new Error(`the stream ended with ${JSON.stringify(this.events)}`)
      await new Promise<void>((resolve) => (this.#changed = resolve))
    }
  }

  async ended(): Promise<void> {
    while (!this.isEnded) await new Promise<void>((resolve) => (this.#changed = resolve))
  }

  close(): void {
    this.#abort.abort()
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    let text = ''
    const decoder = new TextDecoder()
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true })
        const blocks = text.split('\n\n')
        text = blocks.pop()!
        for (const block of blocks) {
          const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? null
          if (field('event') === null) continue
          this.events.push({ id: field('id'), name: field('event')!, data: JSON.parse(field('data')!) })
        }
        this.#changed()
      }
    } catch {
      // Cut: the same to a reader as an end.
    }
    this.isEnded = true
    this.#changed()
  }
}

describe('the live view', () => {
  /** The hub looks at these each time: a test changes what it is about. */
  const limits: LiveLimits = { ...liveLimits }
  let api: ApiFixture
  let port: number
  let admin: Caller
  const open: LiveReader[] = []

  beforeAll(async () => {
    api = await createApiFixture({
      clients: [{ id: 'acme', name: 'Acme', addresses: ['ann@corp.test'] }],
      liveLimits: limits,
    })
    await api.server.listen({ host: '127.0.0.1', port: 0 })
    port = (api.server.server.address() as AddressInfo).port
    await api.addUser('root', 'admin')
    await api.addUser('acme-user', 'client', 'acme')
    for (const name of ['slow', 'many']) await api.addUser(name, 'viewer')
    admin = await api.login('root')
    await api.ingest([...api.log.segmentStart()])
  })
  afterAll(async () => await api.close())
  beforeEach(() => Object.assign(limits, liveLimits, { tickMs: 20 }))
  afterEach(() => open.splice(0).forEach((one) => one.close()))

  const listen = async (query: string, options: { caller?: Caller; lastEventId?: string | null } = {}): Promise<LiveReader> => {
    const reader = await LiveReader.open(port, options.caller ?? admin, query, options.lastEventId)
    open.push(reader)
    return reader
  }
  const message = (subject: string, to = 'ann@corp.test') =>
    api.log.line(plainMessage(api.log, { subject, recipients: [loggedRecipient(to, { clientId: to.startsWith('ann') ? 'acme' : null })] }))

  it('tells each subscriber what matches its own query, once, in order, and only from the moment it began', async () => {
    await api.ingest([message('before')])
    const [all, some] = [await listen(''), await listen('subject:invoice')]
    await api.ingest([message('invoice 1'), message('note'), message('invoice 2')])
    await api.ingest([message('invoice 3')])
    await all.until(() => all.rows.length >= 4)
    await some.until(() => some.rows.length >= 3)
    expect(all.subjects).toEqual(['invoice 1', 'note', 'invoice 2', 'invoice 3'])
    expect(some.subjects).toEqual(['invoice 1', 'invoice 2', 'invoice 3'])
    const [listed] = (await admin.get('/messages?q=subject:note')).json().rows
    const { ingestedAt: _at, isLate: _late, ...row } = all.rows[1]!
    expect(row).toEqual(listed)
  })

  it('resumes in the middle of a batch with nothing twice and nothing missed', async () => {
    await api.ingest([message('before')])
    const first = await listen('')
    await api.ingest([message('a1'), message('a2'), message('a3')])
    await first.until(() => first.rows.length >= 3)
    const afterA1 = first.events.find((one) => one.data.subject === 'a1')!.id
    first.close()
    await api.ingest([message('b1')])
    const second = await listen('', { lastEventId: afterA1 })
    await second.until(() => second.rows.length >= 3)
    await api.ingest([message('c1')])
    await second.until(() => second.rows.length >= 4)
    expect(second.subjects).toEqual(['a2', 'a3', 'b1', 'c1'])
    const last = second.events.at(-1)!.id
    second.close()
    const third = await listen('', { lastEventId: last })
    await api.ingest([message('d1')])
    await third.until(() => third.rows.length >= 1)
    expect(third.subjects).toEqual(['d1'])
  })

  it('tells a batch that commits after one with a larger id', async () => {
    await api.ingest([message('before')])
    const reader = await listen('')
    const { pool } = api.test.database
    const held = await pool.connect()
    // A batch that is under way: its id is taken, and it is not seen.
    await held.query('begin')
    await held.query(`select from log_boot for update`)
    const insert = `insert into ingest_batch (tenant_id, from_time, upto_time, transaction_count, event_count) values ('main', now(), now(), 0, 1) returning batch_id`
    await held.query(insert)
    await pool.query(insert)
    const later = new BatchReader(api.test.database, 'main')
    await later.advance()
    const seenBefore = later.seen
    expect(seenBefore).toHaveLength(2)
    await held.query('rollback')
    held.release()
    // Rolled back: the hole is given up, and does not stay in the id for ever.
    await later.advance()
    await later.advance()
    expect(later.seen).toHaveLength(1)
    const slow = await pool.connect()
    await slow.query('begin')
    await slow.query(`select from log_boot for update`)
    const id = (await slow.query<{ batch_id: bigint }>(insert)).rows[0]!.batch_id
    await pool.query(insert)
    await later.advance()
    await later.advance()
    expect(await later.batchesIn([{ from: Number(id), upto: Number(id) + 1 }])).toEqual([])
    await slow.query('commit')
    slow.release()
    await later.advance()
    expect(await later.batchesIn([{ from: Number(id), upto: Number(id) + 1 }])).toHaveLength(1)
    await api.ingest([message('after')])
    await reader.until(() => reader.rows.length >= 1)
    expect(reader.subjects).toEqual(['after'])
  })

  it('shows a client only its own mail', async () => {
    const own = await listen('', { caller: await api.login('acme-user') })
    const others = await listen('to:ben@corp.test', { caller: await api.login('acme-user') })
    await api.ingest([message('for ben', 'ben@corp.test'), message('for ann')])
    await own.until(() => own.rows.length >= 1)
    await api.ingest([message('for ann again')])
    await own.until(() => own.rows.length >= 2)
    expect(own.subjects).toEqual(['for ann', 'for ann again'])
    expect(others.rows).toEqual([])
  })

  it('marks what was ingested long after it ended', async () => {
    const reader = await listen('')
    const old = message('old')
    api.log.nowMs = Date.now() - 2_000
    await api.ingest([old, message('new')])
    await reader.until(() => reader.rows.length >= 2)
    expect(reader.rows.map((row) => [row.subject, row.isLate])).toEqual([['old', true], ['new', false]])
  })

  it('says how many it skipped, and a stream resumed there goes on behind them', async () => {
    Object.assign(limits, { burstRows: 5, rowsPerSecond: 0 })
    const reader = await listen('')
    await api.ingest(Array.from({ length: 12 }, (_, index) => message(`m${index}`)))
    await reader.until(() => reader.rows.length >= 5)
    const skipped = reader.events.find((one) => one.name === 'skipped')!
    expect(skipped.data).toEqual({ count: '7' })
    expect(reader.subjects).toEqual(['m7', 'm8', 'm9', 'm10', 'm11'])
    const resumed = await listen('', { lastEventId: skipped.id })
    await resumed.until(() => resumed.rows.length >= 5)
    expect(resumed.subjects).toEqual(reader.subjects)
    expect(resumed.events.some((one) => one.name === 'skipped')).toBe(false)
  })

  it('says so where it is asked to resume from too far back, and goes on from now', async () => {
    Object.assign(limits, { resumeTransactions: 2 })
    const first = await listen('')
    const id = first.events[0]!.id
    first.close()
    await api.ingest([message('a'), message('b'), message('c')])
    const reader = await listen('', { lastEventId: id })
    await api.ingest([message('d')])
    await reader.until(() => reader.rows.length >= 1)
    expect(reader.events.map((one) => one.name)).toEqual(['too-old', 'row'])
    expect(reader.subjects).toEqual(['d'])
    // The id of another database, whose batches are further on.
    const other = await listen('', { lastEventId: '0-99999' })
    expect(other.events[0]!.name).toBe('too-old')
  })

  it('cuts a reader that does not read, and tells it everything when it comes back', async () => {
    Object.assign(limits, { bufferedBytes: 64 * 1024, burstRows: 100_000, streamsPerUser: 2 })
    const caller = await api.login('slow')
    const quick = await listen('', { caller })
    const place = quick.events[0]!.id
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(`GET /api/v1/live HTTP/1.1\r\nhost: x\r\ncookie: ${caller.cookie}\r\n\r\n`)
    await new Promise<void>((resolve) => socket.once('data', () => resolve()))
    socket.pause()
    let count = 0
    let back: LiveReader | null = null
    // A third stream has no place until the slow one is cut: when the buffers of both ends of its socket are full.
    while (back === null) {
      await api.ingest(Array.from({ length: 400 }, () => message(`${count++} ${'x'.repeat(900)}`)))
      await quick.until(() => quick.rows.length >= count)
      back = await listen('', { caller, lastEventId: place }).catch(() => null)
    }
    socket.destroy()
    await back.until(() => back.rows.length >= count)
    expect(back.rows.map((row) => row.transactionId)).toEqual(quick.rows.map((row) => row.transactionId))
  }, 60_000)

  it('answers a mistake in the query, a foreign id and one stream too many by their codes', async () => {
    const caller = await api.login('many')
    expect((await admin.get('/live?q=form:x')).json().error).toMatchObject({ code: 'bad-query', suggestion: 'from' })
    expect((await admin.get('/live?zone=Mars')).json().error.code).toBe('bad-request')
    for (const id of ['x', '5-3', '1-2~3.x', '0-5~']) expect((await admin.get(`/live?lastEventId=${id}`)).json().error.code).toBe('bad-request')
    for (let index = 0; index < liveLimits.streamsPerUser; index += 1) await listen('', { caller })
    expect(await caller.get('/live')).toMatchObject({ status: 429 })
    expect((await caller.get('/live')).json().error.code).toBe('too-many-streams')
    open.splice(0).forEach((one) => one.close())
    // A place is free again once the stream is closed.
    await expect.poll(async () => await listen('', { caller }).then(() => true, () => false)).toBe(true)
  })

  it('ends when the login does', async () => {
    Object.assign(limits, { heartbeatMs: 50 })
    const [ended, stays] = [await listen('', { caller: await api.login('acme-user') }), await listen('')]
    const { pool } = api.test.database
    await pool.query(`delete from login_session where name = 'acme-user'`)
    await ended.ended()
    expect(ended.events.at(-1)!.name).toBe('ended')
    await api.ingest([message('still')])
    await stays.until(() => stays.rows.length >= 1)
  })

  it('ends when the server stops, and does not hold it up', async () => {
    const reader = await listen('')
    await api.server.close()
    await reader.ended()
    expect(reader.events.map((one) => one.name)).toEqual(['ready'])
  })
})
