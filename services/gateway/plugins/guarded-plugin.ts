/**
 * A plug-in with its limits: asked only about what it wants, within its time, and never more than that.
 *
 * Owns    wish, size and time limit, the number of messages at once, the breaker, and what a failure means.
 * Limits  `maxBytes`: `skipped`, whatever `onFailure` says, as no retry makes a message smaller.
 * Fails   never: a failure is the result `unknown`, and where `onFailure` is closed also a reason to defer.
 */
import { AssertionError } from 'node:assert'
import type { CheckResult } from '../../contracts/event.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Logger } from '../../kit/operator-log.ts'
import { skippedResult, unknownResult } from '../../rules/check-names.ts'
import { cutText } from '../data/header-section.ts'
import type { Envelope } from '../spool/spool-contract.ts'
import { acceptedRecipients, type Transaction } from '../session/transaction.ts'
import { Breaker } from './breaker.ts'
import type { PluginMessage } from './plugin-contract.ts'
import { MessageFailure, type Plugin, type PluginFinding } from './plugin.ts'
import { Turns } from './turns.ts'

export type PluginDeps = { clock: Clock; log: Pick<Logger, 'info' | 'warn' | 'error'> }

/** `failure`: why it has no answer, where mail must not go on without one. */
export type GuardedResult<Value> = { value: Value | null; found: CheckResult; failure: string | null }

const detailBytes = 200
const resultPattern = /^[a-z0-9][a-z0-9-]{0,40}$/

export class GuardedPlugin {
  readonly plugin: Plugin
  readonly #deps: PluginDeps
  readonly #breaker: Breaker
  readonly #turns: Turns

  constructor(plugin: Plugin, deps: PluginDeps) {
    this.plugin = plugin
    this.#deps = deps
    this.#breaker = new Breaker(() => deps.clock.monotonicUs() / 1_000)
    this.#turns = new Turns(plugin.settings.concurrent)
  }

  wants(transaction: Transaction): boolean {
    const { directions, networkClasses } = this.plugin.settings
    if (!networkClasses.includes(transaction.facts.remote.networkClass)) return false
    if (!acceptedRecipients(transaction).some(({ direction }) => directions.includes(direction))) return false
    return this.plugin.wants?.({ transaction }) ?? true
  }

  /** Rules ask for `plugin-<name>`. */
  scan(message: PluginMessage): Promise<GuardedResult<PluginFinding>> {
    return this.#ask(`plugin-${this.plugin.settings.name}`, message, (limited, signal) => this.plugin.scan!(limited, signal))
  }

  /** The name of the result is one that no rule can ask for: the rules of `complete` have run, and a replay must not know more. */
  prepare(message: PluginMessage, envelope: Envelope): Promise<GuardedResult<PluginFinding & { envelope: Envelope }>> {
    return this.#ask(`prepare-${this.plugin.settings.name}`, message, (limited, signal) =>
      this.plugin.prepare!(limited, envelope, signal),
    )
  }

  async #ask<Value extends PluginFinding>(
    name: string,
    message: PluginMessage,
    work: (message: PluginMessage, signal: AbortSignal) => Promise<Value>,
  ): Promise<GuardedResult<Value>> {
    const startedUs = this.#deps.clock.monotonicUs()
    const result = (result: string, detail: string | null, score?: number): CheckResult => ({
      name,
      stage: 'complete',
      result,
      detail: detail === null ? null : oneLine(detail),
      ...(score === undefined ? {} : { score }),
      durationUs: this.#deps.clock.monotonicUs() - startedUs,
    })
    const { maxBytes, onFailure } = this.plugin.settings
    if (message.sizeBytes > maxBytes) {
      return { value: null, found: result(skippedResult, `over maxBytes (${maxBytes})`), failure: null }
    }
    const failed = (text: string): GuardedResult<Value> => ({
      value: null,
      found: result(unknownResult, text),
      failure: onFailure === 'closed' ? text : null,
    })
    try {
      const value = await this.#withinLimits(message, work)
      if (!resultPattern.test(value.result)) throw new MessageFailure(`it gave the result "${value.result.slice(0, 60)}", which is no short word`)
      if (value.score !== undefined && !Number.isFinite(value.score)) throw new MessageFailure('it gave a score that is no number')
      return { value, found: result(value.result, value.detail, value.score), failure: null }
    } catch (error) {
      return failed((error as Error).message)
    }
  }

  async #withinLimits<Value>(
    message: PluginMessage,
    work: (message: PluginMessage, signal: AbortSignal) => Promise<Value>,
  ): Promise<Value> {
    const { timeLimitMs } = this.plugin.settings
    const refusal = this.#breaker.refusal()
    if (refusal !== null) throw new MessageFailure(refusal)
    const limit = new AbortController()
    let isAsked = false
    const late = new Promise<never>((_resolve, reject) => {
      limit.signal.addEventListener('abort', () => reject(limit.signal.reason as Error), { once: true })
    })
    const timer = setTimeout(() => {
      const text = isAsked ? `no answer within ${timeLimitMs} ms` : `others were still waiting for it after ${timeLimitMs} ms`
      limit.abort(isAsked ? new Error(text) : new BusyFailure(text))
    }, timeLimitMs)
    const turn = this.#turns.take()
    try {
      await Promise.race([turn.granted, late])
      isAsked = true
      const value = await Promise.race([work(limitedMessage(message, limit.signal), limit.signal), late])
      this.#noteAnswer()
      return value
    } catch (error) {
      this.#noteFailure(error as Error)
      throw error
    } finally {
      clearTimeout(timer)
      turn.end()
      limit.abort(new MessageFailure('it is over'))
      late.catch(() => {})
    }
  }

  #noteAnswer(): void {
    if (this.#breaker.succeeded()) this.#deps.log.info({ plugin: this.plugin.settings.name }, 'A plug-in answers again')
  }

  #noteFailure(error: Error): void {
    const plugin = this.plugin.settings.name
    if (isOurFault(error)) this.#deps.log.error({ err: error, plugin }, 'A plug-in has a fault of our own')
    if (error instanceof BusyFailure) return this.#breaker.gaveUp()
    // It answered: one message that it cannot take says nothing about the next.
    if (error instanceof MessageFailure) return this.#noteAnswer()
    if (this.#breaker.failed(error.message)) {
      const { onFailure } = this.plugin.settings
      const meanwhile = onFailure === 'closed' ? 'mail that it must see is deferred' : 'mail goes on without it'
      this.#deps.log.warn({ plugin, err: error }, `A plug-in does not answer: ${meanwhile}`)
    }
  }
}

/** It was not asked, as too many others were. */
class BusyFailure extends Error {
  override readonly name = 'BusyFailure'
}

/** It may hold what came with the mail: nothing that acts on a terminal, and no line end. */
function oneLine(text: string): string {
  return cutText(text.slice(0, detailBytes).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, '?'), detailBytes)
}

function isOurFault(error: Error): boolean {
  return [TypeError, ReferenceError, RangeError, AssertionError].some((kind) => error instanceof kind)
}

/** Gives no octet after the limit: by then the message may be committed or dropped. */
function limitedMessage(message: PluginMessage, signal: AbortSignal): PluginMessage {
  return {
    ...message,
    async *octets() {
      signal.throwIfAborted()
      for await (const chunk of message.octets()) {
        signal.throwIfAborted()
        yield chunk
      }
      signal.throwIfAborted()
    },
  }
}
