/**
 * DMARC: whether the domain in From stands behind the message, by SPF or by DKIM (RFC 7489), judged by mailauth; and
 * what that domain wants done with what it does not stand behind.
 *
 * Why  mailauth takes strict alignment for relaxed, so what is not exactly the domain is left out before it is asked.
 *      Of several domains in From the one that fails decides: a second From must not get a forged first one through.
 *      Where SPF or DKIM had no answer and the other one does not pass, nobody can tell.
 */
import { domainOf, normalizedDomain } from '../../contracts/address.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, unknown, type Check, type Finding, type Question } from './check.ts'
import type { AskDkim } from './dkim.ts'
import { mailauthResolver } from './mailauth-resolver.ts'
import type { Resolver } from './resolver.ts'
import type { AskSpf } from './spf.ts'

/** `policy`: what the domain asks for; `null` where it asks for nothing. */
type DmarcFinding = Finding & { policy: string | null }
export type AskDmarc = (question: Question) => Promise<DmarcFinding>

const fromLimit = 5
const worstFirst = ['fail', 'unknown', 'pass', 'none']
const policies = new Set(['none', 'quarantine', 'reject'])

/** `dmarc`, and `dmarc-policy` for rules that do as the domain asks. */
export function dmarcChecks(ask: AskDmarc): Check[] {
  const shared = { from: 'complete', per: 'transaction', isRemote: true } as const
  return [
    { ...shared, name: 'dmarc', find: ask },
    {
      ...shared,
      name: 'dmarc-policy',
      async find(question) {
        const { result, detail, policy } = await ask(question)
        if (policy !== null) return found(policy, detail)
        return result === 'unknown' ? unknown(detail ?? '') : found('no-policy', detail)
      },
    },
  ]
}

/** Judges a message once, whoever wants to know. */
export function dmarcOf(resolver: Resolver, askSpf: AskSpf, askDkim: AskDkim): AskDmarc {
  const judged = new WeakMap<Transaction, Promise<DmarcFinding>>()
  const ask = mailauthResolver(resolver)
  return (question) => {
    let finding = judged.get(question.transaction)
    if (finding === undefined) judged.set(question.transaction, (finding = judge(question, ask, askSpf, askDkim)))
    return finding
  }
}

async function judge(
  { transaction, message }: Question,
  ask: ReturnType<typeof mailauthResolver>,
  askSpf: AskSpf,
  askDkim: AskDkim,
): Promise<DmarcFinding> {
  if (message === null) return { ...unknown('no message'), policy: null }
  const [spf, dkim] = await Promise.all([askSpf(transaction), askDkim(transaction, message)])
  const domains = [...new Set(dkim.from.map((address) => normalizedDomain(domainOf(address))))]
  if (domains.length === 0) {
    const finding = dkim.result === 'unknown' ? unknown(dkim.detail ?? '') : found('none', 'no address in From')
    return { ...finding, policy: null }
  }
  if (domains.length > fromLimit) return { ...found('fail', `${domains.length} domains in From`), policy: null }
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
): Promise<DmarcFinding> {
  const { default: module } = await import('mailauth/lib/dmarc/index.js')
  const headerFrom = `postmaster@${domain}`
  const record = await module.dmarc({ headerFrom, spfDomains: [], dkimDomains: [], resolver })
  if (record.status.result === 'none') return { ...found('none', domain), policy: null }
  const { alignment } = record
  if (alignment === undefined) return { ...unknown(`the policy of ${domain} could not be read`), policy: null }
  const aligned = (names: readonly string[], isStrict: boolean) =>
    names.filter((name) => !isStrict || normalizedDomain(name) === domain).map((name) => ({ domain: name }))
  const { status } = await module.dmarc({
    headerFrom,
    spfDomains: aligned(passed.spf, alignment.spf.strict),
    dkimDomains: aligned(passed.dkim, alignment.dkim.strict),
    resolver,
  })
  const asked = record.policy?.trim().toLowerCase() ?? ''
  // A record with a policy that nobody knows asks for nothing (RFC 7489 §6.6.3).
  const policy = policies.has(asked) ? asked : 'none'
  const detail = `${domain} p=${policy}${record.pct === undefined ? '' : ` pct=${record.pct}`}`
  if (status.result === 'pass') return { ...found('pass', detail), policy }
  if (status.result !== 'fail' || isOpen) return { ...unknown(detail), policy }
  return { ...found('fail', detail), policy }
}
