/**
 * The seam between the session and whatever wants the whole message: virus scanners, spam scorers, archives, signing.
 *
 * Order  the rules of `header` → `scan` → the rules of `complete`, which see what it found → `prepare` → spool,
 *        event, 250. So a scanner costs nothing for what is refused before, and nothing is acknowledged that a
 *        plug-in which must not fail has not seen.
 */
import type { Envelope } from '../spool/spool-contract.ts'
import type { Ending } from '../session/ending.ts'
import type { Transaction } from '../session/transaction.ts'

/** The message as received: dot-stuffing undone, CRLF line ends, without what the gateway puts before it. */
export type PluginMessage = {
  transaction: Transaction
  sizeBytes: number
  /** sha256, lower-case hex. */
  digest: string
  /** From the first octet, anew for each caller; not after the message was committed or dropped. */
  octets(): AsyncIterable<Uint8Array>
}

export interface MessagePlugins {
  /** Whether any plug-in wants this message; otherwise nothing is read. */
  wantsScan(transaction: Transaction): boolean
  /**
   * Adds what was found to `transaction.plugins`. Resolves to an ending where a plug-in that must answer did not:
   * the message is deferred. Never rejects.
   */
  scan(message: PluginMessage): Promise<Ending | null>
  /** Whether something is to be done with what was accepted before it is durable. */
  wantsPrepare(transaction: Transaction, envelope: Envelope): boolean
  /** The envelope to commit, e.g. with a signature before the message; or an ending that defers. Never rejects. */
  prepare(message: PluginMessage, envelope: Envelope): Promise<Envelope | Ending>
}

export const noPlugins: MessagePlugins = {
  wantsScan: () => false,
  scan: async () => null,
  wantsPrepare: () => false,
  prepare: async (_message, envelope) => envelope,
}
