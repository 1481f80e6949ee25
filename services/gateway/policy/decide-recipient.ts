/**
 * Who may receive: the decision about one recipient before rules see it (DESIGN §4).
 *
 * Owns    the order: a listed domain or a remote that may relay, postmaster and abuse, the directory, the client.
 * Leaves  syntax and counts to the RCPT verb, rules to the stage.
 * Why     replies name no table and no reason beyond what a sender needs.
 */
import { domainOf, normalizedAddress } from '../../contracts/address.ts'
import type { Direction, Reason } from '../../contracts/vocabulary.ts'
import { reply, type Reply } from '../session/reply.ts'
import type { Policy } from './policy.ts'

export type RecipientDecision = {
  normalized: string
  direction: Direction
  outcome: 'accepted' | 'refused' | 'deferred'
  /** Set on an accepted recipient whose client is disabled and whose mail is not to be billed. */
  reason: Reason | null
  reply: Reply
  clientId: string | null
}

const recipientOk = reply(250, '2.1.5', 'Recipient ok')
const relayDenied = reply(554, '5.7.1', 'Relay access denied')
const userUnknown = reply(550, '5.1.1', 'User unknown')
const listUnavailable = reply(451, '4.3.0', 'Recipient cannot be checked at the moment, try again later')
const mailboxDisabled = reply(550, '5.2.1', 'Mailbox disabled')
const mailboxPaused = reply(450, '4.2.1', 'Mailbox disabled for the moment, try again later')

/** `address` is well-formed, or the bare word postmaster (RFC 5321 §4.5.1). */
export function decideRecipient(policy: Policy, mayRelay: boolean, address: string): RecipientDecision {
  const full = address.includes('@') ? address : `${address}@${policy.domains.values().next().value ?? 'localhost'}`
  const normalized = normalizedAddress(full, policy)
  const domain = domainOf(normalized)
  const localPart = normalized.slice(0, normalized.length - domain.length - 1)
  if (!policy.domains.has(domain)) {
    const target = { normalized, direction: 'outbound', clientId: null } as const
    return mayRelay
      ? { ...target, outcome: 'accepted', reason: null, reply: recipientOk }
      : { ...target, outcome: 'refused', reason: 'relay-denied', reply: relayDenied }
  }
  const entry = policy.directory.find(normalized)
  const target = { normalized, direction: 'inbound', clientId: entry?.clientId ?? null } as const
  if (isAlwaysReachable(localPart)) return { ...target, outcome: 'accepted', reason: null, reply: recipientOk }
  // Inside servers may still follow such a route: to a remote that may not relay it is a request to relay.
  if (isRouted(localPart) && !mayRelay && entry?.isByDomain !== false) {
    return { ...target, outcome: 'refused', reason: 'relay-denied', reply: relayDenied }
  }
  if (entry === null) return { ...target, ...unknownRecipient(policy) }
  if (entry.state === 'active') return { ...target, outcome: 'accepted', reason: null, reply: recipientOk }
  const reason: Reason = `client-${entry.state}`
  switch (policy.disabled[entry.state]) {
    case 'accept':
      return { ...target, outcome: 'accepted', reason: null, reply: recipientOk }
    case 'accept-unbilled':
      return { ...target, outcome: 'accepted', reason, reply: recipientOk }
    case 'defer':
      return { ...target, outcome: 'deferred', reason, reply: mailboxPaused }
    case 'refuse':
      return { ...target, outcome: 'refused', reason, reply: mailboxDisabled }
  }
}

/** `a%b@here`, `b!a@here`, `"a@b"@here` (the percent hack and its like). */
export function isRouted(localPart: string): boolean {
  return /[%!@]/.test(localPart)
}

function isAlwaysReachable(localPart: string): boolean {
  const name = localPart.toLowerCase()
  return name === 'postmaster' || name === 'abuse'
}

function unknownRecipient(policy: Policy): Pick<RecipientDecision, 'outcome' | 'reason' | 'reply'> {
  const { status } = policy.directory
  // A configured directory that could never be read says nothing about anyone, not even about disabled clients.
  if (status === 'unavailable')
    return { outcome: 'deferred', reason: 'directory-unavailable', reply: listUnavailable }
  if (policy.mode === 'domains') return { outcome: 'accepted', reason: null, reply: recipientOk }
  if (status === 'current') return { outcome: 'refused', reason: 'unknown-recipient', reply: userUnknown }
  return { outcome: 'deferred', reason: 'directory-unavailable', reply: listUnavailable }
}
