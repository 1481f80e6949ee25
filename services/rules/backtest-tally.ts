/**
 * What a rule set would have changed over many logged transactions, added up one by one.
 *
 * Owns    the figures of a backtest: cells of before and after, octets and recipients, the part of each rule, and the
 *         curve over the threshold.
 * Leaves  where transactions come from, and keeping the ids behind a cell, to the caller: `add` names the cell.
 * Limits  memory does not grow with the number of transactions: samples, reasons and weights are bounded.
 * Why     figures of before and after are of the same transactions: those that are not decidable are in neither, and
 *         stand apart. Nothing is estimated: what nobody sent has no size, and is counted as such.
 */
import type {
  BacktestCell,
  BacktestReason,
  BacktestResult,
  BacktestTotals,
  ReplayDifference,
} from '../contracts/backtest.ts'
import type { TransactionEnded } from '../contracts/event.ts'
import { stages, type Outcome, type Stage } from '../contracts/vocabulary.ts'
import { isTaken } from './attributes.ts'
import type { CompiledRuleset } from './compile-ruleset.ts'
import { isRefused, replayTransaction, type Replay, type Undecidable } from './replay-transaction.ts'
import { RuleEffects } from './rule-effects.ts'
import { WeightCurve } from './weight-curve.ts'

export const backtestSampleSize = 20
const mostReasons = 200

export class BacktestTally {
  readonly #compiled: CompiledRuleset
  readonly #cells = new Map<string, BacktestCell>()
  readonly #reasons = new Map<string, BacktestReason>()
  readonly #before = noTotals()
  readonly #after = noTotals()
  readonly #effects: RuleEffects
  readonly #curve = new WeightCurve()
  #count = 0

  constructor(compiled: CompiledRuleset) {
    this.#compiled = compiled
    this.#effects = new RuleEffects(compiled)
  }

  /** `judgedBy` as for `replayTransaction`. */
  add(event: TransactionEnded, judgedBy: CompiledRuleset | null): { cell: string; difference: ReplayDifference } {
    const replay = replayTransaction(event, this.#compiled, judgedBy)
    this.#count += 1
    const cell = this.#addToCell(event, replay)
    if (replay.undecidable === null) {
      addTotals(this.#before, event, event.outcome, event.stage, event.recipients)
      const { outcome, stage, recipientOutcomes } = replay.after
      addTotals(
        this.#after,
        event,
        outcome!,
        stage,
        recipientOutcomes.map((one) => ({ outcome: one })),
      )
      this.#curve.add(event, replay.after)
    } else this.#addReasons(replay.undecidable)
    this.#effects.add(event, replay.after, judgedBy)
    return { cell, difference: replay.difference }
  }

  /** `removedCount`: transactions of the range that nobody can try any more. */
  result(removedCount = 0): BacktestResult {
    const counts = {
      same: 0,
      'newly-refused': 0,
      'newly-accepted': 0,
      'ending-changed': 0,
      'mark-or-weight-changed': 0,
      'not-decidable': 0,
    }
    for (const { difference, transactionCount } of this.#cells.values()) counts[difference] += transactionCount
    return {
      transactionCount: this.#count,
      removedCount,
      counts,
      cells: [...this.#cells.values()].sort((left, right) => (left.cell < right.cell ? -1 : 1)),
      undecidable: [...this.#reasons.values()].sort((left, right) => right.transactionCount - left.transactionCount),
      before: structuredClone(this.#before),
      after: structuredClone(this.#after),
      rules: this.#effects.result(),
      curve: this.#curve.points(this.#compiled.ruleset.rejectAt),
    }
  }

  #addToCell(event: TransactionEnded, { difference, undecidable, after }: Replay): string {
    const outcome = undecidable === null ? after.outcome : null
    const name = `${difference}:${event.outcome}:${outcome ?? 'unknown'}`
    let cell = this.#cells.get(name)
    if (cell === undefined) {
      cell = {
        cell: name,
        difference,
        before: event.outcome,
        after: outcome,
        transactionCount: 0,
        receivedBytes: 0,
        sampleIds: [],
      }
      this.#cells.set(name, cell)
    }
    cell.transactionCount += 1
    cell.receivedBytes += event.dataBytes
    if (cell.sampleIds.length < backtestSampleSize) cell.sampleIds.push(event.transactionId)
    return name
  }

  #addReasons(undecidable: Undecidable): void {
    const all = undecidable.reason === 'ended-before' ? [undecidable.stage] : undecidable.attributes
    for (const of of all) {
      const key = `${undecidable.reason} ${of}`
      let reason = this.#reasons.get(key)
      if (reason === undefined) {
        if (this.#reasons.size >= mostReasons) continue
        reason = { reason: undecidable.reason, of, transactionCount: 0 }
        this.#reasons.set(key, reason)
      }
      reason.transactionCount += 1
    }
  }
}

function noTotals(): BacktestTotals {
  return {
    acceptedCount: 0,
    markedCount: 0,
    refusedCount: 0,
    deferredCount: 0,
    acceptedBytes: 0,
    billedRecipientCount: 0,
    refusedBeforeData: {
      transactionCount: 0,
      knownBytes: 0,
      declaredCount: 0,
      declaredFloorBytes: 0,
      unknownCount: 0,
      sizeLimitCount: 0,
    },
    refusedAfterData: { transactionCount: 0, receivedBytes: 0 },
  }
}

function addTotals(
  totals: BacktestTotals,
  event: TransactionEnded,
  outcome: Outcome,
  stage: Stage,
  recipients: readonly { outcome: string }[],
): void {
  if (outcome === 'deferred') totals.deferredCount += 1
  if (outcome === 'refused') addRefused(totals, event, stage)
  if (isRefused(outcome) || outcome === 'aborted' || outcome === 'reset') return
  totals.acceptedCount += 1
  if (outcome === 'marked') totals.markedCount += 1
  totals.acceptedBytes += event.messageBytes ?? 0
  totals.billedRecipientCount += recipients.filter(isTaken).length
}

function addRefused(totals: BacktestTotals, event: TransactionEnded, stage: Stage): void {
  totals.refusedCount += 1
  if (stages.indexOf(stage) > stages.indexOf('rcpt')) {
    totals.refusedAfterData.transactionCount += 1
    totals.refusedAfterData.receivedBytes += event.dataBytes
    return
  }
  const early = totals.refusedBeforeData
  early.transactionCount += 1
  if (event.reason === 'size-limit') early.sizeLimitCount += 1
  else if (event.dataBytes > 0) early.knownBytes += event.dataBytes
  else if (event.declaredSizeBytes === null) early.unknownCount += 1
  else {
    early.declaredCount += 1
    early.declaredFloorBytes += event.declaredSizeBytes
  }
}
