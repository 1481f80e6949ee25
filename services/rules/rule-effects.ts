/**
 * What each rule contributes: hits, and whether the same would have happened without it.
 *
 * Why  a rule that hits often may be the sole cause of nothing: others catch the same mail. It is found out by running
 *      the transaction again without the rule; a rule that only adds weight is not run again where the sum stays on
 *      its side of both thresholds, which is nearly always.
 */
import type { RuleEffect } from '../contracts/backtest.ts'
import type { TransactionEnded } from '../contracts/event.ts'
import { thousandths, type CompiledRuleset } from './compile-ruleset.ts'
import { isRefused, isSameList, relaysOf, unloggedOf } from './replay-transaction.ts'
import { simulateTransaction, type Simulation, type UnloggedAttributes } from './simulate-transaction.ts'

type Hit = { thousandths: number; isMild: boolean; branches: Set<string> }

export class RuleEffects {
  readonly #compiled: CompiledRuleset
  readonly #effects: Map<string, RuleEffect>
  readonly #without = new Map<string, CompiledRuleset>()

  constructor(compiled: CompiledRuleset) {
    this.#compiled = compiled
    this.#effects = new Map(
      compiled.ruleset.rules.map(({ id, name, stage, mode }) => [id, { ruleId: id, name, stage, mode, ...noEffect }]),
    )
  }

  add(event: TransactionEnded, after: Simulation, judgedBy: CompiledRuleset | null): void {
    if (after.evaluations.length === 0) return
    for (const [ruleId, hit] of hitsByRule(after)) {
      const effect = this.#effects.get(ruleId)!
      effect.hitCount += 1
      if (hit.branches.has('then')) effect.thenCount += 1
      if (hit.branches.has('else')) effect.elseCount += 1
      if (hit.branches.has('unknown')) effect.unknownCount += 1
      if (effect.mode === 'shadow' || this.#isHarmless(after, hit)) effect.redundantCount += 1
      else this.#compareWithout(event, after, effect, judgedBy)
    }
  }

  result(): RuleEffect[] {
    return [...this.#effects.values()].map((effect) => ({ ...effect }))
  }

  /** Weight alone, and the sum would stand on the same side of both thresholds: nothing need be run. */
  #isHarmless({ progress, reason, outcome }: Simulation, hit: Hit): boolean {
    if (!hit.isMild) return false
    if (progress.isAccepted || (reason === 'rule' && outcome !== null && isRefused(outcome))) return true
    const { markAt, rejectAt } = this.#compiled.ruleset
    const now = progress.weightThousandths
    const without = now - hit.thousandths
    return [markAt, rejectAt].every(
      (limit) => limit === null || now >= thousandths(limit) === without >= thousandths(limit),
    )
  }

  #compareWithout(
    event: TransactionEnded,
    after: Simulation,
    effect: RuleEffect,
    judgedBy: CompiledRuleset | null,
  ): void {
    const rules = this.#rulesWithout(effect)
    const unlogged: UnloggedAttributes | null = unloggedOf(event, this.#compiled, judgedBy)
    const without = simulateTransaction(event, rules, unlogged)
    if (without.outcome === null && after.outcome !== null) effect.perhapsSoleCauseCount += 1
    else if (isSameEnd(without, after, this.#compiled)) effect.redundantCount += 1
    else effect.soleCauseCount += 1
  }

  #rulesWithout({ ruleId, stage }: RuleEffect): CompiledRuleset {
    const known = this.#without.get(ruleId)
    if (known !== undefined) return known
    const { stageRules } = this.#compiled
    const rules = stageRules[stage].filter(({ rule }) => rule.id !== ruleId)
    const without = { ...this.#compiled, stageRules: { ...stageRules, [stage]: rules } }
    this.#without.set(ruleId, without)
    return without
  }
}

const noEffect = {
  hitCount: 0,
  thenCount: 0,
  elseCount: 0,
  unknownCount: 0,
  soleCauseCount: 0,
  perhapsSoleCauseCount: 0,
  redundantCount: 0,
}

function hitsByRule({ evaluations }: Simulation): Map<string, Hit> {
  const hits = new Map<string, Hit>()
  for (const evaluation of evaluations) {
    for (const { ruleId, branch, weight, action, marks } of evaluation.hits) {
      const isMild = action === 'none' && marks.length === 0
      const hit = hits.get(ruleId)
      if (hit === undefined) {
        hits.set(ruleId, { thousandths: thousandths(weight), isMild, branches: new Set([branch]) })
        continue
      }
      hit.thousandths += thousandths(weight)
      hit.isMild &&= isMild
      hit.branches.add(branch)
    }
  }
  return hits
}

/** How it ended, for whom, and with which marks; weight by itself is no end. */
function isSameEnd(left: Simulation, right: Simulation, rules: CompiledRuleset): boolean {
  if (left.outcome !== right.outcome || left.stage !== right.stage) return false
  if (left.recipientOutcomes.some((outcome, index) => outcome !== right.recipientOutcomes[index])) return false
  const [marks, others] = [left.progress.marks, right.progress.marks].map((all) =>
    all.filter((mark) => !mark.startsWith('header:X-Spam-Score:')),
  )
  return (
    isSameList(marks!, others!) && isSameList(relaysOf(left.evaluations, rules), relaysOf(right.evaluations, rules))
  )
}
