/**
 * The checks of a gateway, made of its configuration, with what they remember over restarts.
 *
 * Owns    the resolver, the country database and the tables below `<data>/checks`; closes them.
 */
import path from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import type { Config } from '../../kit/config.ts'
import type { Logger } from '../../kit/operator-log.ts'
import { makeFolder } from '../../kit/writable-folder.ts'
import type { Checks } from './checks-contract.ts'
import { countriesOf } from './country.ts'
import { dkimCheck, dkimOf } from './dkim.ts'
import { dmarcChecks, dmarcOf } from './dmarc.ts'
import { dnsListCheck } from './dns-list.ts'
import { DnsResolver } from './dns-resolver.ts'
import { greylistCheck, isGreylistEntryLive } from './greylist.ts'
import { heloPlausibleCheck } from './helo-plausible.ts'
import { rateCheck } from './rate.ts'
import { RememberedTable } from './remembered-table.ts'
import { noResolver, type Resolver } from './resolver.ts'
import { reverseDnsCheck } from './reverse-dns.ts'
import { senderDomainCheck } from './sender-domain.ts'
import { senderListCheck } from './sender-list.ts'
import { spfCheck, spfOf } from './spf.ts'
import { StageChecks } from './stage-checks.ts'
import { Traps } from './traps.ts'

export type OpenChecksOptions = {
  config: Config
  /** Name of the gateway in its greeting. */
  hostname: string
  clock: Clock
  log: Pick<Logger, 'warn'>
  /** In place of the name servers of the configuration. */
  resolver?: Resolver
  /** In place of the country database. */
  countryOf?: (ip: string) => string | null
}

export type OpenChecks = { checks: Checks; close(): Promise<void> }

/** Rejects where the folder of the tables cannot be used. */
export async function openChecks(options: OpenChecksOptions): Promise<OpenChecks> {
  const { config, hostname, clock, log } = options
  const settings = config.checks
  const warn = (text: string): void => log.warn(text)
  const nowMs = (): number => clock.nowMs()
  const folder = path.join(config.data, 'checks')
  makeFolder(folder)
  const greylist = await RememberedTable.open({
    file: path.join(folder, 'greylist.txt'),
    maxEntries: settings.greylist.entries,
    isLive: (values, now) => isGreylistEntryLive(settings.greylist, values, now),
    nowMs,
    warn,
  })
  const listed = await RememberedTable.open({
    file: path.join(folder, 'traps.txt'),
    maxEntries: settings.traps.entries,
    isLive: ([untilMs = 0], now) => untilMs > now,
    nowMs,
    warn,
  })
  const own = settings.dns.enabled && options.resolver === undefined ? new DnsResolver(settings.dns, clock) : null
  const resolver = options.resolver ?? own ?? noResolver
  const askSpf = spfOf(resolver, hostname)
  const askDkim = dkimOf(resolver, clock)
  const traps = new Traps(settings.traps, listed, nowMs)
  const checks = new StageChecks({
    checks: [
      reverseDnsCheck(resolver),
      ...settings.dnsLists.map((list) => dnsListCheck(resolver, list)),
      ...settings.rates.map((rate) => rateCheck(rate, settings.rateEntries, nowMs)),
      heloPlausibleCheck(resolver, hostname),
      senderDomainCheck(resolver),
      senderListCheck(settings.senders),
      spfCheck(askSpf),
      greylistCheck(settings.greylist, greylist, nowMs),
      traps.check,
      dkimCheck(askDkim),
      ...dmarcChecks(dmarcOf(resolver, askSpf, askDkim)),
    ],
    countryOf: options.countryOf ?? countriesOf(settings.countryFile ?? null, warn),
    noteRefused: (transaction, recipient) => void traps.note(transaction, recipient),
    networkClasses: settings.networkClasses,
    timeLimitMs: settings.timeLimitMs,
    clock,
    warn,
  })
  return {
    checks,
    async close() {
      own?.close()
      await Promise.all([greylist.close(), listed.close()])
    },
  }
}
