/**
 * Whether what the remote calls itself could be true (RFC 5321 §4.1.1.1, §4.1.3).
 *
 * Why  in the order of what costs nothing: form first, then our own names, and only what is left is asked of the DNS.
 */
import { normalizedDomain } from '../../contracts/address.ts'
import { parseIpAddress } from '../../rules/ip-prefix-set.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import type { Resolver } from './resolver.ts'

export function heloPlausibleCheck(resolver: Resolver, hostname: string): Check {
  const ourName = normalizedDomain(hostname)
  return {
    name: 'helo-plausible',
    from: 'helo',
    per: 'session',
    isRemote: true,
    subjectOf: ({ facts }) => facts.helo,
    find: ({ transaction }) => judgeHelo(resolver, transaction, ourName),
  }
}

const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
const fullName = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})+$`)

async function judgeHelo(resolver: Resolver, { facts, policy }: Transaction, ourName: string): Promise<Finding> {
  const helo = facts.helo ?? ''
  const literal = /^\[(?:IPv6:)?([0-9a-f.:]+)\]$/i.exec(helo)?.[1]
  if (literal !== undefined) {
    const said = parseIpAddress(literal)
    if (said === null) return found('syntax', 'no address between the brackets')
    const real = facts.remote.ip === null ? null : parseIpAddress(facts.remote.ip)
    const isSame = real !== null && real.version === said.version && real.bits === said.bits
    return found(isSame ? 'ok' : 'literal-mismatch')
  }
  if (parseIpAddress(helo) !== null) return found('bare-ip')
  const name = normalizedDomain(helo).replace(/\.$/, '')
  if (!fullName.test(name)) return found('syntax', name.includes('.') ? null : 'a name without a domain')
  if (name === ourName || policy.domains.has(name)) return found('ours')
  const v4 = await resolver.ask(name, 'A')
  if (v4.status === 'found') return found('ok')
  const v6 = await resolver.ask(name, 'AAAA')
  if (v6.status === 'found') return found('ok')
  if (v4.status === 'unknown') return unknown(v4.why)
  return v6.status === 'unknown' ? unknown(v6.why) : found('unresolvable')
}
