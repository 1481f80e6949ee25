import { describe, expect, it } from 'vitest'
import type { Evaluation, RuleHit } from '../../../../services/contracts/event.ts'
import { weightScale, weightSteps } from './weight-steps.ts'

const hit = (weight: number, shadow = false): RuleHit => ({
  ruleId: 'r', revision: 1, branch: 'then', attribute: null, matchedText: null, weight, marks: [], action: 'none', shadow,
})
const evaluation = (weightBefore: number, hits: RuleHit[]): Evaluation => ({
  stage: 'complete', recipient: null, weightBefore, weightAfter: 0, hits, durationUs: 1,
})

describe('the waterfall of the weight', () => {
  it('goes from each rule to the next, a shadow rule changes nothing', () => {
    const steps = weightSteps([evaluation(0, [hit(1.5)]), evaluation(1.5, [hit(3, true), hit(-1), hit(4)])])
    expect(steps.map((step) => [step.before, step.after])).toEqual([[0, 1.5], [1.5, 4.5], [1.5, 0.5], [0.5, 4.5]])
  })
  it('adds thousandths exactly', () => {
    const steps = weightSteps([evaluation(0, [hit(0.1), hit(0.2)])])
    expect(steps.at(-1)!.after).toBe(0.3)
  })
  it('holds zero, every step and the limits on its scale', () => {
    const scale = weightScale(weightSteps([evaluation(0, [hit(-2), hit(3)])]), [5, null])
    for (const weight of [-2, 0, 1, 5]) {
      expect(scale.share(weight)).toBeGreaterThanOrEqual(0)
      expect(scale.share(weight)).toBeLessThan(1)
    }
  })
})
