import { isIP } from 'node:net'

/** Why a text is no network in CIDR notation, with what to write instead; `null` where it is one. */
export function cidrFault(text: string): { message: string; remedy: string } | null {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  const family = isIP(address)
  if (family === 0) {
    return { message: `"${text}" is no network`, remedy: 'Write an address and the number of its fixed bits, like 192.0.2.0/24 or 2001:db8::/32' }
  }
  const bitCount = family === 4 ? 32 : 128
  const prefix = slash < 0 ? bitCount : Number(text.slice(slash + 1))
  if (!(Number.isInteger(prefix) && prefix <= bitCount)) {
    return { message: `"${text}" has more than ${bitCount} fixed bits`, remedy: `Write a number from 0 to ${bitCount} after the slash` }
  }
  const bits = family === 4 ? bitsOfV4(address) : bitsOfV6(address)
  const free = BigInt(bitCount - prefix)
  const network = (bits >> free) << free
  if (network === bits) return null
  return {
    message: `"${text}" has bits set beyond its ${prefix} fixed ones, so it is unclear which network is meant`,
    remedy: `Write ${family === 4 ? v4Of(network) : v6Of(network)}/${prefix} for the network, or ${address} for the one machine`,
  }
}

/** Whether a valid network has every address of its family in it. */
export function isEveryAddress(cidr: string): boolean {
  return cidr.endsWith('/0')
}

function bitsOfV4(address: string): bigint {
  return address.split('.').reduce((bits, part) => (bits << 8n) | BigInt(part), 0n)
}

function v4Of(bits: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => String((bits >> shift) & 0xffn)).join('.')
}

function bitsOfV6(address: string): bigint {
  const lastColon = address.lastIndexOf(':')
  const dotted = address.slice(lastColon + 1)
  const hex = dotted.includes('.') ? `${address.slice(0, lastColon + 1)}${v4AsGroups(dotted)}` : address
  const [head = '', tail] = hex.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right]
  return groups.reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n)
}

function v4AsGroups(dotted: string): string {
  const bits = bitsOfV4(dotted)
  return `${(bits >> 16n).toString(16)}:${(bits & 0xffffn).toString(16)}`
}

function v6Of(bits: bigint): string {
  const groups = Array.from({ length: 8 }, (_, index) => ((bits >> BigInt(112 - index * 16)) & 0xffffn).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
