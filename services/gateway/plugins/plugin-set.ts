/**
 * The plug-ins of a gateway as the session sees them.
 *
 * Order  scans run side by side, each reading the message for itself; preparing is done one after the other, since
 *        each builds on the envelope of the one before.
 */
import { endingOf, type Ending } from '../session/ending.ts'
import { reply } from '../session/reply.ts'
import type { Transaction } from '../session/transaction.ts'
import type { Envelope } from '../spool/spool-contract.ts'
import { GuardedPlugin, type PluginDeps } from './guarded-plugin.ts'
import type { MessagePlugins, PluginMessage } from './plugin-contract.ts'
import type { Plugin } from './plugin.ts'

export class PluginSet implements MessagePlugins {
  readonly #plugins: readonly GuardedPlugin[]
  readonly #scanning: readonly GuardedPlugin[]
  readonly #preparing: readonly GuardedPlugin[]

  /** In the order in which they prepare a message. */
  constructor(plugins: readonly Plugin[], deps: PluginDeps) {
    this.#plugins = plugins.map((plugin) => new GuardedPlugin(plugin, deps))
    this.#scanning = this.#plugins.filter(({ plugin }) => plugin.scan !== undefined)
    this.#preparing = this.#plugins.filter(({ plugin }) => plugin.prepare !== undefined)
  }

  wantsScan(transaction: Transaction): boolean {
    return this.#scanning.some((plugin) => plugin.wants(transaction))
  }

  async scan(message: PluginMessage): Promise<Ending | null> {
    const { transaction } = message
    const wanted = this.#scanning.filter((plugin) => plugin.wants(transaction))
    const results = await Promise.all(wanted.map((plugin) => plugin.scan(message)))
    transaction.plugins.push(...results.map(({ found }) => found))
    return results.some(({ failure }) => failure !== null) ? unavailable() : null
  }

  wantsPrepare(transaction: Transaction): boolean {
    return this.#preparing.some((plugin) => plugin.wants(transaction))
  }

  async prepare(message: PluginMessage, envelope: Envelope): Promise<Envelope | Ending> {
    const { transaction } = message
    let prepared = envelope
    for (const plugin of this.#preparing) {
      if (!plugin.wants(transaction)) continue
      const { value, found, failure } = await plugin.prepare(message, prepared)
      transaction.plugins.push(found)
      if (failure !== null) return unavailable()
      if (value !== null) prepared = value.envelope
    }
    return prepared
  }

  async close(): Promise<void> {
    await Promise.all(this.#plugins.map(({ plugin }) => plugin.close?.()))
  }
}

/** Which one it was, and why, stands in the event: no remote need know what looks at its mail. */
function unavailable(): Ending {
  return endingOf({
    outcome: 'deferred',
    reason: 'plugin-unavailable',
    reply: reply(451, '4.7.1', 'The message cannot be checked at the moment, try again later'),
  })
}
