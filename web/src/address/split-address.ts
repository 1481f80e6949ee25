/** Local part and domain, so that the middle can be cut and never the domain. `null` domain: there is none. */
export function splitAddress(address: string): { localPart: string; domain: string | null } {
  const at = address.lastIndexOf('@')
  return at < 0 ? { localPart: address, domain: null } : { localPart: address.slice(0, at), domain: address.slice(at) }
}
