/**
 * What a rule can ask about a transaction, and from which stage on.
 *
 * Owns    the names of the attributes, their stages, and how each is read.
 * Why     the gateway builds the same shape from what it logs, and the replay builds it from the logged event: both
 *         must see equal values. So everything here is computable from one `transaction.ended` line, and values
 *         are cut before evaluation, never after (DESIGN §4).
 *
 * `null` is "there is none": such a value matches nothing but `exists: false`. `undefined` is "nobody can tell": a
 * check that did not answer, or in a replay what the log does not hold; it makes a condition unknown.
 */
import type { Attachment, CheckResult, LoggedHeader, Remote, Tls, TransactionEnded } from '../contracts/event.ts'
import { stages, type Stage } from '../contracts/vocabulary.ts'
import { checkNamed, skippedResult, unknownResult } from './check-names.ts'

export type Attributes = {
  remote: Remote
  helo: string | null
  /** From `mail` on: STARTTLS comes after the first EHLO. */
  tls: Tls | null
  authUser: string | null
  sender: string | null
  declaredSizeBytes: number | null
  /** Normalised addresses: at `rcpt` the one that is asked for, later all that were not refused or deferred. */
  recipients: readonly string[]
  /** RCPT commands so far, this one and the refused ones included. */
  recipientCount: number
  /** Of these, refused or deferred before this one. */
  refusedRecipientCount: number
  headers: readonly LoggedHeader[]
  /** Decoded. */
  subject: string | null
  attachments: readonly Attachment[]
  messageBytes: number | null
  /** Results of checks and plug-ins that a rule of this stage sees: those of `checksSeen`. */
  checks: readonly { name: string; result: string; score?: number; recipient?: number | null }[]
  /** In a replay: names of attributes that nobody looked up or logged. Where one has no value, nobody can tell it. */
  unlogged?: ReadonlySet<string> | null
}

export type AttributeValue = string | number | boolean | readonly string[] | readonly number[] | null | undefined
export type AttributeType = 'text' | 'ip' | 'number' | 'boolean'

export type Attribute = {
  name: string
  type: AttributeType
  /** First stage at which it is known. */
  from: Stage
  description: string
  read: (attributes: Attributes) => AttributeValue
}

const fixedAttributes: readonly Attribute[] = [
  attribute('remote.ip', 'ip', 'connect', 'address of the remote', (a) => a.remote.ip),
  attribute(
    'remote.reverseName',
    'text',
    'connect',
    'PTR name of the remote',
    (a) => a.remote.reverseName ?? noneOf(a, 'reverse-dns'),
  ),
  attribute(
    'remote.forwardConfirmed',
    'boolean',
    'connect',
    'whether the reverse name resolves back; nothing where nobody looked',
    (a) => a.remote.forwardConfirmed ?? noneOf(a, 'reverse-dns'),
  ),
  attribute('remote.country', 'text', 'connect', 'country of the remote, two letters', (a) => a.remote.country),
  attribute('remote.networkClass', 'text', 'connect', 'public, device or trusted', (a) => a.remote.networkClass),
  attribute('remote.networkName', 'text', 'connect', 'configured name of the network', (a) => a.remote.networkName),
  attribute('helo', 'text', 'helo', 'name given in HELO or EHLO', (a) => a.helo),
  attribute('tls', 'text', 'mail', 'TLS version, nothing without TLS', (a) => a.tls?.version ?? null),
  attribute('tls.cipher', 'text', 'mail', 'TLS cipher', (a) => a.tls?.cipher ?? null),
  attribute('authUser', 'text', 'mail', 'user that logged in', (a) => a.authUser),
  attribute('sender', 'text', 'mail', 'reverse-path; empty text for <>', (a) => a.sender),
  attribute('sender.domain', 'text', 'mail', 'domain of the sender', (a) => domainOrNull(a.sender)),
  attribute('declaredSizeBytes', 'number', 'mail', 'SIZE= of MAIL', (a) => a.declaredSizeBytes),
  attribute('recipient', 'text', 'rcpt', 'this recipient; later any that was taken', (a) => a.recipients),
  attribute('recipient.domain', 'text', 'rcpt', 'domain of the same', (a) => a.recipients.map(lowerDomain)),
  attribute('recipientCount', 'number', 'rcpt', 'recipients so far, refused ones too', (a) => a.recipientCount),
  attribute(
    'refusedRecipientCount',
    'number',
    'rcpt',
    'recipients refused or deferred before this one',
    (a) => a.refusedRecipientCount,
  ),
  attribute('subject', 'text', 'header', 'decoded subject', (a) => a.subject),
  attribute('messageBytes', 'number', 'complete', 'size of the message in octets', (a) => a.messageBytes),
  attribute('attachment.name', 'text', 'complete', 'file name of any attachment', (a) =>
    a.attachments.flatMap((part) => (part.name === null ? [] : [part.name])),
  ),
  attribute('attachment.type', 'text', 'complete', 'media type of any attachment', (a) =>
    a.attachments.map((p) => p.type),
  ),
  attribute('attachment.sizeBytes', 'number', 'complete', 'size of any attachment', (a) =>
    a.attachments.map((part) => part.sizeBytes),
  ),
]

