/**
 * The policy snapshot: all that decides who may connect, send and receive, as one immutable value.
 *
 * Why  a session asks for the present snapshot at each decision and keeps the one a transaction began with: a
 *      reload swaps one reference and drops no session (SYSTEMS X5).
 */
import type { Config } from '../../kit/config.ts'
import type { CompiledRuleset } from '../../rules/compile-ruleset.ts'
import type { NetworkClass } from '../../contracts/vocabulary.ts'
import type { Aliases } from './aliases.ts'
import type { Directory } from './directory.ts'
import type { TlsVersion } from '../tls/server-tls.ts'
import type { NetworkTable } from './network-table.ts'

export type Policy = {
  mode: Config['recipients']['mode']
  /** Normalised, exact: a subdomain is another domain. */
  domains: ReadonlySet<string>
  lowerCaseLocalPart: boolean
  directory: Directory
  aliases: Aliases
  disabled: Config['recipients']['disabled']
  networks: NetworkTable
  rules: CompiledRuleset
}

/** `minTls`: the oldest TLS version it may speak; `null`: what holds for all. */
export type RemoteNetwork = { class: NetworkClass; name: string | null; mayRelay: boolean; minTls: TlsVersion | null }
