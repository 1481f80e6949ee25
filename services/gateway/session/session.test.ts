import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Harness, held } from '../../../test/gateway-harness.ts'

const message = 'From: s@remote.example\r\nMessage-ID: <1@remote.example>\r\nSubject: hello\r\n\r\nbody'
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('the promise at 250', () => {
  it('is not given before the spool has the message on disk', async () => {
    const harness = new Harness()
    const commit = held()
    harness.spool.onCommit = () => commit.promise
    const client = harness.connect()
    const answered = client.deliver(message)
    await turn()
    expect(client.said).toMatch(/354 [^\n]+\n$/)
    expect(harness.log.transactions).toEqual([])
    commit.resolve()
    expect(await answered).toMatch(/^250 2\.0\.0 Ok: queued as /)
  })

  it('is not given before the event is durable, and nothing is released before', async () => {
    const harness = new Harness()
    const append = held()
    harness.log.onAppend = () => append.promise
    const client = harness.connect()
    const answered = client.deliver(message)
    await turn()
    expect(client.said).toMatch(/354 [^\n]+\n$/)
    expect(harness.spool.released).toEqual([])
    append.resolve()
    expect(await answered).toMatch(/^250 /)
    expect(harness.journal.slice(-6)).toEqual([
      'commit',
      'committed',
      'append transaction.ended',
      'appended transaction.ended',
      'release',
      'reply 250',
    ])
  })

  it('turns into 452 when the spool fails, and nothing is kept', async () => {
    const harness = new Harness()
    harness.spool.onCommit = () => Promise.reject(new Error('disk full'))
    const client = harness.connect()
    expect(await client.deliver(message)).toBe('452 4.3.1 No room for the message at the moment, try again later\r\n')
    expect(harness.spool.messages.map(({ state }) => state)).toEqual(['aborted'])
    expect(harness.log.transactions).toMatchObject([
      { outcome: 'deferred', reason: 'storage', queueId: null, reply: { code: 452 } },
    ])
  })

  it('turns into 452 when the event log fails, the message is dropped, and the session goes on', async () => {
    const harness = new Harness()
    harness.log.onAppend = () => Promise.reject(new Error('disk full'))
    const client = harness.connect()
    expect(await client.deliver(message)).toMatch(/^452 4\.3\.1 /)
    expect(harness.spool.messages.map(({ state }) => state)).toEqual(['aborted'])
    harness.log.onAppend = async () => {}
    expect(await client.deliver(message)).toMatch(/^250 /)
  })

  it('is kept for a message whose first octets could not be written', async () => {
    const harness = new Harness()
    harness.spool.onWrite = () => Promise.reject(new Error('disk full'))
    expect(await harness.connect().deliver(message)).toMatch(/^452 4\.3\.1 /)
    expect(harness.spool.released).toEqual([])
  })
})

