/**
 * E-mail addresses as the product compares them.
 *
 * Leaves  the grammar of RFC 5321 paths to the gateway; here is only what must be equal everywhere.
 */

export type AddressNormalization = { lowerCaseLocalPart: boolean }

/**
 * The form under which an address is looked up, billed and sorted: domain as lower-case A-label, local part
 * lower-case unless the tenant says otherwise (BILLING, metering 1). An address without `@` keeps its form.
 */
export function normalizedAddress(address: string, normalization: AddressNormalization): string {
  const at = address.lastIndexOf('@')
  if (at < 0) return normalization.lowerCaseLocalPart ? address.toLowerCase() : address
  const localPart = address.slice(0, at)
  return `${normalization.lowerCaseLocalPart ? localPart.toLowerCase() : localPart}@${normalizedDomain(address.slice(at + 1))}`
}

/** Lower-case A-label of a domain (RFC 5890); an address literal or a domain that is none keeps its lower-case form. */
export function normalizedDomain(domain: string): string {
  const lower = domain.toLowerCase()
  if (isPlainAscii(lower)) return lower
  try {
    return new URL(`http://${lower}`).hostname
  } catch {
    return lower
  }
}

function isPlainAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) > 0x7f) return false
  return true
}

/** What follows the last `@`, or the empty string. */
export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1 || address.length)
}
