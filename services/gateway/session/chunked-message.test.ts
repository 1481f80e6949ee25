import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Harness, held, type Client } from '../../../test/gateway-harness.ts'

const envelope = 'MAIL FROM:<s@r.example>\r\nRCPT TO:<a@example.com>\r\n'

async function greeted(harness: Harness, ip?: string): Promise<Client> {
  const client = harness.connect(ip)
  await client.line('EHLO c')
  client.read()
  return client
}

/** Without what differs between two transactions that are equal. */
function factsOf(harness: Harness): unknown {
  const { transactionId, sessionId, queueId, commandBytes, reply, ...facts } = harness.log.transactions.at(-1)!
  return { ...facts, code: reply?.code, hasBytes: commandBytes > 0, ids: [transactionId, sessionId, queueId].length }
}

describe('a message in chunks', () => {
  it('is stored and told exactly as by DATA, whatever the chunks and packets', async () => {
    const line = fc.stringMatching(/^[ -~]{0,30}$/)
    const message = fc.array(line, { minLength: 1, maxLength: 12 }).map((lines) => `Subject: x\r\nMessage-ID: <1@r.example>\r\n\r\n${lines.join('\r\n')}\r\n`)
    await fc.assert(
      fc.asyncProperty(message, fc.array(fc.nat(60), { maxLength: 8 }), fc.array(fc.nat(90), { maxLength: 8 }), async (text, sizes, cuts) => {
        const [byData, byChunks] = [new Harness(), new Harness()]
        await (await greeted(byData)).send(`${envelope}DATA\r\n${`\r\n${text}`.replaceAll('\r\n.', '\r\n..').slice(2)}.\r\n`)
        let at = 0
        let octets = envelope
        for (const size of sizes) {
          octets += `BDAT ${Math.min(size, text.length - at)}\r\n${text.slice(at, at + size)}`
          at = Math.min(text.length, at + size)
        }
        octets += `BDAT ${text.length - at} LAST\r\n${text.slice(at)}`
        const client = await greeted(byChunks)
        let from = 0
        for (const cut of [...cuts, octets.length]) {
          if (cut > 0 && from < octets.length) await client.send(octets.slice(from, from + cut))
          from += cut
        }
        expect(byChunks.spool.released[0]!.octets.equals(byData.spool.released[0]!.octets)).toBe(true)
        expect(byChunks.spool.released[0]!.octets.toString('latin1')).toBe(text)
        expect(factsOf(byChunks)).toEqual(factsOf(byData))
      }),
      { numRuns: 60 },
    )
  })

  it('is acknowledged only when octets and event are durable', async () => {
    const harness = new Harness()
    const client = await greeted(harness)
    const disk = held()
    harness.spool.onCommit = () => disk.promise
    const answered = client.send(`${envelope}BDAT 16 LAST\r\nSubject: one\r\n\r\nNOOP\r\n`)
    await new Promise((resolve) => setImmediate(resolve))
    expect(client.read()).toBe('250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n')
    disk.resolve()
    expect(await answered).toMatch(/^250 2\.0\.0 Ok: queued as \S+\r\n250 2\.0\.0 Ok\r\n$/)
    expect(harness.journal.slice(-6)).toEqual(['commit', 'committed', 'append transaction.ended', 'appended transaction.ended', 'release', 'reply 250'])
  })

  it('leaves nothing behind when it is given up between or within chunks', async () => {
    for (const [end, outcome] of [
      ['RSET\r\n', 'reset'],
      ['EHLO again\r\n', 'reset'],
      ['QUIT\r\n', 'aborted'],
      ['BDAT x\r\n', 'aborted'],
      ['BDAT 100\r\nx', 'aborted'],
    ] as const) {
      const harness = new Harness()
      const client = await greeted(harness)
      await client.send(`${envelope}BDAT 16\r\nSubject: one\r\n\r\n${end}`)
      await client.hangUp()
      expect(harness.spool.messages.map(({ state }) => state)).toEqual(['aborted'])
      expect(harness.log.transactions).toMatchObject([{ outcome, stage: 'complete', subject: 'one', messageBytes: null, queueId: null }])
    }
  })

  it('of a device gets its line ends mended', async () => {
    const harness = new Harness({ config: 'recipients: {domains: [example.com]}\nnetworks: [{name: p, class: device, cidrs: [10.0.0.0/8]}]' })
    const client = await greeted(harness, '10.0.0.1')
    expect(await client.send(`${envelope}BDAT 8\r\nA: b\n\nx\0BDAT 1 LAST\r\n\r`)).toMatch(/Ok: queued as/)
    expect(harness.spool.released[0]!.octets.toString('latin1')).toBe('A: b\r\n\r\nx\r\n')
  })

  it('keeps no refused octets in memory', async () => {
    const harness = new Harness({ limits: { messageBytes: 1_000 } })
    const client = await greeted(harness)
    await client.send(`${envelope}BDAT 1000000\r\n`)
    for (let count = 0; count < 9; count += 1) await client.send('x'.repeat(100_000))
    expect(harness.spool.messages[0]).toMatchObject({ state: 'aborted' })
    expect(harness.spool.messages[0]!.octets.length).toBeLessThanOrEqual(100_000)
    expect(await client.send('x'.repeat(100_000))).toMatch(/^552 5\.3\.4 /)
  })
})
