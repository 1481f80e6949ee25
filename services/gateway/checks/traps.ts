/**
 * Trap addresses: nobody has a reason to write to them, so who does is listed for a while.
 *
 * Owns    who is listed, over restarts; telling that a recipient is a trap, also where policy refuses it.
 * Limits  `entries`; the longest unlisted go first.
 * Why     devices and trusted networks are never listed. A sender can be forged, so that one alone should weigh less
 *         than a refusal; `<>` is never listed.
 */
import { normalizedAddress } from '../../contracts/address.ts'
import type { Config } from '../../kit/config.ts'
import type { Policy } from '../policy/policy.ts'
import type { Transaction } from '../session/transaction.ts'
import { found, type Check, type Finding } from './check.ts'
import type { RememberedTable } from './remembered-table.ts'
import { hashedKey, isStranger, networkOf } from './who.ts'

type Settings = Config['checks']['traps']

export class Traps {
  readonly check: Check
  readonly #settings: Settings
  readonly #table: RememberedTable
  readonly #nowMs: () => number
  /** By rule set: its list and the addresses of the configuration. */
  readonly #addresses = new WeakMap<Policy['rules'], ReadonlySet<string>>()

  constructor(settings: Settings, table: RememberedTable, nowMs: () => number) {
    this.#settings = settings
    this.#table = table
    this.#nowMs = nowMs
    this.check = {
      name: 'trap',
      from: 'rcpt',
      per: 'recipient',
      isRemote: false,
      find: ({ transaction, recipient }) => this.#judge(transaction, recipient ?? ''),
    }
  }

  /** Lists who writes to this recipient, if it is a trap. */
  note(transaction: Transaction, recipient: string): boolean {
    if (!isStranger(transaction) || !this.#addressesOf(transaction.policy).has(recipient)) return false
    const untilMs = this.#nowMs() + this.#settings.markHours * 3_600_000
    for (const { key } of keysOf(transaction)) this.#table.set(key, [untilMs])
    return true
  }

  #judge(transaction: Transaction, recipient: string): Finding {
    if (!isStranger(transaction)) return found('clear')
    if (this.note(transaction, recipient)) return found('listed', 'this recipient is a trap')
    const nowMs = this.#nowMs()
    const listed = keysOf(transaction).find(({ key }) => (this.#table.get(key)?.[0] ?? 0) > nowMs)
    return listed === undefined ? found('clear') : found('listed', `its ${listed.what} wrote to a trap`)
  }

  #addressesOf(policy: Policy): ReadonlySet<string> {
    let addresses = this.#addresses.get(policy.rules)
    if (addresses === undefined) {
      const { lists } = policy.rules.ruleset
      const named = Object.hasOwn(lists, this.#settings.list) ? lists[this.#settings.list]! : []
      const all = [...this.#settings.addresses, ...named]
      addresses = new Set(all.map((address) => normalizedAddress(address, policy)))
      this.#addresses.set(policy.rules, addresses)
    }
    return addresses
  }
}

function keysOf(transaction: Transaction): { key: string; what: string }[] {
  const network = networkOf(transaction)
  const { sender, policy } = transaction
  return [
    ...(network === null ? [] : [{ key: hashedKey('network', network), what: 'network' }]),
    ...(sender === null || sender === ''
      ? []
      : [{ key: hashedKey('sender', normalizedAddress(sender, policy)), what: 'sender' }]),
  ]
}
