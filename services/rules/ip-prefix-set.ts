/**
 * Sets of IP networks with look-up in time that does not grow with their number.
 *
 * Limits  one hash look-up per different prefix length in the set, so at most 33 for IPv4 and 129 for IPv6.
 * Why     an IPv4 address mapped into IPv6 (`::ffff:192.0.2.1`) is the same machine: both meet as IPv4, and so do
 *         networks inside `::ffff:0:0/96`.
 */

export type IpAddress = { version: 4 | 6; bits: bigint }
export type IpPrefix = IpAddress & { length: number }

/** `null` where the text is no address. Zone indexes (`%eth0`) are dropped. */
export function parseIpAddress(text: string): IpAddress | null {
  const address = text.includes('%') ? text.slice(0, text.indexOf('%')) : text
  if (!address.includes(':')) {
    const bits = parseIpv4(address)
    return bits === null ? null : { version: 4, bits: BigInt(bits) }
  }
  const bits = parseIpv6(address)
  if (bits === null) return null
  return bits >> 32n === 0xffffn ? { version: 4, bits: bits & 0xffff_ffffn } : { version: 6, bits }
}

/** An address with or without `/length`; `null` where it is none or has bits set past its length. */
export function parseIpPrefix(text: string): IpPrefix | null {
  const slash = text.indexOf('/')
  const address = parseIpAddress(slash < 0 ? text : text.slice(0, slash))
  if (address === null || text.includes('%')) return null
  const width = address.version === 4 ? 32 : 128
  if (slash < 0) return { ...address, length: width }
  const digits = text.slice(slash + 1)
  if (!/^(0|[1-9]\d{0,2})$/.test(digits)) return null
  // A mapped network is written with the length of IPv6.
  const length = Number(digits) - (address.version === 4 && text.includes(':') ? 96 : 0)
  if (length < 0 || length > width) return null
  if (address.bits & ((1n << BigInt(width - length)) - 1n)) return null
  return { ...address, length }
}

/** The network an address with bits past its length was probably meant to be, for the remedy in a message. */
export function maskedPrefix(text: string): string | null {
  const match = /^(\d+\.\d+\.\d+\.\d+)\/(\d{1,2})$/.exec(text)
  const bits = match === null ? null : parseIpv4(match[1]!)
  const length = Number(match?.[2])
  if (bits === null || length > 32) return null
  const masked = length === 0 ? 0 : (bits & (0xffff_ffff << (32 - length))) >>> 0
  return `${masked >>> 24}.${(masked >>> 16) & 255}.${(masked >>> 8) & 255}.${masked & 255}/${length}`
}

export class IpPrefixSet {
  /** Per prefix length, longest first, the leading bits of its networks. */
  readonly #v4: { shift: number; networks: Set<number> }[]
  readonly #v6: { shift: bigint; networks: Set<bigint> }[]

  constructor(prefixes: readonly IpPrefix[]) {
    const v4 = new Map<number, Set<number>>()
    const v6 = new Map<number, Set<bigint>>()
    for (const prefix of prefixes) {
      if (prefix.version === 4) {
        setAt(v4, prefix.length).add(leadingBits(Number(prefix.bits), 32 - prefix.length))
      } else {
        setAt(v6, prefix.length).add(prefix.bits >> BigInt(128 - prefix.length))
      }
    }
    this.#v4 = [...v4].map(([length, networks]) => ({ shift: 32 - length, networks }))
    this.#v6 = [...v6].map(([length, networks]) => ({ shift: BigInt(128 - length), networks }))
  }

  has(address: IpAddress): boolean {
    if (address.version === 4) {
      const bits = Number(address.bits)
      for (const { shift, networks } of this.#v4) if (networks.has(leadingBits(bits, shift))) return true
      return false
    }
    for (const { shift, networks } of this.#v6) if (networks.has(address.bits >> shift)) return true
    return false
  }
}

/** JavaScript takes shifts modulo 32, so that a shift by 32 would change nothing. */
function leadingBits(bits: number, shift: number): number {
  return shift === 32 ? 0 : bits >>> shift
}

function setAt<Value>(sets: Map<number, Set<Value>>, length: number): Set<Value> {
  const known = sets.get(length)
  if (known !== undefined) return known
  const created = new Set<Value>()
  sets.set(length, created)
  return created
}

/** Four decimal octets without leading zeros, which some read as octal. */
function parseIpv4(text: string): number | null {
  const octets = text.split('.')
  if (octets.length !== 4) return null
  let bits = 0
  for (const octet of octets) {
    if (!/^(0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return null
    bits = bits * 256 + Number(octet)
  }
  return bits
}

/** RFC 4291 §2.2, with at most one `::` and an IPv4 tail. */
function parseIpv6(text: string): bigint | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const head = parseGroups(halves[0]!, halves.length === 1)
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : []
  if (head === null || tail === null) return null
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null
  let bits = 0n
  for (const group of [...head, ...Array<number>(missing).fill(0), ...tail]) bits = (bits << 16n) | BigInt(group)
  return bits
}

function parseGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (mayEndInIpv4 && index === parts.length - 1 && part.includes('.')) {
      const bits = parseIpv4(part)
      if (bits === null) return null
      groups.push(Math.floor(bits / 65536), bits % 65536)
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return null
      groups.push(Number.parseInt(part, 16))
    }
  }
  return groups
}