const byName = new Map(fixedAttributes.map((one) => [one.name, one]))

/** Names to offer; `header.<Name>`, `check.<name>` and `score.<name>` stand for all of theirs. */
export const attributeNames: readonly string[] = [...byName.keys(), 'header.<Name>', 'check.<name>', 'score.<name>']

/** The attribute of a name, or `null`. Header names ignore case and may have several values. */
export function attributeNamed(name: string): Attribute | null {
  const fixed = byName.get(name)
  if (fixed !== undefined) return fixed
  if (/^header\.[A-Za-z0-9][A-Za-z0-9-]*$/.test(name)) return headerAttribute(name)
  if (/^check\.[a-z0-9][a-z0-9-]*$/.test(name)) return checkAttribute(name)
  if (/^score\.[a-z0-9][a-z0-9-]{0,40}$/.test(name)) return scoreAttribute(name)
  return null
}

export function isKnownAt(attribute: Attribute, stage: Stage): boolean {
  return stages.indexOf(attribute.from) <= stages.indexOf(stage)
}

/** Those of `attributeNames` that a rule at this stage can use. */
export function attributeNamesAt(stage: Stage): string[] {
  return attributeNames.filter((name) => {
    if (name === 'header.<Name>') return stages.indexOf('header') <= stages.indexOf(stage)
    if (name === 'check.<name>') return true
    if (name === 'score.<name>') return stage === 'complete'
    return isKnownAt(byName.get(name)!, stage)
  })
}

/**
 * What was known of a logged transaction at a stage. `recipientIndex` is the position in `recipients` at `rcpt`,
 * else `null`. Later facts are left out, so that no rule sees more than it saw live. A replay gives the recipients
 * as its own rules left them.
 */
export function attributesOf(
  event: TransactionEnded,
  stage: Stage,
  recipientIndex: number | null,
  recipients: readonly { normalized: string; outcome: string }[] = event.recipients,
): Attributes {
  const at = stages.indexOf(stage)
  const isAfterRcpt = at > rcptPosition
  const isMailKnown = at >= mailPosition
  const isHeaderKnown = at >= headerPosition
  const isComplete = at === completePosition
  return {
    remote: event.remote,
    helo: at === 0 ? null : event.helo,
    tls: isMailKnown ? event.tls : null,
    authUser: isMailKnown ? event.authUser : null,
    sender: isMailKnown ? event.sender : null,
    declaredSizeBytes: isMailKnown ? event.declaredSizeBytes : null,
    recipients:
      recipientIndex !== null
        ? [recipients[recipientIndex]!.normalized]
        : isAfterRcpt
          ? recipients.filter(isTaken).map((recipient) => recipient.normalized)
          : none,
    recipientCount: recipientIndex !== null ? recipientIndex + 1 : isAfterRcpt ? recipients.length : 0,
    refusedRecipientCount:
      recipientIndex !== null
        ? countRefused(recipients, recipientIndex)
        : isAfterRcpt
          ? countRefused(recipients, recipients.length)
          : 0,
    headers: isHeaderKnown ? event.headers : none,
    subject: isHeaderKnown ? event.subject : null,
    attachments: isComplete ? event.attachments : none,
    messageBytes: isComplete ? event.messageBytes : null,
    checks: checksSeen(
      event.plugins.length === 0 ? event.checks : [...event.checks, ...event.plugins],
      stage,
      recipientIndex,
      recipients,
    ),
    unlogged: null,
  }
}

