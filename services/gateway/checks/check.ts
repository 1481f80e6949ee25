/** What a check is: a name that rules ask for, and how its answer is found. */
import type { Remote } from '../../contracts/event.ts'
import type { Stage } from '../../contracts/vocabulary.ts'
import type { PluginMessage } from '../plugins/plugin-contract.ts'
import type { MaybePromise } from '../session/maybe-promise.ts'
import type { Transaction } from '../session/transaction.ts'

export type Question = {
  transaction: Transaction
  stage: Stage
  /** Normalised, at `rcpt` only. */
  recipient: string | null
  /** The whole message, at `complete` only. */
  message: PluginMessage | null
}

/** `result` is one of the words of services/rules/check-names.ts. */
export type Finding = {
  result: string
  detail: string | null
  /** What it found out about the remote. */
  remote?: Partial<Remote>
}

export type Check = {
  name: string
  /** First stage at which it can answer. */
  from: Stage
  /** Of what there is one answer; of a recipient each time one is named. */
  per: 'session' | 'transaction' | 'recipient'
  /** Asks the network: only for classes of networks that are looked up, and no longer than the time limit. */
  isRemote: boolean
  /** What of the session the answer depends on; `null`: there is nothing to ask about. For `per: session`. */
  subjectOf?: (transaction: Transaction) => string | null
  /** Where it counts, whatever stage asks for it: it answers there as well. */
  countsAt?: Stage
  find(question: Question): MaybePromise<Finding>
}

export function found(result: string, detail: string | null = null): Finding {
  return { result, detail }
}

export function unknown(why: string): Finding {
  return { result: 'unknown', detail: why }
}
