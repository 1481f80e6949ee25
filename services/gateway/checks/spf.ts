/**
 * SPF: whether the domain of the sender names the remote as one of its own (RFC 7208), judged by mailauth, which
 * keeps the limits of §4.6.4: ten look-ups, two that find nothing.
 *
 * Why  for `<>` it is the name of HELO that is asked about (§2.4). A temperror is `unknown`.
 */
import { domainToASCII } from 'node:url'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding } from './check.ts'
import { mailauthResolver } from './mailauth-resolver.ts'
import type { Resolver } from './resolver.ts'

/** `domain`: what it was asked about. */
export type SpfFinding = Finding & { domain: string }
export type AskSpf = (transaction: Transaction) => Promise<SpfFinding>

export function spfCheck(ask: AskSpf): Check {
  return {
    name: 'spf',
    from: 'mail',
    per: 'transaction',
    isRemote: true,
    find: ({ transaction }) => ask(transaction),
  }
}

/** Asks once for a transaction, whoever wants to know. */
export function spfOf(resolver: Resolver, hostname: string): AskSpf {
  const asked = new WeakMap<Transaction, Promise<SpfFinding>>()
  return (transaction) => {
    let finding = asked.get(transaction)
    if (finding === undefined) asked.set(transaction, (finding = verify(resolver, hostname, transaction)))
    return finding
  }
}

async function verify(resolver: Resolver, hostname: string, { facts, sender }: Transaction): Promise<SpfFinding> {
  const { ip } = facts.remote
  const identity = asciiAddress(sender === null || sender === '' ? `postmaster@${facts.helo ?? ''}` : sender)
  if (ip === null) return { ...unknown('no address'), domain: '' }
  const { default: module } = await import('mailauth/lib/spf/index.js')
  const told = await module.spf({
    sender: identity,
    ip,
    helo: facts.helo ?? '',
    mta: hostname,
    resolver: mailauthResolver(resolver),
  })
  const { result, comment } = told.status
  if (result === 'temperror') return { ...unknown(`a look-up for ${told.domain} failed`), domain: told.domain }
  const reason = result === 'permerror' ? `: ${comment?.slice(comment.lastIndexOf(': ') + 2) ?? ''}` : ''
  return { ...found(result, `${told.domain}${reason}, look-ups: ${told.lookups?.count ?? 0}`), domain: told.domain }
}

function asciiAddress(address: string): string {
  const at = address.lastIndexOf('@')
  const domain = address.slice(at + 1)
  return `${address.slice(0, at + 1)}${/^[ -~]*$/.test(domain) ? domain : domainToASCII(domain)}`
}
