/** Which configured network an address belongs to: the longest prefix wins, and who is in none is public. */
import type { Config } from '../../kit/config.ts'
import { parseIpAddress, parseIpPrefix, type IpPrefix } from '../../rules/ip-prefix-set.ts'
import type { RemoteNetwork } from './policy.ts'

type Entry = { prefix: IpPrefix; network: RemoteNetwork }

export const publicNetwork: RemoteNetwork = { class: 'public', name: null, mayRelay: false, minTls: null }

export class NetworkTable {
  /** Longest prefix first; of equal ones the first that was written. */
  readonly #entries: readonly Entry[]

  /** Throws for a network that is none: the configuration was checked before. */
  constructor(networks: Config['networks']) {
    const entries = networks.flatMap((network) =>
      network.cidrs.map((cidr): Entry => {
        const prefix = parseIpPrefix(cidr)
        if (prefix === null) throw new RangeError(`${cidr} is no network`)
        const mayRelay = network.class === 'trusted' || (network.class === 'device' && network.relay)
        return { prefix, network: { class: network.class, name: network.name, mayRelay, minTls: network.minTls ?? null } }
      }),
    )
    this.#entries = entries.sort((a, b) => b.prefix.length - a.prefix.length)
  }

  networkOf(ip: string | null): RemoteNetwork {
    const address = ip === null ? null : parseIpAddress(ip)
    if (address === null) return publicNetwork
    const width = address.version === 4 ? 32 : 128
    for (const { prefix, network } of this.#entries) {
      if (prefix.version !== address.version) continue
      const shift = BigInt(width - prefix.length)
      if (prefix.bits >> shift === address.bits >> shift) return network
    }
    return publicNetwork
  }
}

/** The network that shares a connection limit: /24 or /64. */
export function neighbourhoodOf(ip: string): string {
  const address = parseIpAddress(ip)
  if (address === null) return ip
  return address.version === 4 ? `4:${address.bits >> 8n}` : `6:${address.bits >> 64n}`
}

/** An IPv4 address that arrived on an IPv6 socket, as IPv4. */
export function plainIp(ip: string): string {
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(ip) ? ip.slice(7) : ip
}
