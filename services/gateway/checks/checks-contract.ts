/**
 * The seam between the session and everything that is looked up elsewhere: names, lists, countries, rates.
 *
 * Why  rules are pure and see only what is logged: a check runs before the rules that ask for it, its result goes
 *      into the event, and a replay needs no network.
 */
import type { Stage } from '../../contracts/vocabulary.ts'
import type { PluginMessage } from '../plugins/plugin-contract.ts'
import type { Transaction } from '../session/transaction.ts'

export interface Checks {
  /**
   * Finds out what the rules of this stage ask for and the transaction does not hold yet: adds to
   * `transaction.checks`, and may replace `transaction.facts` by one with more known of the remote. `recipient` is
   * the normalised address asked for at `rcpt`, before it joins the transaction. `message` is there at `complete`,
   * and its octets are read only where a check wants them. `null`: nothing to wait for. Never rejects: what cannot
   * be found out is the result `unknown`.
   */
  before(
    transaction: Transaction,
    stage: Stage,
    recipient: string | null,
    message: PluginMessage | null,
  ): Promise<void> | null
  /** Policy refuses this recipient before any rule sees it: addresses of traps belong to nobody. */
  refused(transaction: Transaction, recipient: string): void
}

export const noChecks: Checks = { before: () => null, refused: () => {} }
