/**
 * What an event does not tell to rules other than those that judged it.
 *
 * Owns    the answer to "was it looked up, and would it have been logged": names, countries and checks are looked up
 *         only where a rule asks, and some headers are logged only then.
 * Why     a rule that asks for what nobody looked up must not be answered "no": it is not decidable.
 */
import type { TransactionEnded } from '../contracts/event.ts'
import { stages, type Stage } from '../contracts/vocabulary.ts'
import { scoredCheckOf } from './attributes.ts'
import type { CompiledRuleset } from './compile-ruleset.ts'
import type { UnloggedAttributes } from './simulate-transaction.ts'
import { unloggedHeaderNames } from './unlogged-headers.ts'

/** Attributes of the remote for which a gateway asks others, where a rule wants them. */
const lookedUp = new Set(['remote.reverseName', 'remote.forwardConfirmed', 'remote.country'])

export class UnloggedFinder {
  readonly #rules: CompiledRuleset
  readonly #judgedBy: CompiledRuleset
  readonly #known = new Map<string, UnloggedAttributes>()

  constructor(rules: CompiledRuleset, judgedBy: CompiledRuleset) {
    this.#rules = rules
    this.#judgedBy = judgedBy
  }

  of(event: TransactionEnded): UnloggedAttributes {
    const last = lastJudgedStage(event)
    const isHeaderCut = event.truncated.includes('headers')
    // Whether the remote's names were looked up shows in the event, whatever the rules asked for.
    const isNameKnown = event.remote.forwardConfirmed !== null
    const key = `${last} ${isHeaderCut} ${isNameKnown}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const found = Object.fromEntries(
      stages.map((stage) => [stage, this.#at(stage, last, isHeaderCut, isNameKnown)]),
    ) as Record<Stage, ReadonlySet<string>>
    this.#known.set(key, found)
    return found
  }

  #at(stage: Stage, last: number, isHeaderCut: boolean, isNameKnown: boolean): ReadonlySet<string> {
    const ran = stages.slice(0, Math.min(stages.indexOf(stage), last) + 1)
    const { checks, attributes } = this.#rules.asksAt[stage]
    const unlogged = new Set<string>()
    for (const name of checks)
      if (!ran.some((one) => this.#judgedBy.asksAt[one].checks.has(name))) unlogged.add(`check.${name}`)
    for (const name of attributes) {
      if (lookedUp.has(name)) {
        const isKnown = name !== 'remote.country' && isNameKnown
        if (!isKnown && !ran.some((one) => this.#judgedBy.asksAt[one].attributes.has(name))) unlogged.add(name)
      } else if (scoredCheckOf(name) !== null) {
        // Scores are logged where there are any; that rules of those days compared them says that they were looked at.
        if (!ran.some((one) => this.#judgedBy.asksAt[one].attributes.has(name))) unlogged.add(name)
      } else if (name.startsWith('header.')) {
        const header = name.slice('header.'.length).toLowerCase()
        const isLogged = this.#judgedBy.headerNames.has(header) || (!isHeaderCut && !unloggedHeaderNames.test(header))
        if (!isLogged) unlogged.add(name)
      }
    }
    return unlogged
  }
}

/** Position of the last stage whose rules ran: after an acceptance, or a refusal held back, none did. */
function lastJudgedStage(event: TransactionEnded): number {
  for (const { stage, hits } of event.evaluations) {
    if (stage === 'rcpt') continue
    for (const { action, shadow } of hits) {
      if (shadow) continue
      if (action === 'accept') return stages.indexOf(stage)
      if (stage === 'header' && (action === 'reject' || action === 'defer')) return stages.indexOf(stage)
    }
  }
  return stages.length - 1
}
