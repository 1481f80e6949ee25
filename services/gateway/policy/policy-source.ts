/**
 * The policy in force: made of configuration, rule set and directory, replaced as a whole, told by `policy.loaded`.
 * The rule set is that of the file which the setting `rules` names, else the published one.
 *
 * Owns    the present snapshot, watching the files it is made of, and the events that let any past decision be
 *         explained from the log.
 * Why     polled, not watched: a file on a network share or replaced by a rename gives no dependable notice.
 * Fails   at a start a rule set with faults is an error; later it leaves the one in force and says so.
 */
import { createHash } from 'node:crypto'
import path from 'node:path'
import type { Logger } from 'pino'
import { normalizedDomain } from '../../contracts/address.ts'
import type { EventBody, PolicyLoaded } from '../../contracts/event.ts'
import type { Config } from '../../kit/config.ts'
import type { CompiledRuleset } from '../../rules/compile-ruleset.ts'
import { canonicalJson, loggedRuleset } from '../../rules/ruleset-hash.ts'
import type { EventLog } from '../log/event-log-contract.ts'
import { AliasesFile, noAliases, type Aliases } from './aliases.ts'
import { emptyDirectory, type Directory } from './directory.ts'
import { DirectorySource } from './directory-source.ts'
import { noRules, RulesFile } from './load-rules.ts'
import { NetworkTable } from './network-table.ts'
import type { Policy } from './policy.ts'
import { SnapshotSource } from './snapshot-source.ts'

export type PolicySourceOptions = { config: Config; eventLog: EventLog; log: Logger; pollMs?: number }

const defaultPollMs = 2_000

export class PolicySource {
  current: Policy
  readonly #options: PolicySourceOptions
  readonly #aliases: AliasesFile | null
  readonly #directory: DirectorySource | null
  /** `null`: the published rules govern. */
  readonly #rules: RulesFile | null
  readonly #snapshot: SnapshotSource
  readonly #isRemote: boolean
  #timers: NodeJS.Timeout[] = []
  #reloading: Promise<void> = Promise.resolve()

  constructor(options: PolicySourceOptions) {
    this.#options = options
    const { config, log } = options
    const { directory, aliases, lowerCaseLocalPart } = config.recipients
    this.#aliases = aliases === undefined ? null : new AliasesFile(aliases, { lowerCaseLocalPart }, (sentence) => log.error(sentence))
    this.#rules = config.rules === undefined ? null : new RulesFile(config.rules, (sentence) => log.error(sentence))
    const { url, token } = config.policy
    const remote = url === undefined || token === undefined ? null : { url, token }
    this.#isRemote = remote !== null
    this.#snapshot = new SnapshotSource({ dataFolder: config.data, tenantId: config.tenant, log, remote })
    const policyFolder = path.join(config.data, 'policy')
    this.#directory =
      directory === undefined
        ? null
        : new DirectorySource({ file: directory, policyFolder, normalization: { lowerCaseLocalPart }, log })
    this.current = policyOf(config, noRules(), emptyDirectory(directory === undefined ? 'none' : 'unavailable'))
  }

