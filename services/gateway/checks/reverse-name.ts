/** Names under which the DNS keeps what it knows of an address (RFC 1035 §3.5, RFC 3596 §2.5, RFC 5782 §2). */
import { parseIpAddress, type IpAddress } from '../../rules/ip-prefix-set.ts'

/** The labels of an address from its end: four numbers, or 32 nibbles; `null` where the text is no address. */
export function reversedLabels(ip: string): string | null {
  const address = parseIpAddress(ip)
  if (address === null) return null
  const digits = address.version === 4 ? octetsOf(address) : nibblesOf(address)
  return digits.reverse().join('.')
}

export function reverseName(ip: string): string | null {
  const address = parseIpAddress(ip)
  return address === null ? null : `${reversedLabels(ip)}.${address.version === 4 ? 'in-addr' : 'ip6'}.arpa`
}

function octetsOf({ bits }: IpAddress): string[] {
  return [24n, 16n, 8n, 0n].map((shift) => String((bits >> shift) & 255n))
}

function nibblesOf({ bits }: IpAddress): string[] {
  return [...bits.toString(16).padStart(32, '0')]
}
