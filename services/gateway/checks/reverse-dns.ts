/**
 * Reverse DNS: whether the remote has a name, and whether that name leads back to it.
 *
 * Limits  the first five names in their alphabetical order are followed: name servers turn the order of answers.
 * Why     a name that could not be followed to its end is not called unconfirmed: nobody can tell.
 */
import { parseIpAddress } from '../../rules/ip-prefix-set.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import { cleanName } from './clean-text.ts'
import type { Resolver } from './resolver.ts'
import { reverseName } from './reverse-name.ts'

const followedNames = 5

export function reverseDnsCheck(resolver: Resolver): Check {
  return {
    name: 'reverse-dns',
    from: 'connect',
    per: 'session',
    isRemote: true,
    subjectOf: ({ facts }) => facts.remote.ip,
    find: ({ transaction }) => lookUp(resolver, transaction.facts.remote.ip ?? ''),
  }
}

async function lookUp(resolver: Resolver, ip: string): Promise<Finding> {
  const name = reverseName(ip)
  if (name === null) return { ...unknown('no address'), remote: nobodyKnows }
  const pointers = await resolver.ask(name, 'PTR')
  if (pointers.status === 'unknown') return { ...unknown(pointers.why), remote: nobodyKnows }
  if (pointers.status === 'none') return { ...found('none'), remote: { reverseName: null, forwardConfirmed: false } }
  const names = [...new Set(pointers.records.map(cleanName))].sort().slice(0, followedNames)
  const type = parseIpAddress(ip)!.version === 4 ? 'A' : 'AAAA'
  const answers = await Promise.all(names.map((one) => resolver.ask(one.includes('?') ? '' : one, type)))
  const confirmed = answers.findIndex((answer) => answer.status === 'found' && answer.records.some(isAddress(ip)))
  if (confirmed >= 0) return named('confirmed', names[confirmed]!, true)
  const unanswered = answers.find((answer) => answer.status === 'unknown')
  if (unanswered?.status === 'unknown') return { ...named('unknown', names[0]!, null), detail: unanswered.why }
  return named('unconfirmed', names[0]!, false)
}

const nobodyKnows = { reverseName: null, forwardConfirmed: null }

function named(result: string, reverseName: string, forwardConfirmed: boolean | null): Finding {
  return { ...found(result, reverseName), remote: { reverseName, forwardConfirmed } }
}

function isAddress(ip: string): (other: string) => boolean {
  const wanted = parseIpAddress(ip)!
  return (other) => {
    const address = parseIpAddress(other)
    return address !== null && address.version === wanted.version && address.bits === wanted.bits
  }
}
