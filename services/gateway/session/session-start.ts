/**
 * The part of a session before its first transaction: connect and helo rules, whose outcome every transaction
 * begins with.
 *
 * Why  a rule set may be replaced while a session lives: its connect and helo rules are then run again before the
 *      next transaction, so that one event is judged by one rule set throughout.
 */
import { initialProgress, type Verdict } from '../../rules/evaluate-stage.ts'
import type { SessionDeps } from './session.ts'
import { runStage } from './stage-rules.ts'
import { noMessage, noTimings, type SessionFacts, type Transaction } from './transaction.ts'

export class SessionStart {
  isGreeted = false
  isRefusalLogged = false
  /** What rules of a rule set that came into force later say of connect and helo. */
  lateVerdict: Verdict | null = null
  readonly #deps: SessionDeps
  #afterConnect: Transaction | null = null
  #afterHelo: Transaction | null = null

  constructor(deps: SessionDeps) {
    this.#deps = deps
  }

  /** The verdict that refuses, or `null`. */
  connect(facts: SessionFacts): Verdict | null {
    const transaction = this.#blank(facts)
    const { verdict } = runStage(transaction, 'connect', null, this.#deps.clock)
    this.#afterConnect = transaction
    return verdict !== null && verdict.reply !== null ? verdict : null
  }

  helo(facts: SessionFacts): Verdict | null {
    if (this.#isOutdated(this.#afterConnect)) this.connect(facts)
    const transaction = this.#copy(this.#afterConnect!, facts)
    const { verdict } = runStage(transaction, 'helo', null, this.#deps.clock)
    this.#afterHelo = transaction
    this.isGreeted = verdict === null || verdict.reply === null
    return this.isGreeted ? null : verdict
  }

  /** A new transaction that begins with what connect and helo rules found. */
  transaction(facts: SessionFacts): Transaction {
    this.lateVerdict = null
    if (this.isGreeted && this.#isOutdated(this.#afterHelo))
      this.lateVerdict = this.connect(facts) ?? this.helo(facts)
    const base = this.#afterHelo ?? this.#afterConnect
    return base === null ? this.#blank(facts) : this.#copy(base, facts)
  }

  #isOutdated(base: Transaction | null): boolean {
    return base === null || base.policy.rules !== this.#deps.policy().rules
  }

  #blank(facts: SessionFacts): Transaction {
    const { clock, ids, policy } = this.#deps
    const startedAtMs = clock.nowMs()
    return {
      id: ids.transaction(startedAtMs),
      startedAtMs,
      facts,
      policy: policy(),
      sender: null,
      declaredSizeBytes: null,
      is8BitMime: false,
      isSmtpUtf8: false,
      recipients: [],
      deliveries: [],
      recipientOctets: 0,
      commandBytes: 0,
      evaluations: [],
      checks: [],
      progress: initialProgress(),
      isHeaderJudged: false,
      timings: noTimings(),
      message: noMessage(),
    }
  }

  #copy(base: Transaction, facts: SessionFacts): Transaction {
    const { evaluations, progress, timings, checks } = base
    return {
      ...this.#blank(facts),
      evaluations: [...evaluations],
      progress,
      timings: { ...timings },
      checks: [...checks],
    }
  }
}
