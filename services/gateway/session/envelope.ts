/** The envelope of an accepted message: whom it goes to after rules had their say, and what is put before it. */
import { domainOf, normalizedAddress } from '../../contracts/address.ts'
import type { Verdict } from '../../rules/evaluate-stage.ts'
import { headerLinesOf, subjectTagOf } from '../../rules/marks.ts'
import { targetsOf } from '../policy/aliases.ts'
import type { Envelope, EnvelopeRecipient } from '../spool/spool-contract.ts'
import { receivedHeader } from './received-header.ts'
import type { Delivery, Transaction } from './transaction.ts'

export type Disposition = 'deliver' | 'discard' | 'quarantine'

/** `null` where nothing of it is kept: everything was discarded. */
export function envelopeOf(
  transaction: Transaction,
  disposition: Disposition,
  hostname: string,
  nowMs: number,
): Envelope | null {
  const { progress } = transaction
  const mayNotify = mayNotifySender(transaction)
  const delivered = new Map<string, EnvelopeRecipient>()
  const quarantined = new Map<string, EnvelopeRecipient>()
  if (disposition !== 'discard') {
    for (const delivery of transaction.deliveries) {
      if (delivery.disposition === 'discard') continue
      const target = disposition === 'quarantine' || delivery.disposition === 'quarantine' ? quarantined : delivered
      target.set(delivery.recipient.normalized, mayNotify ? withNamed(delivery) : delivery.recipient)
    }
    if (progress.redirectTo !== null && delivered.size > 0) {
      delivered.clear()
      for (const redirected of deliveredTo(transaction, progress.redirectTo)) delivered.set(redirected.normalized, redirected)
    }
  }
  // A copy was asked for whatever becomes of the message itself.
  const copies = progress.copyTo.flatMap((address) => deliveredTo(transaction, address))
  for (const delivery of transaction.deliveries) copies.push(...delivery.copies)
  for (const copy of copies) delivered.set(copy.normalized, copy)
  for (const key of delivered.keys()) quarantined.delete(key)
  if (delivered.size === 0 && quarantined.size === 0) return null
  const recipients = [...delivered.values()]
  const isMixed = delivered.size > 0 && quarantined.size > 0
  for (const one of quarantined.values()) recipients.push(isMixed ? { ...one, disposition: 'quarantine' } : one)
  return {
    queueId: transaction.id,
    sender: transaction.sender ?? '',
    recipients,
    acceptedAtMs: nowMs,
    is8BitMime: transaction.is8BitMime,
    isSmtpUtf8: transaction.isSmtpUtf8,
    mayNotifySender: mayNotify,
    ...(mayNotify && transaction.dsn !== null ? { dsn: transaction.dsn } : {}),
    // Last of ours stands Received: a message that begins with a folded line adds to that, and to no mark.
    prependedHeaders: headerLinesOf(progress.marks) + receivedHeader(transaction, hostname, nowMs),
    subjectTag: subjectTagOf(progress.marks),
    disposition: delivered.size > 0 ? 'deliver' : 'quarantine',
    // Who may send out through us may also have marked it before.
    ...(transaction.facts.mayRelay ? {} : { reservedNames: transaction.policy.rules.markHeaderNames }),
  }
}

function withNamed({ recipient, named }: Delivery): EnvelopeRecipient {
  const { address, notify = null, originalRecipient = null } = named
  return { ...recipient, named: { address, notify, originalRecipient } }
}

/** Whom mail for `address` goes to: those that it stands for, or itself. */
export function deliveredTo({ policy }: Transaction, address: string): EnvelopeRecipient[] {
  const targets = targetsOf(policy.aliases, address, normalizedAddress(address, policy))
  return targets.map((target) => envelopeRecipient(policy, target))
}

export function envelopeRecipient(policy: Transaction['policy'], address: string): EnvelopeRecipient {
  return { address, normalized: normalizedAddress(address, policy) }
}

/** How a message counts of which every accepted recipient was told the same, else `null`. */
export function commonDisposition(transaction: Transaction, verdict: Verdict | null): Disposition {
  if (verdict?.action === 'discard' || verdict?.action === 'quarantine') return verdict.action
  const found = new Set(transaction.deliveries.map((delivery) => delivery.disposition))
  return found.size === 1 ? [...found][0]! : 'deliver'
}

/** No backscatter: only a remote that may relay, or an inside sender on an inside network, is written back to. */
function mayNotifySender({ sender, facts, policy }: Transaction): boolean {
  if (sender === null || sender === '') return false
  if (facts.mayRelay) return true
  return facts.remote.networkClass !== 'public' && policy.domains.has(domainOf(normalizedAddress(sender, policy)))
}
