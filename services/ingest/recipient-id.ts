/**
 * The opaque id of a recipient: a keyed hash of the normalised address (BILLING, Metering), so that entries name a
 * recipient without holding the address, and need no look-up to do so.
 *
 * Why  addresses repeat: the last ones are remembered.
 */
import { createHmac } from 'node:crypto'

/** Some 30 MB. Forgetting a company's addresses in the middle of a day would cost a hash a recipient. */
const rememberedCount = 200_000

export type RecipientIds = (normalizedAddress: string) => string

export function createRecipientIds(recipientKey: Uint8Array): RecipientIds {
  const remembered = new Map<string, string>()
  return (address) => {
    const known = remembered.get(address)
    if (known !== undefined) return known
    const id = recipientIdOf(recipientKey, address)
    if (remembered.size >= rememberedCount) remembered.clear()
    remembered.set(address, id)
    return id
  }
}

/** First 16 octets of HMAC-SHA256, written as a UUID. */
export function recipientIdOf(recipientKey: Uint8Array, normalizedAddress: string): string {
  const hex = createHmac('sha256', recipientKey).update(normalizedAddress).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}
