/**
 * Runs the checks that the rules in force ask for at a stage, side by side, and puts what they found into the
 * transaction.
 *
 * Owns    which checks run when and for whom, their time limit, and that a session asks about itself once.
 * Leaves  how an answer is found to the checks.
 * Limits  `rememberedFindings` about sessions are kept; one that was pushed out is found anew.
 * Fails   never: what cannot be found out, by a fault of our own too, is `unknown`.
 */
import type { CheckResult, Remote } from '../../contracts/event.ts'
import { stages, type NetworkClass, type Stage } from '../../contracts/vocabulary.ts'
import type { Clock } from '../../kit/clock.ts'
import type { CompiledRuleset } from '../../rules/compile-ruleset.ts'
import type { PluginMessage } from '../plugins/plugin-contract.ts'
import type { MaybePromise } from '../session/maybe-promise.ts'
import type { Transaction } from '../session/transaction.ts'
import { BoundedCache } from './bounded-cache.ts'
import { unknown, type Check, type Finding, type Question } from './check.ts'
import { checkPlan, type CheckPlan } from './check-plan.ts'
import type { Checks } from './checks-contract.ts'
import { cleanDetail } from './clean-text.ts'
import { withinLimit } from './time-limit.ts'

const rememberedFindings = 10_000

export type StageChecksOptions = {
  checks: readonly Check[]
  countryOf: (ip: string) => string | null
  /** Told of recipients that policy refuses, where rules ask for traps. */
  noteRefused: (transaction: Transaction, recipient: string) => void
  /** Classes of networks about which the network is asked. */
  networkClasses: readonly NetworkClass[]
  timeLimitMs: number
  clock: Clock
  warn: (text: string) => void
}

type Answered = { check: Check; finding: Finding; durationUs: number }

export class StageChecks implements Checks {
  readonly #options: StageChecksOptions
  readonly #checks: ReadonlyMap<string, Check>
  readonly #plans = new WeakMap<CompiledRuleset, CheckPlan>()
  readonly #aboutSessions = new BoundedCache<Promise<Finding>>(rememberedFindings)
  readonly #missing = new Set<string>()

  constructor(options: StageChecksOptions) {
    this.#options = options
    this.#checks = new Map(options.checks.map((check) => [check.name, check]))
  }

  before(
    transaction: Transaction,
    stage: Stage,
    recipient: string | null,
    message: PluginMessage | null = null,
  ): Promise<void> | null {
    const plan = this.#planOf(transaction.policy.rules)[stage]
    if (plan === null) return null
    const question = { transaction, stage, recipient, message }
    if (plan.wantsCountry) this.#findCountry(transaction)
    for (const check of plan.ahead) if (this.#isLookedUp(transaction)) void this.#askAboutSession(check, question)
    const due = plan.checks.filter((check) => !isAnswered(check, question))
    if (due.length === 0) return null
    const answers = due.map((check) => this.#answer(check, question))
    if (!answers.some((answer) => answer instanceof Promise)) {
      record(question, answers as Answered[])
      return null
    }
    return Promise.all(answers).then((all) => record(question, all))
  }

  refused(transaction: Transaction, recipient: string): void {
    if (this.#planOf(transaction.policy.rules).watchesTraps) this.#options.noteRefused(transaction, recipient)
  }

  #planOf(rules: CompiledRuleset): CheckPlan {
    let plan = this.#plans.get(rules)
    if (plan === undefined) {
      plan = checkPlan(rules, this.#checks, (name) => this.#warnOfMissing(name))
      this.#plans.set(rules, plan)
    }
    return plan
  }

  #warnOfMissing(name: string): void {
    if (this.#missing.has(name)) return
    this.#missing.add(name)
    this.#options.warn(
      `A rule asks for the check ${name}, and the configuration has none of this name: it is unknown`,
    )
  }

  #findCountry(transaction: Transaction): void {
    const { ip, country } = transaction.facts.remote
    if (ip !== null && country === null) learn(transaction, { country: this.#options.countryOf(ip) })
  }

  #isLookedUp({ facts }: Transaction): boolean {
    return this.#options.networkClasses.includes(facts.remote.networkClass)
  }

  #answer(check: Check, question: Question): MaybePromise<Answered> {
    const { clock } = this.#options
    const startedUs = clock.monotonicUs()
    const answered = (finding: Finding): Answered => ({ check, finding, durationUs: clock.monotonicUs() - startedUs })
    const finding = this.#find(check, question)
    return finding instanceof Promise ? finding.then(answered) : answered(finding)
  }

  #find(check: Check, question: Question): MaybePromise<Finding> {
    const { transaction, stage } = question
    if (isBefore(stage, check.from)) return unknown(`it has no answer before ${check.from}`)
    if (check.isRemote && !this.#isLookedUp(transaction)) {
      return unknown(`not asked about ${transaction.facts.remote.networkClass} networks`)
    }
    return check.per === 'session' ? this.#askAboutSession(check, question) : this.#ask(check, question)
  }

