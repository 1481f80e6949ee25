/**
 * The servers that take mail for a domain, in the order in which they are tried (RFC 5321 §5.1, RFC 7505).
 *
 * Owns    MX with fallback to the domain's own addresses, null MX, and that mail never comes back to ourselves.
 * Leaves  caching and time limits to the resolver of checks/, connecting to next-hop-connection.ts.
 * Limits  `exchangers` and `addresses` of one domain.
 * Fails   never rejects: what nobody can tell now is `unknown` and tried again.
 */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { Resolver } from '../checks/resolver.ts'
import { plainIp } from '../policy/network-table.ts'

/** `host` is the name for TLS and for events; `address`: where to connect, `null`: to whatever the system knows for it. */
export type NextHop = { host: string; address: string | null; port: number }

export type NextHops =
  | { status: 'found'; hops: readonly NextHop[] }
  /** With an enhanced status code in front. */
  | { status: 'never'; error: string }
  | { status: 'unknown'; why: string }

/** Who we are: names in lower case, and the ports that we listen on. */
export type Ourselves = { name: string; ports: ReadonlySet<number>; addresses(): ReadonlySet<string> }

const exchangers = 10
const addresses = 20

export async function mailExchangers(
  resolver: Resolver,
  { domain, port }: { domain: string; port: number },
  ourselves: Ourselves,
  random: () => number,
): Promise<NextHops> {
  const literal = /^\[(?:IPv6:)?([0-9a-f:.]+)\]$/i.exec(domain)?.[1]
  if (literal !== undefined) return isIP(literal) === 0 ? never('5.1.2', domain, 'is no address') : found([{ host: literal, address: literal, port }])
  const answer = await resolver.ask(domain, 'MX')
  if (answer.status === 'unknown') return unknown(domain, answer.why)
  if (answer.status === 'none' && !answer.hasName) return never('5.1.2', domain, 'does not exist')
  const records = answer.status === 'none' ? [{ priority: 0, exchange: domain }] : answer.records
  if (records.length === 1 && isNull(records[0]!.exchange)) return never('5.1.10', domain, 'takes no mail (null MX)')
  const ordered = records
    .filter(({ exchange }) => !isNull(exchange))
    // Equal ones share the load.
    .map((record) => ({ ...record, exchange: record.exchange.replace(/\.$/, ''), turn: random() }))
    .sort((a, b) => a.priority - b.priority || a.turn - b.turn)

  let ownPriority = Infinity
  let whyUnknown: string | null = null
  const hops: (NextHop & { priority: number })[] = []
  for (const { exchange, priority } of ordered.slice(0, exchangers)) {
    // At and behind our own place mail would go in a circle.
    if (priority >= ownPriority) break
    if (exchange.toLowerCase() === ourselves.name) {
      ownPriority = priority
      continue
    }
    const both = await Promise.all([resolver.ask(exchange, 'A'), resolver.ask(exchange, 'AAAA')])
    for (const { status, ...rest } of both) {
      if (status === 'unknown' && 'why' in rest) whyUnknown = rest.why
    }
    for (const address of both.flatMap((one) => (one.status === 'found' ? one.records : []))) {
      if (ourselves.ports.has(port) && isOwnAddress(address, ourselves)) ownPriority = priority
      else if (hops.length < addresses) hops.push({ host: exchange, address, port, priority })
    }
  }
  const usable = hops.filter(({ priority }) => priority < ownPriority)
  if (usable.length > 0) return found(usable.map(({ host, address }) => ({ host, address, port })))
  if (ownPriority < Infinity) return never('5.4.6', domain, 'would send its mail back to this gateway: add a route for it')
  return whyUnknown === null ? never('5.4.4', domain, 'has no server with an address') : unknown(domain, whyUnknown)
}

export function ourselvesOf(hostname: string, listeners: readonly string[]): Ourselves {
  const ports = new Set(listeners.map((text) => Number(text.slice(text.lastIndexOf(':') + 1))))
  const own = (): Set<string> => new Set(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)))
  return { name: hostname.toLowerCase(), ports, addresses: own }
}

function isOwnAddress(address: string, ourselves: Ourselves): boolean {
  const plain = plainIp(address)
  return /^(?:127\.|0\.0\.0\.0$|::1?$)/.test(plain) || ourselves.addresses().has(plain)
}

function isNull(exchange: string): boolean {
  return exchange === '' || exchange === '.'
}

function found(hops: readonly NextHop[]): NextHops {
  return { status: 'found', hops }
}

function never(enhanced: string, domain: string, why: string): NextHops {
  return { status: 'never', error: `${enhanced} ${domain} ${why}` }
}

function unknown(domain: string, why: string): NextHops {
  return { status: 'unknown', why: `cannot look up where mail for ${domain} goes: ${why}` }
}
