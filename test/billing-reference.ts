/**
 * BILLING.md, "Metering one message", written a second time from its text and not from the SQL: the small slow
 * reference that the real metering is held against.
 */
import { domainOf, normalizedAddress, normalizedDomain } from '../services/contracts/address.ts'
import type { StoredMessage } from './billing-log.ts'

export type Holding = { key: string; clientId: string; from: Date | null; upto: Date | null }
export type ReferencePolicy = { billsRefusedContent: boolean; billsDuplicates: boolean; lowersLocalPart: boolean }
export type ReferenceEntry = {
  transactionId: string
  address: string
  clientId: string | null
  direction: string
  full: bigint
  split: bigint
  reason: string | null
}

const answeredOk = ['accepted', 'discarded', 'quarantined']

export function referenceEntries(
  message: StoredMessage,
  holdings: readonly Holding[],
  networks: readonly Holding[],
  policy: ReferencePolicy,
): ReferenceEntry[] {
  const size = octetsMetered(message)
  if (size === null) return []
  const byAddress = new Map<string, StoredMessage['recipients']>()
  for (const recipient of message.recipients) {
    if (!answeredOk.includes(recipient.outcome ?? 'accepted')) continue
    byAddress.set(recipient.address, [...(byAddress.get(recipient.address) ?? []), recipient])
  }
  const addresses = [...byAddress.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const count = BigInt(addresses.length)
  return addresses.map((address, place) => {
    const takes = byAddress.get(address)!
    const direction = takes.some((take) => (take.direction ?? 'inbound') === 'inbound') ? 'inbound' : 'outbound'
    const clientId =
      direction === 'inbound'
        ? ownerOf(holdings, address, message.endedAt)
        : (ownerOf(holdings, senderAddress(message, policy), message.endedAt) ??
          holderOf(networks, message.networkName, message.endedAt))
    return {
      transactionId: message.transactionId,
      address,
      clientId,
      direction,
      full: size,
      split: size / count + (BigInt(place) < size % count ? 1n : 0n),
      reason: reasonOf(message, takes, policy),
    }
  })
}

function octetsMetered(message: StoredMessage): bigint | null {
  const { outcome, stage, messageBytes, dataBytes } = message
  if (['accepted', 'marked', 'discarded', 'quarantined'].includes(outcome)) return BigInt(messageBytes ?? dataBytes)
  if (outcome === 'refused' && stage === 'complete') return BigInt(messageBytes ?? dataBytes)
  if (outcome === 'refused' && stage === 'header') return BigInt(dataBytes)
  return null
}

function reasonOf(
  message: StoredMessage,
  takes: StoredMessage['recipients'],
  policy: ReferencePolicy,
): string | null {
  if (message.outcome === 'refused' && !policy.billsRefusedContent) return `refused-at-${message.stage}`
  if (message.duplicateOf !== null && !policy.billsDuplicates) return 'duplicate'
  const disabled = takes.map((take) => take.reason ?? '').sort()
  if (disabled.every((reason) => reason.startsWith('client-'))) return disabled[0]!
  return isSizeUnknown(message) ? 'size-unknown' : null
}

/** Another MTA's log told neither what its queue held nor what came over the line: that is not 0 octets. */
function isSizeUnknown({ sizeSource, messageBytes, dataBytes }: StoredMessage): boolean {
  return sizeSource === 'queue' && messageBytes === null && dataBytes === 0
}

function senderAddress(message: StoredMessage, policy: ReferencePolicy): string | null {
  if (message.sender === null || !message.sender.includes('@')) return null
  return normalizedAddress(message.sender, { lowerCaseLocalPart: policy.lowersLocalPart })
}

function ownerOf(holdings: readonly Holding[], address: string | null, at: Date): string | null {
  if (address === null) return null
  return holderOf(holdings, address, at) ?? holderOf(holdings, `*@${normalizedDomain(domainOf(address))}`, at)
}

function holderOf(holdings: readonly Holding[], key: string | null, at: Date): string | null {
  const found = holdings.filter(
    (holding) =>
      holding.key === key &&
      (holding.from === null || holding.from <= at) &&
      (holding.upto === null || at < holding.upto),
  )
  if (found.length > 1) throw new Error(`${key} has ${found.length} holders`)
  return found[0]?.clientId ?? null
}