  #askAboutSession(check: Check, question: Question): Promise<Finding> {
    const { facts } = question.transaction
    const key = `${check.name} ${facts.sessionId} ${check.subjectOf?.(question.transaction) ?? ''}`
    let finding = this.#aboutSessions.get(key)
    if (finding === undefined) {
      finding = Promise.resolve(this.#ask(check, question))
      this.#aboutSessions.set(key, finding)
    }
    return finding
  }

  #ask(check: Check, question: Question): MaybePromise<Finding> {
    let finding: MaybePromise<Finding>
    try {
      finding = check.find(question)
    } catch (error) {
      return this.#failed(check, error as Error)
    }
    if (!(finding instanceof Promise)) return finding
    const limited = check.isRemote ? withinLimit(finding, this.#options.timeLimitMs) : finding
    return limited.catch((error: Error) => this.#failed(check, error))
  }

  /** Mail of strangers must not end a session by what a library makes of it; the operator is told. */
  #failed(check: Check, error: Error): Finding {
    this.#options.warn(`The check ${check.name} failed: ${cleanDetail(error.message)}`)
    return unknown(`the check failed: ${error.message}`)
  }
}

/** Whether the transaction holds an answer that still stands at this stage. */
function isAnswered(check: Check, { transaction, stage, recipient }: Question): boolean {
  const about = aboutRecipient(check, transaction, recipient)
  return transaction.checks.some((result) => {
    if (result.name !== check.name || isBefore(result.stage, check.from)) return false
    if (check.countsAt !== undefined && stage === check.countsAt && result.stage !== stage) return false
    return (result.recipient ?? null) === about
  })
}

/** Position of the recipient that an answer is about, or `null`. */
function aboutRecipient(check: Check, transaction: Transaction, recipient: string | null): number | null {
  return recipient !== null && check.per === 'recipient' ? transaction.recipients.length : null
}

function record({ transaction, stage, recipient }: Question, answers: readonly Answered[]): void {
  for (const { check, finding, durationUs } of answers) {
    const { result, detail, remote } = finding
    const about = aboutRecipient(check, transaction, recipient)
    const told: CheckResult = {
      name: check.name,
      stage,
      result,
      detail: detail === null ? null : cleanDetail(detail),
      durationUs,
      ...(about === null ? {} : { recipient: about }),
    }
    transaction.checks.push(told)
    if (remote !== undefined) learn(transaction, remote)
    // A time limit leaves no finding about the remote: what an earlier rule set found must not outlive it.
    else if (check.name === 'reverse-dns') learn(transaction, { reverseName: null, forwardConfirmed: null })
  }
}

function learn(transaction: Transaction, known: Partial<Remote>): void {
  transaction.facts = { ...transaction.facts, remote: { ...transaction.facts.remote, ...known } }
}

function isBefore(one: Stage, other: Stage): boolean {
  return stages.indexOf(one) < stages.indexOf(other)
}
