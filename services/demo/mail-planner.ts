/**
 * Plans one session after the other: who connects, what they send, and where they give up.
 *
 * Why  one source for history and live stream, so that a rule tuned on the one meets the same mail in the other.
 */
import type { DirectoryFile } from '../contracts/directory.ts'
import * as cast from './cast.ts'
import { composeMessage, type Letter, type LetterAttachment } from './compose-message.ts'
import type { SeededRandom } from './seeded-random.ts'
import type { SessionPlan, TransactionPlan } from './session-plan.ts'

type Scene = (random: SeededRandom, planner: MailPlanner, atMs: number) => SessionPlan

export class MailPlanner {
  readonly random: SeededRandom
  /** Of active clients, by name. */
  readonly known: readonly string[]
  readonly blocked: readonly string[]
  readonly domains: readonly string[]
  #messageCount = 0

  constructor(random: SeededRandom, directory: DirectoryFile) {
    this.random = random
    const addressesOf = (isBlocked: boolean) =>
      directory.clients.filter((client) => (client.state === 'blocked') === isBlocked).flatMap((client) => client.addresses)
    this.known = addressesOf(false).filter((address) => !address.startsWith('*'))
    this.blocked = addressesOf(true)
    this.domains = [...new Set(this.known.map((address) => address.slice(address.indexOf('@') + 1)))]
  }

  plan(atMs: number): SessionPlan {
    return this.random.weighted(scenes)(this.random, this, atMs)
  }

  /** A message with a Message-ID of its own and a size that is declared by two of three remotes. */
  transaction(atMs: number, sender: string, recipients: string[], letter: Partial<Letter> & { subject: string }): TransactionPlan {
    this.#messageCount += 1
    const domain = sender === '' ? 'mailer.example' : sender.slice(sender.indexOf('@') + 1)
    const message = composeMessage({
      atMs,
      from: `<${sender === '' ? 'mailer-daemon@mailer.example' : sender}>`,
      to: recipients.slice(0, 3).join(', '),
      messageId: `${atMs.toString(36)}.${this.#messageCount}@${domain}`,
      textBytes: Math.min(60_000, this.random.logNormal(1_800, 0.9)),
      ...letter,
    })
    const declaredSizeBytes = this.random.chance(0.66) ? message.sizeBytes : null
    return { sender, recipients, message, declaredSizeBytes, givesUp: 'never' }
  }
}

const publicRemote = (random: SeededRandom, helo: string): Pick<SessionPlan, 'origin' | 'remoteIp' | 'helo'> => ({
  origin: 'public',
  remoteIp: `${random.pick(['192.0.2', '198.51.100', '203.0.113'])}.${random.whole(1, 254)}`,
  helo,
})

const nuisance = (random: SeededRandom): Pick<SessionPlan, 'origin' | 'remoteIp' | 'helo'> => {
  const remote = publicRemote(random, '')
  return { ...remote, helo: random.pick([remote.remoteIp, `host${random.whole(10, 99)}`, `pool-${random.whole(1, 254)}.dsl.example`]) }
}

const mailboxes = new Map<string, string>(cast.people.map((name) => [name, localPartOf(name)]))
const mailboxOf = (name: string): string => mailboxes.get(name)!

function localPartOf(name: string): string {
  return name.normalize('NFD').replace(/[^A-Za-z ]/g, '').toLowerCase().replace(' ', '.')
}

function letterScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const name = random.pick(cast.people)
  const domain = random.pick(cast.partnerDomains)
  const sender = `${mailboxOf(name)}@${domain}`
  const recipients = random.pickSome(planner.known, random.weighted([[1, 8], [2, 2], [3, 1], [random.whole(4, 12), 0.4]]))
  if (random.chance(0.06)) recipients.push(`${random.pick(cast.unknownLocalParts)}@${random.pick(planner.domains)}`)
  const attachments: LetterAttachment[] = random.chance(0.22)
    ? random.pickSome(cast.documents, random.weighted([[1, 5], [2, 1]])).map(([file, type]) => {
        return { name: file, type, sizeBytes: Math.min(1_400_000, random.logNormal(45_000, 1.2)) }
      })
    : []
  const isAscii = /^[\x20-\x7e]*$/.test(name)
  const from = isAscii ? `${name} <${sender}>` : `=?utf-8?B?${Buffer.from(name).toString('base64')}?= <${sender}>`
  const transaction = planner.transaction(atMs, sender, recipients, { from, subject: random.pick(cast.letterSubjects), attachments })
  if (random.chance(0.008)) transaction.givesUp = random.pick(['reset-after-rcpt', 'break-in-data'])
  return { ...publicRemote(random, `mx.${domain}`), transactions: [transaction] }
}

function newsletterScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const [title, domain, subjects] = random.pick(cast.newsletters)
  const readers = random.pickSome([...planner.known, ...planner.blocked], random.whole(1, 6))
  const extraHeaders = [`List-Id: ${title} <list.${domain}>`, `List-Unsubscribe: <https://${domain}/leave>`, 'Precedence: bulk']
  // One transaction a reader, as mailing lists do.
  const transactions = readers.map((reader) => {
    const letter = { from: `${title} <news@${domain}>`, subject: `${title}: ${random.pick(subjects)}`, extraHeaders, textBytes: random.whole(9_000, 40_000) }
    return planner.transaction(atMs, `bounce-${random.whole(100, 999)}@${domain}`, [reader], letter)
  })
  return { ...publicRemote(random, `out.${domain}`), transactions }
}

function shopScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const sender = random.pick(cast.shops)
  const domain = sender.slice(sender.indexOf('@') + 1)
  const transaction = planner.transaction(atMs, sender, [random.pick(planner.known)], { subject: random.pick(cast.shopSubjects) })
  return { ...publicRemote(random, `smtp.${domain}`), transactions: [transaction] }
}

function spamScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const sender = random.pick([`x${random.whole(10_000, 9_999_999)}@mass-mail.example`, `promo${random.whole(1, 99)}@best-deals.example`])
  const recipients = random.pickSome(planner.known, random.whole(1, 6))
  if (random.chance(0.4)) recipients.push(`${random.pick(cast.unknownLocalParts)}@${random.pick(planner.domains)}`)
  const transaction = planner.transaction(atMs, sender, recipients, { subject: random.pick(cast.spamSubjects), messageId: null })
  return { ...nuisance(random), transactions: [transaction] }
}

function pushyScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const sender = `offers${random.whole(1, 9)}@mega-discounts.example`
  const transaction = planner.transaction(atMs, sender, random.pickSome(planner.known, random.whole(1, 3)), { subject: random.pick(cast.pushySubjects) })
  return { ...publicRemote(random, 'mail.mega-discounts.example'), transactions: [transaction] }
}

function blockedSenderScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const transaction = planner.transaction(atMs, random.pick(cast.blockedSenders), [random.pick(planner.known)], { subject: random.pick(cast.spamSubjects) })
  return { ...nuisance(random), transactions: [transaction] }
}

/** Guesses addresses: nearly all of them are unknown. */
function harvestScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const domain = random.pick(planner.domains)
  const guesses = random.pickSome(cast.guessedLocalParts, random.whole(3, 9)).map((name) => `${name}@${domain}`)
  if (random.chance(0.3)) guesses.push(random.pick(planner.known))
  const sender = `${random.pick(cast.guessedLocalParts)}${random.whole(100_000, 999_999)}@mass-mail.example`
  return { ...nuisance(random), transactions: [planner.transaction(atMs, sender, guesses, { subject: random.pick(cast.spamSubjects), messageId: null })] }
}

function unknownScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const name = random.pick(cast.people)
  const domain = random.pick(cast.partnerDomains)
  const recipients = [`${random.pick(cast.unknownLocalParts)}@${random.pick(planner.domains)}`]
  if (random.chance(0.35)) recipients.push(random.pick(planner.known))
  const transaction = planner.transaction(atMs, `${mailboxOf(name)}@${domain}`, recipients, { subject: random.pick(cast.letterSubjects) })
  return { ...publicRemote(random, `mx.${domain}`), transactions: [transaction] }
}

function blockedClientScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const domain = random.pick(cast.partnerDomains)
  const sender = `${mailboxOf(random.pick(cast.people))}@${domain}`
  const transaction = planner.transaction(atMs, sender, [random.pick(planner.blocked)], { subject: random.pick(cast.letterSubjects) })
  return { ...publicRemote(random, `mx.${domain}`), transactions: [transaction] }
}

const eicar = ['X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR', '-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*'].join('')

function attachmentScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const attachment: LetterAttachment = random.weighted<LetterAttachment>([
    [{ name: 'eicar.com', type: 'application/octet-stream', sizeBytes: eicar.length, content: eicar }, 4],
    [{ name: 'invoice.pdf.exe', type: 'application/x-msdownload', sizeBytes: random.whole(40_000, 200_000) }, 3],
    [{ name: 'order.docm', type: 'application/vnd.ms-word.document.macroEnabled.12', sizeBytes: random.whole(30_000, 90_000) }, 3],
    [{ name: 'invoice-2031.zip', type: 'application/zip', sizeBytes: random.whole(20_000, 300_000) }, 3],
  ])
  const sender = `${mailboxOf(random.pick(cast.people))}${random.whole(1, 99)}@freemail.example`
  const letter = { subject: random.pick(['Invoice overdue', 'Payment advice', 'Rechnung 2031', 'Your remittance']), attachments: [attachment] }
  const transaction = planner.transaction(atMs, sender, random.pickSome(planner.known, random.whole(1, 2)), letter)
  return { ...publicRemote(random, 'out.freemail.example'), transactions: [transaction] }
}

function relayProbeScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const recipient = `probe${random.whole(1, 99)}@${random.pick(cast.outsideDomains)}`
  const transaction = planner.transaction(atMs, `test@${random.pick(cast.outsideDomains)}`, [recipient], { subject: 'relay test' })
  return { ...nuisance(random), transactions: [transaction] }
}

function tooLargeScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const domain = random.pick(cast.partnerDomains)
  const sender = `${mailboxOf(random.pick(cast.people))}@${domain}`
  const transaction = planner.transaction(atMs, sender, [random.pick(planner.known)], { subject: 'The video from the fair' })
  return { ...publicRemote(random, `mx.${domain}`), transactions: [{ ...transaction, declaredSizeBytes: random.whole(60_000_000, 400_000_000) }] }
}

/** Reports of mail that could not be delivered have no sender. */
function bounceScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const transaction = planner.transaction(atMs, '', [random.pick(planner.known)], { subject: 'Undelivered Mail Returned to Sender' })
  return { ...publicRemote(random, 'mx.webmail.example'), transactions: [transaction] }
}

/** The remote does not wait for the reply and sends the same message again. */
function impatientScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const session = letterScene(random, planner, atMs)
  return { ...session, transactions: session.transactions.map((transaction) => ({ ...transaction, givesUp: 'break-before-reply' as const })) }
}

/** A long scan comes in several messages, each below the device's limit. Now and then somebody only presses *Test*. */
function scannerScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const remoteIp = `10.20.30.${random.whole(11, 14)}`
  const remote = { origin: 'scanner' as const, remoteIp, helo: remoteIp }
  if (random.chance(0.15)) return { ...remote, transactions: [] }
  const recipient = random.weighted([['scans@corp.test', 5], [random.pick(planner.known.filter((address) => address.endsWith('@corp.test'))), 2]])
  const partCount = random.weighted([[1, 4], [2, 2], [3, 2], [random.whole(4, 7), 1]])
  const transactions = Array.from({ length: partCount }, (_, index) => {
    const isLast = index === partCount - 1
    const sizeBytes = isLast ? random.whole(60_000, 500_000) : random.whole(900_000, 1_400_000)
    const subject = partCount === 1 ? 'Scan from MFP-2' : `Scan from MFP-2 (${index + 1}/${partCount})`
    const attachments = [{ name: `scan-${index + 1}.pdf`, type: 'application/pdf', sizeBytes }]
    return { ...planner.transaction(atMs, 'mfp-2@corp.test', [recipient], { subject, attachments, messageId: null, textBytes: 200 }), declaredSizeBytes: null }
  })
  return { ...remote, transactions }
}

function officeScene(random: SeededRandom, planner: MailPlanner, atMs: number): SessionPlan {
  const staff = planner.known.filter((address) => address.endsWith('@corp.test'))
  const sender = random.pick(staff)
  const outside = () => `${mailboxOf(random.pick(cast.people))}@${random.pick(cast.partnerDomains)}`
  const recipients = random.chance(0.7) ? Array.from({ length: random.whole(1, 2) }, outside) : random.pickSome(staff, random.whole(1, 4))
  const [file, type] = random.pick(cast.documents)
  const attachments = random.chance(0.25) ? [{ name: file, type, sizeBytes: Math.min(900_000, random.logNormal(40_000, 1.1)) }] : []
  const transaction = planner.transaction(atMs, sender, [...new Set(recipients)], { subject: random.pick(cast.letterSubjects), attachments })
  return { origin: 'office', remoteIp: '10.20.0.25', helo: 'exchange.corp.test', transactions: [transaction] }
}

const scenes: readonly (readonly [Scene, number])[] = [
  [letterScene, 300],
  [newsletterScene, 40],
  [shopScene, 110],
  [spamScene, 90],
  [pushyScene, 45],
  [blockedSenderScene, 35],
  [harvestScene, 40],
  [unknownScene, 75],
  [blockedClientScene, 25],
  [attachmentScene, 25],
  [relayProbeScene, 15],
  [tooLargeScene, 3],
  [bounceScene, 20],
  [impatientScene, 4],
  [scannerScene, 14],
  [officeScene, 130],
]