  /** Loads everything, logs it, and goes on watching. Throws for a rule set that cannot be used. */
  async open(): Promise<void> {
    const { config } = this.#options
    await this.#directory?.open()
    await this.#snapshot.open()
    const rules = this.#rules === null ? this.#publishedRules : await this.#rules.load()
    await this.#aliases?.open()
    const aliases = this.#aliases?.current ?? noAliases
    this.current = { ...policyOf(config, rules, this.#directory?.current ?? this.current.directory), aliases }
    await this.#tell(settingsLoaded(this.current, config))
    await this.#tell(rulesetLoaded(rules))
    await this.#tell(directoryLoaded(this.current.directory))
    this.#every(this.#options.pollMs ?? defaultPollMs, () => this.reload())
    if (!this.#isRemote) return
    this.#every(config.policy.pollSeconds * 1_000, () => this.#askRemote())
    void this.#askRemote()
  }

  /** Takes what changed; `isForced` (SIGHUP) reads the files even where they look the same, and asks a remote api. */
  reload(isForced = false): Promise<void> {
    this.#reloading = this.#reloading.then(async () => {
      await this.#reloadDirectory(isForced)
      await this.#reloadAliases(isForced)
      await this.#reloadRules(isForced)
      if (isForced || !this.#isRemote) await this.#snapshot.refresh(isForced)
      await this.#takeSnapshot()
    })
    return this.#reloading
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await this.#reloading
  }

  #every(ms: number, work: () => Promise<void>): void {
    const timer = setInterval(() => void work(), ms)
    timer.unref()
    this.#timers.push(timer)
  }

  /** Beside the files, which must not wait for a network. */
  async #askRemote(): Promise<void> {
    if (!(await this.#snapshot.refresh())) return
    this.#reloading = this.#reloading.then(() => this.#takeSnapshot())
    await this.#reloading
  }

  get #publishedRules(): CompiledRuleset {
    return this.#snapshot.current.parts.ruleset ?? noRules()
  }

  async #takeSnapshot(): Promise<void> {
    const rules = this.#publishedRules
    if (this.#rules !== null || rules.hash === this.current.rules.hash) return
    await this.#putInForce(rules).catch((error: unknown) => {
      this.#options.log.error(`${(error as Error).message}: the rule set before stays in force`)
    })
  }

  async #putInForce(rules: CompiledRuleset): Promise<void> {
    // Told before it decides anything, so that no event names a hash that the log does not know.
    await this.#tell(rulesetLoaded(rules))
    this.current = { ...this.current, rules }
    const { length } = rules.ruleset.rules
    this.#options.log.info({ rules: length, hash: rules.hash.slice(0, 16) }, 'The rule set is in force')
  }

  async #reloadDirectory(isForced: boolean): Promise<void> {
    if (this.#directory === null || !(await this.#directory.refresh(isForced))) return
    const directory = this.#directory.current
    const isOther = directory.hash !== this.current.directory.hash
    // Told before it decides anything, so that no event names a version that the log does not know.
    if (isOther) await this.#tell(directoryLoaded(directory))
    this.current = { ...this.current, directory }
  }

  async #reloadAliases(isForced: boolean): Promise<void> {
    if (this.#aliases === null || !(await this.#aliases.refresh(isForced))) return
    const next = { ...this.current, aliases: this.#aliases.current }
    await this.#tell(settingsLoaded(next, this.#options.config))
    this.current = { ...this.current, aliases: next.aliases }
  }

  async #reloadRules(isForced: boolean): Promise<void> {
    const { log } = this.#options
    if (this.#rules === null || !(isForced || (await this.#rules.isChanged()))) return
    try {
      const rules = await this.#rules.load()
      if (rules.hash === this.current.rules.hash) return
      await this.#putInForce(rules)
    } catch (error) {
      log.error(`${(error as Error).message}: the rule set before stays in force`)
    }
  }

  async #tell(event: EventBody<PolicyLoaded>): Promise<void> {
    await this.#options.eventLog.append(event)
  }
}

export function policyOf(config: Config, rules: CompiledRuleset, directory: Directory): Policy {
  const { mode, domains, lowerCaseLocalPart, disabled } = config.recipients
  return {
    mode,
    domains: new Set(domains.map(normalizedDomain)),
    lowerCaseLocalPart,
    directory,
    aliases: noAliases,
    disabled,
    networks: new NetworkTable(config.networks),
    rules,
  }
}

function settingsLoaded(policy: Policy, { networks }: Config): EventBody<PolicyLoaded> {
  const content = {
    mode: policy.mode,
    domains: [...policy.domains],
    lowerCaseLocalPart: policy.lowerCaseLocalPart,
    disabled: policy.disabled,
    networks,
    ...(policy.aliases === noAliases ? {} : { aliases: { count: policy.aliases.size, hash: aliasesHash(policy.aliases) } }),
  }
  return {
    kind: 'policy.loaded',
    part: 'policy',
    hash: createHash('sha256').update(canonicalJson(content)).digest('hex'),
    content,
  }
}

/** Addresses stay out of the log. */
function aliasesHash(aliases: Aliases): string {
  return createHash('sha256').update(JSON.stringify([...aliases].sort(([a], [b]) => (a < b ? -1 : 1)))).digest('hex')
}

function rulesetLoaded(rules: CompiledRuleset): EventBody<PolicyLoaded> {
  return { kind: 'policy.loaded', part: 'ruleset', hash: rules.hash, content: loggedRuleset(rules.ruleset) }
}

/** Addresses stay out of the log: by their hash and number only. */
function directoryLoaded(directory: Directory): EventBody<PolicyLoaded> {
  const { status, hash, version, addressCount, clientCount } = directory
  return {
    kind: 'policy.loaded',
    part: 'directory',
    hash: hash ?? createHash('sha256').update('').digest('hex'),
    content: { status, version, addressCount, clientCount },
  }
}
