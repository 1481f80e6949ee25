/** Whether the domain of the sender takes mail, so that it could be answered (RFC 5321 §5.1, RFC 7505). */
import { domainOf, normalizedDomain } from '../../contracts/address.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import { cleanName } from './clean-text.ts'
import type { Resolver } from './resolver.ts'

export function senderDomainCheck(resolver: Resolver): Check {
  return {
    name: 'sender-domain',
    from: 'mail',
    per: 'transaction',
    isRemote: true,
    find: ({ transaction }) => lookUp(resolver, senderDomainOf(transaction)),
  }
}

/** `null` for `<>`, and for a device's odd sender without a domain. */
export function senderDomainOf({ sender }: Transaction): string | null {
  const domain = sender === null || !sender.includes('@') ? '' : normalizedDomain(domainOf(sender))
  return domain === '' ? null : domain
}

async function lookUp(resolver: Resolver, domain: string | null): Promise<Finding> {
  if (domain === null) return found('no-domain')
  if (domain.startsWith('[')) return found('a', 'an address literal')
  const mx = await resolver.ask(domain, 'MX')
  if (mx.status === 'unknown') return unknown(mx.why)
  if (mx.status === 'found') {
    const hosts = mx.records.map(({ exchange }) => cleanName(exchange))
    // Some write a null MX beside others; RFC 7505 §3 forbids it, so the others count.
    if (hosts.every((host) => host === '')) return found('null-mx')
    const named = hosts.filter((host) => host !== '').sort()
    return found('mx', named.slice(0, 3).join(' '))
  }
  if (!mx.hasName) return found('none', 'there is no such domain')
  const [v4, v6] = await Promise.all([resolver.ask(domain, 'A'), resolver.ask(domain, 'AAAA')])
  if (v4.status === 'found' || v6.status === 'found') return found('a')
  if (v4.status === 'unknown') return unknown(v4.why)
  return v6.status === 'unknown' ? unknown(v6.why) : found('none')
}