const none: readonly never[] = []

/**
 * Of all results so far those that a rule of a stage sees, live as in a replay. At `rcpt` that are the results about
 * this recipient and those about the whole transaction; after `rcpt` those about any recipient that was taken, as
 * with the attribute `recipient`: where they differ, a condition holds if one of them fits.
 */
export function checksSeen(
  results: readonly CheckResult[],
  stage: Stage,
  recipientIndex: number | null,
  recipients: readonly { outcome: string }[],
): readonly CheckResult[] {
  if (results.length === 0) return none
  const at = stages.indexOf(stage)
  return results.filter(({ stage: from, recipient }) => {
    if (stages.indexOf(from) > at) return false
    if (recipient == null) return true
    if (recipientIndex !== null) return recipient === recipientIndex
    const about = recipients[recipient]
    return about !== undefined && isTaken(about)
  })
}

/** Whether a recipient was answered 250: discarded and quarantined ones were. */
export function isTaken(recipient: { outcome: string }): boolean {
  return recipient.outcome !== 'refused' && recipient.outcome !== 'deferred'
}

const mailPosition = stages.indexOf('mail')
const rcptPosition = stages.indexOf('rcpt')
const headerPosition = stages.indexOf('header')
const completePosition = stages.indexOf('complete')

function countRefused(recipients: readonly { outcome: string }[], upto: number): number {
  let count = 0
  for (let index = 0; index < upto; index += 1) if (!isTaken(recipients[index]!)) count += 1
  return count
}

function attribute(
  name: string,
  type: AttributeType,
  from: Stage,
  description: string,
  read: (attributes: Attributes) => AttributeValue,
): Attribute {
  return { name, type, from, description, read }
}

/** There is none, or where the check that should have found it had no answer: nobody can tell. */
function noneOf({ checks }: Attributes, name: string): null | undefined {
  return checks.some((check) => check.name === name && check.result === unknownResult) ? undefined : null
}

function headerAttribute(name: string): Attribute {
  const wanted = name.slice('header.'.length).toLowerCase()
  return attribute(name, 'text', 'header', `value of the header ${name.slice('header.'.length)}`, (a) => {
    const values: string[] = []
    for (const header of a.headers) {
      if (header.name.length === wanted.length && header.name.toLowerCase() === wanted) values.push(header.value)
    }
    return values.length > 0 ? values : null
  })
}

function checkAttribute(name: string): Attribute {
  const wanted = name.slice('check.'.length)
  return attribute(name, 'text', checkNamed(wanted)?.from ?? 'connect', `result of the check ${wanted}`, (a) => {
    // About the transaction the last result counts, about recipients each of them does.
    let whole: string | undefined
    let several: string[] | null = null
    for (const check of a.checks) {
      if (check.name !== wanted) continue
      if (check.recipient == null) whole = check.result
      else (several ??= []).push(check.result)
    }
    if (several === null) return whole
    if (whole !== undefined) several.push(whole)
    return several.length === 1 ? several[0] : several
  })
}

const scorePrefix = 'score.'

/** The result that holds the score of this attribute, or `null` where it is none of a plug-in's score. */
export function scoredCheckOf(attributeName: string): string | null {
  return attributeName.startsWith(scorePrefix) ? `plugin-${attributeName.slice(scorePrefix.length)}` : null
}

function scoreAttribute(name: string): Attribute {
  const wanted = scoredCheckOf(name)
  const description = `number that the plug-in ${name.slice(scorePrefix.length)} gave the message`
  // Nobody can tell the score of a plug-in that had no answer, or gives none; one that was not to look gave none.
  return attribute(name, 'number', 'complete', description, (a) => {
    const found = a.checks.find((check) => check.name === wanted)
    return found?.score ?? (found?.result === skippedResult ? null : undefined)
  })
}

function domainOrNull(address: string | null): string | null {
  return address === null || !address.includes('@') ? null : lowerDomain(address)
}

function lowerDomain(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1).toLowerCase()
}
