/** The weight of a message from zero to its end, one step per rule that hit: the waterfall. */
import type { Evaluation, RuleHit } from '../../../../services/contracts/event.ts'

export type WeightStep = { hit: RuleHit; stage: Evaluation['stage']; recipient: number | null; before: number; after: number }

/** Shadow hits are steps too, but leave the weight where it is. Sums in thousandths, as the gateway makes them. */
export function weightSteps(evaluations: readonly Evaluation[]): WeightStep[] {
  return evaluations.flatMap((evaluation) => {
    let sum = Math.round(evaluation.weightBefore * 1000)
    return evaluation.hits.map((hit) => {
      const before = sum
      const after = sum + Math.round(hit.weight * 1000)
      if (!hit.shadow) sum = after
      return { hit, stage: evaluation.stage, recipient: evaluation.recipient, before: before / 1000, after: after / 1000 }
    })
  })
}

export type WeightScale = { from: number; upto: number; share(weight: number): number }

/** A scale that holds zero, every step and both thresholds, with a little air at its end. */
export function weightScale(steps: readonly WeightStep[], thresholds: readonly (number | null)[]): WeightScale {
  const values = [0, ...steps.flatMap((step) => [step.before, step.after]), ...thresholds.filter((one) => one !== null)]
  const from = Math.min(...values)
  const upto = from + Math.max(1, Math.max(...values) - from) * 1.06
  return { from, upto, share: (weight) => (weight - from) / (upto - from) }
}
