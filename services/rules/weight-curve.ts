/**
 * How many messages would be refused at other reject thresholds.
 *
 * Limits  only transactions whose weight decides: what a rule refuses or accepts is the same at any threshold.
 *         Weights are kept apart up to `mostWeights` different ones, then by tenths.
 */
import type { CurvePoint } from '../contracts/backtest.ts'
import type { TransactionEnded } from '../contracts/event.ts'
import type { Simulation } from './simulate-transaction.ts'

const mostWeights = 4_096
const mostPoints = 40

type Step = { count: number; bytes: number }

export class WeightCurve {
  #steps = new Map<number, Step>()
  #grain = 1

  add(event: TransactionEnded, after: Simulation): void {
    if (!isWeightDeciding(after)) return
    this.#addStep(after.progress.weightThousandths, 1, event.dataBytes)
    if (this.#steps.size > mostWeights && this.#grain === 1) this.#coarsen()
  }

  /** From the lowest threshold that refuses nearly all to the first that refuses none, the present one among them. */
  points(rejectAt: number | null): CurvePoint[] {
    const weights = [...this.#steps].sort(([left], [right]) => right - left)
    if (weights.length === 0) return []
    const highest = Math.max(0, weights[0]![0] / 1000)
    const step = Math.max(0.5, Math.ceil((highest / mostPoints) * 2) / 2)
    const thresholds = new Set<number>(rejectAt === null ? [] : [rejectAt])
    for (let at = step; at <= highest + step; at += step) thresholds.add(at)
    return [...thresholds].sort((left, right) => left - right).map((at) => this.#pointAt(at))
  }

  #pointAt(rejectAt: number): CurvePoint {
    const least = Math.round(rejectAt * 1000)
    let refusedCount = 0
    let refusedBytes = 0
    for (const [weight, { count, bytes }] of this.#steps) {
      if (weight < least) continue
      refusedCount += count
      refusedBytes += bytes
    }
    return { rejectAt, refusedCount, refusedBytes }
  }

  #addStep(weight: number, count: number, bytes: number): void {
    const key = Math.floor(weight / this.#grain) * this.#grain
    const step = this.#steps.get(key)
    if (step === undefined) this.#steps.set(key, { count, bytes })
    else {
      step.count += count
      step.bytes += bytes
    }
  }

  #coarsen(): void {
    const old = this.#steps
    this.#steps = new Map()
    this.#grain = 100
    for (const [weight, { count, bytes }] of old)
      this.#addStep(Math.max(-100_000, Math.min(100_000, weight)), count, bytes)
  }
}

function isWeightDeciding({ outcome, stage, reason, progress }: Simulation): boolean {
  if (stage !== 'complete' || progress.isAccepted) return false
  return (
    reason === 'weight' || (outcome !== null && ['accepted', 'marked', 'discarded', 'quarantined'].includes(outcome))
  )
}
