/**
 * What a plug-in is: something that wants the whole message, to say what it is or to do something with it.
 *
 * Owns    the interface. A plug-in speaks its protocol and throws where it has no answer.
 * Leaves  when it is asked, time and size limits, what a failure means and the event to guarded-plugin.ts.
 */
import type { Envelope } from '../spool/spool-contract.ts'
import type { PluginMessage } from './plugin-contract.ts'

/** What every section of the configuration has. */
export type SharedSettings = {
  name: string
  directions: ('inbound' | 'outbound')[]
  networkClasses: ('public' | 'device' | 'trusted')[]
  maxBytes: number
  timeLimitMs: number
  concurrent: number
  onFailure: 'open' | 'closed'
}

/**
 * `result`: a short word that rules can ask for. `detail`: what a person wants to read in the log. `score`: a number that
 * rules can compare, as it is to be logged.
 */
export type PluginFinding = { result: string; detail: string | null; score?: number }

/** A plug-in looks at a message (`scan`), or does something with one that was accepted (`prepare`), or both. */
export interface Plugin {
  readonly kind: string
  readonly settings: SharedSettings
  /** Other reasons not to want a message, beside direction, network and size. */
  wants?(message: Pick<PluginMessage, 'transaction'>): boolean
  /** Of what it speaks to, for the operator; rejects where that does not answer. */
  version?(signal: AbortSignal): Promise<string>
  /** Before the rules of `complete`, which may ask for `plugin-<name>`. Stops at once where `signal` aborts. */
  scan?(message: PluginMessage, signal: AbortSignal): Promise<PluginFinding>
  /** After the rules of `complete`, in the order of the configuration: the envelope with its changes. */
  prepare?(message: PluginMessage, envelope: Envelope, signal: AbortSignal): Promise<PreparedMessage>
  close?(): Promise<void>
}

export type PreparedMessage = PluginFinding & { envelope: Envelope }

/**
 * It answers, and has no answer to this message. Anything else that is thrown counts as a sign that it is dead, and
 * after some of those it is not asked for a while.
 */
export class MessageFailure extends Error {
  override readonly name = 'MessageFailure'
}