describe('a session', () => {
  it('never accepts a message without a logged event, whatever is sent to it and however it is cut', async () => {
    const openData = 'EHLO c\r\nMAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n'
    const piece = fc.constantFrom(
      'EHLO c\r\n',
      'HELO c\r\n',
      'MAIL FROM:<s@r.example>\r\n',
      'MAIL FROM:<> SIZE=9\r\n',
      'RCPT TO:<a@example.com>\r\n',
      'RCPT TO:<x@example.com>\r\n',
      'DATA\r\n',
      'Subject: a\r\n\r\nb\r\n',
      '.\r\n',
      '\r\n.\r\n',
      '\n.\r\n',
      '\r\n.\n',
      'RSET\r\n',
      'QUIT\r\n',
      'NOOP\r\n',
      '\0',
      '\r',
      '\n',
      'x',
      '..\r\n',
      'VRFY a\r\n',
      `${'l'.repeat(3_000)}\r\n`,
      'BDAT 1\r\n',
      'BDAT 5\r\n',
      'BDAT 0 LAST\r\n',
      'BDAT 24 LAST\r\nSubject: chunk\r\n\r\nQUIT\r\n',
      'BDAT\r\n',
      openData.replace('DATA\r\n', ''),
      openData,
      `${openData}Subject: whole\r\n\r\nb\r\n.\r\n`,
    )
    let acceptedCount = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 40 }),
        fc.array(fc.nat(400), { maxLength: 5 }),
        async (pieces, cuts) => {
          const harness = new Harness()
          const client = harness.connect()
          const octets = Buffer.from(pieces.join(''), 'latin1')
          let at = 0
          for (const cut of [...cuts, octets.length]) {
            const next = Math.min(octets.length, at + cut)
            if (next > at) await client.send(octets.subarray(at, next))
            at = next
          }
          await client.hangUp()
          const queued = client.said.match(/^250 2\.0\.0 Ok: queued as (\S+)/gm) ?? []
          const ids = queued.map((line) => line.split(' ').at(-1))
          const logged = harness.log.transactions
            .filter(({ queueId }) => queueId !== null)
            .map(({ transactionId }) => transactionId)
          expect(ids).toEqual(logged)
          expect(harness.spool.released.map(({ queueId }) => queueId)).toEqual(logged)
          expect(harness.spool.messages.every(({ state }) => state === 'released' || state === 'aborted')).toBe(true)
          expect(harness.log.sessions).toHaveLength(1)
          expect(harness.faults).toEqual([])
          acceptedCount += logged.length
        },
      ),
      { numRuns: 800 },
    )
    expect(acceptedCount).toBeGreaterThan(20)
  })

  it('writes the replies to pipelined commands in one piece and in order', async () => {
    const client = new Harness().connect()
    await client.line('EHLO c')
    const before = client.writes.length
    await client.send('MAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n')
    expect(client.writes.slice(before)).toEqual([
      '250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n550 5.1.1 User unknown\r\n354 End data with <CR><LF>.<CR><LF>\r\n',
    ])
  })

  it('handles commands that follow a message in the same packet only after its reply', async () => {
    const harness = new Harness()
    const client = harness.connect()
    await client.line('EHLO c')
    const envelope = 'MAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n'
    const said = await client.send(`${envelope}one\r\n.\r\n${envelope}two\r\n.\r\nQUIT\r\n`)
    expect(
      said
        .split('\r\n')
        .map((line) => line.slice(0, 3))
        .join(' '),
    ).toBe('250 250 354 250 250 250 354 250 221 ')
    expect(harness.spool.released.map(({ octets }) => octets.toString())).toEqual(['one\r\n', 'two\r\n'])
  })

  it('stops reading from a client that sends ahead while its message is being stored', async () => {
    const harness = new Harness({ limits: { aheadBytes: 1_000 } })
    const commit = held()
    harness.spool.onCommit = () => commit.promise
    const client = harness.connect()
    const answered = client.deliver(message)
    await turn()
    client.session.receive(Buffer.from('NOOP\r\n'.repeat(400)))
    expect(client.isPaused).toBe(true)
    commit.resolve()
    await answered
    expect(client.isPaused).toBe(false)
    expect(client.said.match(/^250 2\.0\.0 Ok\r$/gm)).toHaveLength(400)
  })

  it('waits for the spool before it takes more of a message', async () => {
    const harness = new Harness()
    const write = held()
    const client = harness.connect()
    await client.line('EHLO c')
    await client.send('MAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    harness.spool.onWrite = () => write.promise
    client.session.receive(Buffer.from('one\r\n'))
    client.session.receive(Buffer.from('two\r\n.\r\n'))
    await turn()
    expect(harness.spool.messages[0]?.octets.toString()).toBe('one\r\n')
    harness.spool.onWrite = () => {}
    write.resolve()
    await client.session.settled()
    expect(harness.spool.released[0]?.octets.toString()).toBe('one\r\ntwo\r\n')
  })

  it('reports a fault of its own with 421 and does not take the others down', async () => {
    const harness = new Harness()
    harness.deps.spool.begin = () => {
      throw new TypeError('a bug')
    }
    const client = harness.connect()
    await client.line('EHLO c')
    await client.send('MAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    await client.session.closed
    expect(client.said).toMatch(/421 4\.3\.0 [^\n]+\n$/)
    expect(harness.faults).toEqual(['A session ended by a fault of the gateway: a bug'])
  })
})

