/** Mail as most of it is: a business letter, now and then with an attachment, one in fifteen of them advertising. */
import type { Mail } from '../live-transaction.ts'

const words =
  'about after agenda annual answer april board budget call client contract copy delivery draft email figures final friday invoice january letter list meeting minutes monday morning notes offer order payment phone plan price project proposal question quote release reply report request review sales schedule security status summer support team thanks ticket today tuesday update visit week your'.split(
    ' ',
  )
const spam = [
  'You have won the lottery',
  'Cheap replica watches',
  'Act now: casino bonus',
  'FINAL NOTICE verify your account',
  'bitcoin giveaway for you',
]
const people = ['anna.miller', 'b.schmidt', 'carlos', 'dora.novak', 'emil_j', 'f.rossi', 'gina.lopez', 'h.tanaka']
const companies = [
  'partner-company',
  'northwind-trading',
  'acme-logistics',
  'city-council',
  'blue-river-foods',
  'kessler-partners',
]

export function ordinaryMail(index: number): Mail {
  const random = randomOf(index)
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)]!
  const domain = `${pick(companies)}${random(40)}.example`
  const person = pick(people)
  const subject = random(15) === 0 ? pick(spam) : Array.from({ length: 3 + random(6) }, () => pick(words)).join(' ')
  const name = `${pick(words)}-${random(1_000)}.pdf`
  return {
    remote: {
      ip: `198.51.${random(256)}.${random(256)}`,
      reverseName: `mail-${random(60)}-${random(256)}.${domain}`,
      forwardConfirmed: random(10) > 0,
      country: 'DE',
    },
    helo: `mail${random(9)}.${domain}`,
    tls: 'TLSv1.3',
    sender: `${person}@${domain}`,
    declaredSizeBytes: 2_000 + random(200_000),
    recipients: [`user${random(500)}@corp.test`],
    subject,
    headers: [
      {
        name: 'Received',
        value: `from ${domain} by relay${random(9)}.${domain} with ESMTPS id ${random(1_000_000)}`,
      },
      { name: 'From', value: `"${person.replace(/[._]/, ' ')}" <${person}@${domain}>` },
      { name: 'To', value: `user${random(500)}@corp.test` },
      { name: 'Subject', value: subject },
      { name: 'Date', value: 'Mon, 02 Nov 2026 10:00:00 +0100' },
      { name: 'Message-ID', value: `<${random(1_000_000_000)}.${index}@${domain}>` },
      {
        name: 'X-Mailer',
        value: pick(['Microsoft Outlook 16.0', 'Apple Mail (2.3654)', 'Thunderbird 115', 'Roundcube/1.6']),
      },
      { name: 'Content-Type', value: `multipart/mixed; boundary="=_${random(1_000_000_000)}"` },
      { name: 'MIME-Version', value: '1.0' },
    ],
    attachments: random(3) === 0 ? [{ name, type: 'application/pdf', sizeBytes: 50_000 + random(100_000) }] : [],
    messageBytes: 2_000 + random(200_000),
  }
}

/** Park and Miller's minimal standard, so that every run sees the same mail. */
function randomOf(seed: number): (below: number) => number {
  let state = (seed * 7_919 + 1) % 2_147_483_647
  return (below) => {
    state = (state * 48_271) % 2_147_483_647
    return state % below
  }
}
