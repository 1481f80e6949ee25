/**
 * Attempts to send through the gateway to where it does not deliver, as relay testers and spammers make them: from a
 * public remote and from a device network none may pass, in neither recipient mode; what is not outside may.
 */
import { describe, expect, it } from 'vitest'
import { Harness } from './gateway-harness.ts'

const here = 'example.com'
const there = 'elsewhere.example'

/** How the recipient is written; the sender is an outside one where nothing else stands beside. */
const attempts: readonly (readonly [rcpt: string, sender?: string])[] = [
  // Plainly, and by the senders that a careless rule trusts.
  [`<user@${there}>`],
  [`<user@${there}>`, ''],
  [`<user@${there}>`, `a@${here}`],
  [`<user@${there}>`, `postmaster@${here}`],
  [`<user@${there}>`, `unknown@${here}`],
  [`<user@${there}>`, 'a@[192.0.2.1]'],
  [`<user@${there}>`, 'a@localhost'],
  [`<user@${there}>`, 'a@mx.test'],
  [`<user@${there}>`, `user@${there}`],
  [`user@${there}`],
  [`< user@${there} >`],
  [`<<user@${there}>>`],
  // The percent hack.
  [`<user%${there}@${here}>`],
  [`<user%${there}%third.example@${here}>`],
  [`<user%${there}@[192.0.2.1]>`],
  [`<user%${there}@mx.test>`],
  [`<user%${there}@localhost>`],
  [`<user%${there}@>`],
  [`<user%${there}>`],
  [`<"user%${there}"@${here}>`],
  [`<"user%${there}">`],
  // Bang paths.
  [`<${there}!user@${here}>`],
  [`<${there}!user>`],
  [`<${here}!${there}!user>`],
  [`<third.example!${there}!user@${here}>`],
  [`<"${there}!user"@${here}>`],
  // A second at sign.
  [`<user@${there}@${here}>`],
  [`<user@${here}@${there}>`],
  [`<"user@${there}"@${here}>`],
  [`<"user@${there}">`],
  [`<user\\@${there}@${here}>`],
  [`<"user\\@${there}"@${here}>`],
  // Source routes, well-formed and not.
  [`<@${here}:user@${there}>`],
  [`<@${here},@third.example:user@${there}>`],
  [`<@mx.test:user@${there}>`],
  [`<@[192.0.2.1]:user@${there}>`],
  [`<@${here}:@third.example:user@${there}>`],
  [`<@${here}:user%${there}@${here}>`],
  [`<@:user@${there}>`],
  // Addresses in place of names.
  ['<user@[192.0.2.99]>'],
  ['<user@[127.0.0.1]>'],
  ['<user@127.0.0.1>'],
  ['<user@[IPv6:::1]>'],
  ['<user@[IPv6:::ffff:127.0.0.1]>'],
  ['<user@[]>'],
  ['<user@2130706433>'],
  ['<user@0x7f000001>'],
  // Names that look like the listed one.
  [`<user@sub.${here}>`],
  [`<user@not${here}>`],
  [`<user@${here}.${there}>`],
  [`<user@${here}x>`],
  ['<user@com>'],
  ['<user@localhost>'],
  ['<user@mx.test>'],
  [`<user@${here}.>`],
  [`<user@.${here}>`],
  [`<user@${here}..>`],
  [`<user@EXAMPLE.COM.${there}>`],
  [`<user@${there}#${here}>`],
  [`<user@${there}/${here}>`],
  [`<user@${there}?${here}>`],
  [`<user@${there}\0.${here}>`],
  [`<user@${there},a@${here}>`],
  [`<user@${there};a@${here}>`],
  [`<a@${here}>,<user@${there}>`],
  [`<a@${here}><user@${there}>`],
  [`<user@${there}> ORCPT=rfc822;a@${here}`],
  [`<user@ex\u0430mple.com>`],
  ['<user@xn--exmple-4nf.com>'],
  [`<(comment)user@${there}>`],
  [`<user@${there}(${here})>`],
  [`<user(@${here})@${there}>`],
  [`<user+tag=${there}@${there}>`],
  [`<user@${there} a@${here}>`],
]

const networks = `networks:
  - {name: office, cidrs: [198.51.100.0/24], class: trusted}
  - {name: printers, cidrs: [203.0.113.0/24], class: device}`

const harnessOf = (mode: 'known' | 'domains'): Harness =>
  new Harness({
    config: `recipients: {mode: ${mode}, domains: [${here}]}\n${networks}`,
    limits: { errorsPerSession: 10_000, badRecipientsPerSession: 10_000 },
  })

/** The reply to one recipient in a transaction of its own, and to DATA behind it. */
async function tried(harness: Harness, ip: string, rcpt: string, sender: string): Promise<{ rcpt: string; data: string }> {
  const client = harness.connect(ip)
  await client.line('EHLO client.example')
  expect(await client.line(`MAIL FROM:<${sender}>`)).toMatch(/^250 /)
  const answer = await client.send(Buffer.from(`RCPT TO:${rcpt}\r\n`, 'utf8'))
  const data = await client.line('DATA')
  if (data.startsWith('354')) await client.send('Subject: relayed\r\n\r\nrelayed\r\n.\r\n')
  await client.hangUp()
  return { rcpt: answer, data }
}

describe.each([
  ['a public remote', '192.0.2.77'],
  ['a device that may not relay', '203.0.113.9'],
] as const)('%s', (_who, ip) => {
  it.each(['known', 'domains'] as const)('cannot relay in mode %s, however the recipient is written', async (mode) => {
    const harness = harnessOf(mode)
    const passed: unknown[] = []
    for (const [rcpt, sender = 'spam@remote.example'] of attempts) {
      const answer = await tried(harness, ip, rcpt, sender)
      if (!/^5\d\d /.test(answer.rcpt) || answer.data.startsWith('354')) passed.push({ written: rcpt, sender, ...answer })
    }
    expect(passed).toEqual([])
    expect(harness.spool.messages.filter(({ state }) => state !== 'aborted')).toEqual([])
    expect(harness.log.transactions.flatMap(({ recipients }) => recipients).filter(({ outcome }) => outcome === 'accepted')).toEqual([])
  })

  it('gets its mail for a known recipient through, so that the refusals above are of the recipients', async () => {
    const harness = harnessOf('known')
    expect(await tried(harness, ip, `<a@${here}>`, 'x@remote.example')).toEqual({
      rcpt: expect.stringMatching(/^250 /),
      data: expect.stringMatching(/^354 /),
    })
    expect(harness.spool.released).toHaveLength(1)
  })
})

it('a trusted remote may relay to an outside domain, and to nothing that is no address', async () => {
  const harness = harnessOf('known')
  expect((await tried(harness, '198.51.100.7', `<user@${there}>`, `a@${here}`)).rcpt).toMatch(/^250 /)
  for (const rcpt of [`<user@${there}@${here}>`, `<user@${there}>,<b@${there}>`, '<user@>', `<user@${there}\0>`])
    expect((await tried(harness, '198.51.100.7', rcpt, `a@${here}`)).rcpt).toMatch(/^5\d\d /)
})
