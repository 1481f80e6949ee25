/**
 * DNS block and allow lists (RFC 5782): `dnsbl-<name>` with the answer of the list as result.
 *
 * Owns    the question for IPv4, IPv6 and domains; telling an answer from a list that is broken or refuses us.
 * Leaves  what an answer weighs to the rules.
 * Why     a list that was given up answers everything, and one that blocks our resolver answers 127.255.255.x: both
 *         would list the whole world, so both are `unknown`. The test point that must not be listed (RFC 5782 §5)
 *         is asked only when something is listed.
 */
import { normalizedDomain } from '../../contracts/address.ts'
import type { Config } from '../../kit/config.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import type { Resolver } from './resolver.ts'
import { reversedLabels } from './reverse-name.ts'
import { senderDomainOf } from './sender-domain.ts'

type DnsList = Config['checks']['dnsLists'][number]

const stageOf = { ip: 'connect', 'helo-domain': 'helo', 'sender-domain': 'mail' } as const

export function dnsListCheck(resolver: Resolver, list: DnsList): Check {
  return {
    name: `dnsbl-${list.name}`,
    from: stageOf[list.of],
    per: list.of === 'sender-domain' ? 'transaction' : 'session',
    isRemote: true,
    subjectOf: (transaction) => labelsOf(list, transaction),
    find: ({ transaction }) => lookUp(resolver, list, labelsOf(list, transaction)),
  }
}

/** What stands before the zone in the question; `null`: there is nothing to ask about. */
function labelsOf({ of }: DnsList, transaction: Transaction): string | null {
  const { facts } = transaction
  if (of === 'ip') return facts.remote.ip === null ? null : reversedLabels(facts.remote.ip)
  const domain = of === 'sender-domain' ? senderDomainOf(transaction) : normalizedDomain(facts.helo ?? '')
  return domain === null || !/^[a-z0-9_-]+(\.[a-z0-9_-]+)+$/.test(domain) || /^[\d.]+$/.test(domain) ? null : domain
}

async function lookUp(resolver: Resolver, { zone, of }: DnsList, labels: string | null): Promise<Finding> {
  if (labels === null) return found('not-listed', of === 'ip' ? 'no address' : 'no domain to ask about')
  const answer = await resolver.ask(`${labels}.${zone}`, 'A')
  if (answer.status === 'unknown') return unknown(answer.why)
  if (answer.status === 'none') return found('not-listed')
  const listings = answer.records.filter((record) => record.startsWith('127.')).sort(byNumber)
  const strange =
    listings.length === 0 ? answer.records[0] : listings.find((record) => record.startsWith('127.255.255.'))
  if (strange !== undefined) return unknown(`the list does not answer us: ${strange}`)
  const testPoint = await resolver.ask(`${of === 'ip' ? '1.0.0.127' : 'invalid'}.${zone}`, 'A')
  if (testPoint.status === 'found') return unknown('the list answers everything')
  // Of several answers the lowest decides; the detail has them all.
  return found(listings[0]!, listings.length === 1 ? null : listings.join(' '))
}

function byNumber(one: string, other: string): number {
  const [a, b] = [one, other].map((ip) => ip.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0))
  return a! - b!
}
