/**
 * SMTP smuggling (SEC Consult, 2023; CVE-2023-51764 and its like): what one server takes for the end of data and the
 * next does not. Every combination of line ends around the dot, cut into packets at every octet, is one message or a
 * refusal on the way in, and one message on the way out.
 */
import { describe, expect, it } from 'vitest'
import { WireFormat } from '../services/gateway/relay/wire-format.ts'
import { Harness } from './gateway-harness.ts'

const ends = ['\r\n', '\n', '\r', '\n\r', '\r\r\n', '\r\n\n', '\r\n\r', '\0\r\n', '\r\n\0', '\r\0\n', '\0\n', '\r\0', '']
const crlf = '\r\n'
/** What a second message would be made of. */
const hidden = ['MAIL FROM:<e@x.test>', 'DATA', 'smuggled']

/** All but those that hold the real end of data. */
const pairs = ends.flatMap((before) => ends.map((after) => [before, after] as const))
  .filter(([before, after]) => !`${before}.${after}`.includes('\r\n.\r\n'))

type Outcome = { replies: string[]; spooled: Buffer[]; acceptedSenders: (string | null)[] }

/** `cut`: where the octets of the message are cut into two packets; the transaction before and behind goes in lines. */
async function sent(remoteIp: string, payload: Buffer, cut: number): Promise<Outcome> {
  const harness = new Harness({ config: 'recipients: {domains: [example.com]}\nnetworks: [{name: printers, class: device, cidrs: [198.51.100.0/24]}]' })
  const client = harness.connect(remoteIp)
  for (const line of ['EHLO client.example', 'MAIL FROM:<s@remote.example>', 'RCPT TO:<a@example.com>', 'DATA']) await client.line(line)
  const before = client.said.length
  if (cut > 0) await client.send(payload.subarray(0, cut))
  await client.send(payload.subarray(cut))
  const replies = client.said.slice(before).split(crlf).filter((line) => /^\d{3} /.test(line))
  await client.hangUp()
  const accepted = harness.log.transactions.filter(({ outcome }) => outcome === 'accepted')
  return { replies, spooled: harness.spool.released.map(({ octets }) => octets), acceptedSenders: accepted.map(({ sender }) => sender) }
}

/** The message as it goes to the next hop, in pieces of a size. */
function onTheWire(octets: Buffer, pieceBytes: number): string {
  const wire = new WireFormat()
  const parts: Buffer[] = []
  for (let at = 0; at < octets.length; at += pieceBytes) parts.push(...wire.push(octets.subarray(at, at + pieceBytes)))
  return Buffer.concat(parts).toString('latin1') + wire.end()
}

describe.each([
  ['a public remote', '192.0.2.9'],
  ['a device, whose line ends are mended', '198.51.100.9'],
])('%s', (_who, remoteIp) => {
  it.each(pairs)('never makes two messages of %j, dot, %j', async (before, after) => {
    const text = `Subject: a${crlf}${crlf}b${before}.${after}${hidden.join(crlf)}`
    const payload = Buffer.from(`${text}${crlf}.${crlf}`, 'latin1')
    for (let cut = 0; cut < payload.length; cut += 1) {
      const { replies, spooled, acceptedSenders } = await sent(remoteIp, payload, cut)
      expect(replies, `cut at ${cut}`).toEqual([expect.stringMatching(/^(250 2\.0\.0|554 5\.6\.0) /)])
      expect(acceptedSenders.filter((sender) => sender !== 's@remote.example')).toEqual([])
      expect(spooled.length).toBe(replies[0]!.startsWith('250') ? 1 : 0)
      for (const octets of spooled) {
        const wire = onTheWire(octets, 7)
        expect(wire.indexOf('\r\n.\r\n')).toBe(wire.length - 5)
        expect(wire.replaceAll(crlf, '')).not.toMatch(/[\r\n]/)
      }
    }
  })
})

it('whatever a spool may hold, the next hop sees one end of data, and it is ours', () => {
  for (const [before, after] of pairs) {
    const octets = Buffer.from(`Subject: a${crlf}${crlf}b${before}.${after}${hidden.join(crlf)}${before}.${after}`, 'latin1')
    for (let pieceBytes = 1; pieceBytes <= octets.length; pieceBytes += 1) {
      const wire = onTheWire(octets, pieceBytes)
      expect(wire.indexOf('\r\n.\r\n')).toBe(wire.length - 5)
      expect(wire.replaceAll(crlf, '')).not.toMatch(/[\r\n]/)
    }
  }
})
