/**
 * DMARC: whether the domain in From stands behind the message, by SPF or by DKIM (RFC 7489), judged by mailauth.
 *
 * Why  mailauth takes strict alignment for relaxed, so what is not exactly the domain is left out before it is asked.
 *      Of several domains in From the one that fails decides: a second From must not get a forged first one through.
 *      Where SPF or DKIM had no answer and the other one does not pass, nobody can tell.
 */
import { domainOf, normalizedDomain } from '../../contracts/address.ts'
import type { AskDkim } from './dkim.ts'
import { found, unknown, type Check, type Finding, type Question } from './check.ts'
import { mailauthResolver } from './mailauth-resolver.ts'
import type { Resolver } from './resolver.ts'
import type { AskSpf } from './spf.ts'

const fromLimit = 5
const worstFirst = ['fail', 'unknown', 'pass', 'none']

export function dmarcCheck(resolver: Resolver, askSpf: AskSpf, askDkim: AskDkim): Check {
  const ask = mailauthResolver(resolver)
  return {
    name: 'dmarc',
    from: 'complete',
    per: 'transaction',
    isRemote: true,
    find: (question) => judge(question, ask, askSpf, askDkim),
  }
}

async function judge(
  { transaction, message }: Question,
  ask: ReturnType<typeof mailauthResolver>,
  askSpf: AskSpf,
  askDkim: AskDkim,
): Promise<Finding> {
  if (message === null) return unknown('no message')
  const [spf, dkim] = await Promise.all([askSpf(transaction), askDkim(transaction, message)])
  const domains = [...new Set(dkim.from.map((address) => normalizedDomain(domainOf(address))))]
  if (domains.length === 0) return dkim.result === 'unknown' ? unknown(dkim.detail ?? '') : found('none', 'no address in From')
  if (domains.length > fromLimit) return found('fail', `${domains.length} domains in From`)
  const passed = { spf: spf.result === 'pass' ? [spf.domain] : [], dkim: dkim.domains }
  const isOpen = spf.result === 'unknown' || dkim.result === 'unknown'
  const findings = await Promise.all(domains.map((domain) => judgeDomain(domain, ask, passed, isOpen)))
  return findings.sort((a, b) => worstFirst.indexOf(a.result) - worstFirst.indexOf(b.result))[0]!
}

async function judgeDomain(
  domain: string,
  resolver: ReturnType<typeof mailauthResolver>,
  passed: { spf: readonly string[]; dkim: readonly string[] },
  isOpen: boolean,
): Promise<Finding> {
  const { default: module } = await import('mailauth/lib/dmarc/index.js')
  const headerFrom = `postmaster@${domain}`
  const record = await module.dmarc({ headerFrom, spfDomains: [], dkimDomains: [], resolver })
  if (record.status.result === 'none') return found('none', domain)
  const { alignment } = record
  if (alignment === undefined) return unknown(`the policy of ${domain} could not be read`)
  const aligned = (names: readonly string[], isStrict: boolean) =>
    names.filter((name) => !isStrict || normalizedDomain(name) === domain).map((name) => ({ domain: name }))
  const { status } = await module.dmarc({
    headerFrom,
    spfDomains: aligned(passed.spf, alignment.spf.strict),
    dkimDomains: aligned(passed.dkim, alignment.dkim.strict),
    resolver,
  })
  const detail = `${domain} p=${record.policy ?? 'none'}${record.pct === undefined ? '' : ` pct=${record.pct}`}`
  if (status.result === 'pass') return found('pass', detail)
  if (status.result !== 'fail' || isOpen) return unknown(detail)
  return found('fail', detail)
}