describe('a retry', () => {
  it('of a message whose reply could not be written is answered 250 and not delivered again', async () => {
    const harness = new Harness()
    const first = harness.connect()
    await first.line('EHLO c')
    await first.send('MAIL FROM:<s@remote.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    first.writeFailure = new Error('EPIPE')
    await first.send(`${message}\r\n.\r\n`)
    first.session.connectionLost()
    await first.session.closed
    const accepted = harness.log.transactions[0]!.transactionId
    expect(harness.log.sessions[0]).toMatchObject({ unflushedTransactionIds: [accepted], closedBy: 'error' })

    expect(await harness.connect().deliver(message)).toBe(`250 2.0.0 Ok: queued as ${accepted}\r\n`)
    expect(harness.log.transactions.at(-1)).toMatchObject({
      duplicateOf: accepted,
      queueId: null,
      outcome: 'accepted',
      reason: 'duplicate',
    })
    expect(harness.spool.released).toHaveLength(1)
  })

  it('is a new message where anything differs, where it comes too late, or where the first reply was read', async () => {
    const harness = new Harness()
    const first = harness.connect()
    await first.line('EHLO c')
    await first.send('MAIL FROM:<s@remote.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    first.writeFailure = new Error('EPIPE')
    await first.send(`${message}\r\n.\r\n`)
    first.session.connectionLost()
    await first.session.closed
    await harness.connect().deliver(`${message}!`)
    await harness.connect().deliver(message, ['a@example.com', 'b@example.com'])
    await harness.connect().deliver(message, ['a@example.com'], 'other@remote.example')
    expect(harness.log.transactions.map(({ duplicateOf }) => duplicateOf)).toEqual([null, null, null, null])
    harness.nowMs += 5 * 24 * 3_600_000 + 1
    await harness.connect().deliver(message)
    expect(harness.log.transactions.at(-1)?.duplicateOf).toBeNull()

    const reader = harness.connect()
    const other = message.replace('<1@', '<2@')
    await reader.deliver(other)
    await reader.line('QUIT')
    await reader.session.closed
    await harness.connect().deliver(other)
    expect(harness.log.transactions.at(-1)?.duplicateOf).toBeNull()
  })

  it('without a Message-ID is always a new message', async () => {
    const harness = new Harness()
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const client = harness.connect()
      await client.line('EHLO c')
      await client.send('MAIL FROM:<s@remote.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
      client.writeFailure = new Error('EPIPE')
      await client.send('Subject: paper jam\r\n\r\nbody\r\n.\r\n')
      client.session.connectionLost()
      await client.session.closed
    }
    expect(harness.spool.released).toHaveLength(2)
  })
})

describe('the end of a session', () => {
  it('before the message was durable leaves nothing accepted', async () => {
    const harness = new Harness()
    const commit = held()
    harness.spool.onCommit = () => commit.promise
    const client = harness.connect()
    const answered = client.deliver(message)
    await turn()
    client.session.connectionLost()
    commit.resolve()
    await answered
    await client.session.closed
    expect(harness.log.transactions).toMatchObject([
      { outcome: 'aborted', reason: 'client-gone', queueId: null, reply: null },
    ])
    expect(harness.spool.messages[0]?.state).toBe('aborted')
  })

  it('by a stop lets the open transaction end and then says 421', async () => {
    const harness = new Harness()
    const client = harness.connect()
    await client.line('EHLO c')
    await client.send('MAIL FROM:<s@remote.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    client.session.stop()
    expect(client.isClosed).toBe(false)
    const said = await client.send(`${message}\r\n.\r\nMAIL FROM:<s@remote.example>\r\n`)
    expect(said.split('\r\n').map((line) => line.slice(0, 9))).toEqual(['250 2.0.0', '421 4.3.2', ''])
    await client.session.closed
    expect(harness.log.sessions[0]).toMatchObject({ closedBy: 'gateway', unflushedTransactionIds: [] })
  })

  it('by a stop that waits no longer aborts the open transaction', async () => {
    const harness = new Harness()
    const client = harness.connect()
    await client.line('EHLO c')
    await client.send('MAIL FROM:<s@remote.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\nhalf')
    client.session.stop()
    client.session.abandon()
    await client.session.closed
    expect(harness.log.transactions).toMatchObject([
      { outcome: 'aborted', reason: 'server-stopping', dataBytes: 4, messageBytes: null },
    ])
  })

  it('by a time-out says so, and a message that takes too long is cut off though octets still come', async () => {
    const idle = new Harness()
    const silent = idle.connect()
    silent.session.timedOut()
    await silent.session.closed
    expect(silent.said).toMatch(/421 4\.4\.2 Idle/)
    expect(idle.log.sessions[0]).toMatchObject({ closedBy: 'timeout' })

    const harness = new Harness({ limits: { dataSeconds: 10 } })
    const slow = harness.connect()
    await slow.line('EHLO c')
    await slow.send('MAIL FROM:<s@remote.example>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n')
    harness.nowMs += 10_000
    expect(await slow.send('x')).toBe('')
    harness.nowMs += 1
    expect(await slow.send('x')).toMatch(/^421 4\.4\.2 The message took too long/)
    expect(harness.log.transactions).toMatchObject([{ outcome: 'aborted', reason: 'timeout', dataBytes: 2 }])
  })
})
