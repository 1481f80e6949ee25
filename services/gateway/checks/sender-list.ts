/**
 * Senders that people know: two lists of the rule set, with addresses and domains.
 *
 * Why  the nearer entry wins, an address over its domain; of two alike the white one, so that one who asks for a
 *      sender gets its mail. A subdomain is another domain.
 */
import { domainOf, normalizedAddress, normalizedDomain } from '../../contracts/address.ts'
import type { Config } from '../../kit/config.ts'
import type { Policy } from '../policy/policy.ts'
import { found, type Check } from './check.ts'

type Settings = Config['checks']['senders']
type Lists = { white: ReadonlySet<string>; black: ReadonlySet<string> }

export function senderListCheck(settings: Settings): Check {
  const ready = new WeakMap<Policy['rules'], Lists>()
  const listsOf = (policy: Policy): Lists => {
    let lists = ready.get(policy.rules)
    if (lists === undefined) {
      lists = { white: entriesOf(policy, settings.white), black: entriesOf(policy, settings.black) }
      ready.set(policy.rules, lists)
    }
    return lists
  }
  return {
    name: 'sender-list',
    from: 'mail',
    per: 'transaction',
    isRemote: false,
    find({ transaction: { sender, policy } }) {
      if (sender === null || sender === '') return found('none')
      const { white, black } = listsOf(policy)
      const address = normalizedAddress(sender, policy)
      for (const entry of [address, domainOf(address)]) {
        if (white.has(entry)) return found('white', entry)
        if (black.has(entry)) return found('black', entry)
      }
      return found('none')
    },
  }
}

function entriesOf(policy: Policy, name: string): ReadonlySet<string> {
  const { lists } = policy.rules.ruleset
  const entries = Object.hasOwn(lists, name) ? lists[name]! : []
  return new Set(
    entries.map((entry) =>
      entry.indexOf('@') > 0 ? normalizedAddress(entry, policy) : normalizedDomain(entry.replace(/^@/, '')),
    ),
  )
}
