/**
 * The checks of a gateway, made of its configuration, with what they remember over restarts.
 *
 * Owns    the resolver, the country database and the tables below `<data>/checks`; closes them.
 */
import type { Logger } from '../../kit/operator-log.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Config } from '../../kit/config.ts'
import type { Checks } from './checks-contract.ts'
import { DnsResolver } from './dns-resolver.ts'
import { dnsListCheck } from './dns-list.ts'
import { heloPlausibleCheck } from './helo-plausible.ts'
import { noResolver, type Resolver } from './resolver.ts'
import { reverseDnsCheck } from './reverse-dns.ts'
import { senderDomainCheck } from './sender-domain.ts'
import { StageChecks } from './stage-checks.ts'

export type OpenChecksOptions = {
  config: Config
  hostname: string
  clock: Clock
  log: Logger
  /** In place of the name servers of the configuration. */
  resolver?: Resolver
  /** In place of the country database. */
  countryOf?: (ip: string) => string | null
}

export type OpenChecks = { checks: Checks; close(): Promise<void> }

export async function openChecks(options: OpenChecksOptions): Promise<OpenChecks> {
  const { config, hostname, clock, log } = options
  const { checks: settings } = config
  const own = settings.dns.enabled && options.resolver === undefined ? new DnsResolver(settings.dns, clock) : null
  const resolver = options.resolver ?? own ?? noResolver
  const checks = new StageChecks({
    checks: [
      reverseDnsCheck(resolver),
      heloPlausibleCheck(resolver, hostname),
      senderDomainCheck(resolver),
      ...settings.dnsLists.map((list) => dnsListCheck(resolver, list)),
    ],
    countryOf: options.countryOf ?? (() => null),
    noteRefused: () => {},
    networkClasses: settings.networkClasses,
    timeLimitMs: settings.timeLimitMs,
    clock,
    warn: (text) => log.warn(text),
  })
  return {
    checks,
    async close() {
      own?.close()
    },
  }
}
