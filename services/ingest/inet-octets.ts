/** The octets of an IP address: 4 or 16, or `null` for a text that is none. A zone (`%eth0`) is left out. */
import { isIPv4, isIPv6 } from 'node:net'

export function inetOctets(text: string): Uint8Array | null {
  if (isIPv4(text)) return v4Octets(text)
  if (!isIPv6(text)) return null
  const address = text.split('%', 1)[0]!
  const [head, tail] = address.split('::') as [string, string | undefined]
  const first = groupOctets(head)
  if (tail === undefined) return Uint8Array.from(first)
  const last = groupOctets(tail)
  const octets = new Uint8Array(16)
  octets.set(first, 0)
  octets.set(last, 16 - last.length)
  return octets
}

function v4Octets(text: string): Uint8Array {
  const octets = new Uint8Array(4)
  let at = 0
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index)
    if (code === 0x2e) at += 1
    else octets[at] = octets[at]! * 10 + code - 0x30
  }
  return octets
}

function groupOctets(groups: string): number[] {
  if (groups === '') return []
  return groups.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}
