/**
 * The part of a session before its first transaction: connect and helo rules, whose outcome every transaction
 * begins with.
 *
 * Why  a rule set may be replaced while a session lives: its connect and helo rules are then run again before the
 *      next transaction, so that one event is judged by one rule set throughout.
 */
import type { Remote } from '../../contracts/event.ts'
import { initialProgress, type Verdict } from '../../rules/evaluate-stage.ts'
import type { SessionDeps } from './session.ts'
import { andThen, type MaybePromise } from './maybe-promise.ts'
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

  /** The remote with what was looked up of it, once the rules of connect have run. */
  get remote(): Remote | null {
    return (this.#afterHelo ?? this.#afterConnect)?.facts.remote ?? null
  }

  /** The verdict that refuses, or `null`. */
  connect(facts: SessionFacts): MaybePromise<Verdict | null> {
    const transaction = this.#blank(facts)
    return andThen(runStage(this.#deps, transaction, 'connect', null), ({ verdict }) => {
      this.#afterConnect = transaction
      return refusing(verdict)
    })
  }

  helo(facts: SessionFacts): MaybePromise<Verdict | null> {
    if (this.#isOutdated(this.#afterConnect)) return andThen(this.connect(facts), () => this.#greet(facts))
    return this.#greet(facts)
  }

  /** A new transaction that begins with what connect and helo rules found. */
  transaction(facts: SessionFacts): MaybePromise<Transaction> {
    this.lateVerdict = null
    if (!this.isGreeted || !this.#isOutdated(this.#afterHelo)) return this.#next(facts)
    const again = andThen(this.connect(facts), (verdict) => verdict ?? this.helo(facts))
    return andThen(again, (verdict) => {
      this.lateVerdict = verdict
      return this.#next(facts)
    })
  }

  /** A new EHLO is needed, as if none had been. */
  forgetGreeting(): void {
    this.isGreeted = false
    this.#afterHelo = null
  }

  /** The transaction that tells of a session which was turned away. */
  turnedAway(facts: SessionFacts): Transaction {
    return this.#next(facts)
  }

  #greet(facts: SessionFacts): MaybePromise<Verdict | null> {
    const transaction = this.#copy(this.#afterConnect!, facts)
    return andThen(runStage(this.#deps, transaction, 'helo', null), ({ verdict }) => {
      this.#afterHelo = transaction
      const refusal = refusing(verdict)
      this.isGreeted = refusal === null
      return refusal
    })
  }

  #next(facts: SessionFacts): Transaction {
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
      dsn: null,
      recipients: [],
      deliveries: [],
      recipientOctets: 0,
      commandBytes: 0,
      evaluations: [],
      checks: [],
      plugins: [],
      progress: initialProgress(),
      isHeaderJudged: false,
      timings: noTimings(),
      message: noMessage(),
    }
  }

  #copy(base: Transaction, facts: SessionFacts): Transaction {
    const { evaluations, progress, timings, checks } = base
    return {
      // What was looked up of the remote stays known.
      ...this.#blank({ ...facts, remote: base.facts.remote }),
      evaluations: [...evaluations],
      progress,
      timings: { ...timings },
      checks: [...checks],
    }
  }
}

function refusing(verdict: Verdict | null): Verdict | null {
  return verdict !== null && verdict.reply !== null ? verdict : null
}
