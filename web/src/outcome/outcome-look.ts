/** The one look of each outcome, in the order in which outcomes are stacked, listed and explained. */
import type { Outcome } from '../../../services/contracts/vocabulary.ts'

export const shownOutcomes = [
  'accepted',
  'marked',
  'quarantined',
  'discarded',
  'deferred',
  'refused',
  'aborted',
] as const
export type ShownOutcome = (typeof shownOutcomes)[number]

/** A reset transaction is shown as aborted: for the reader both mean that the remote gave up. */
export function shownOutcome(outcome: Outcome | string): ShownOutcome {
  return (shownOutcomes as readonly string[]).includes(outcome) ? (outcome as ShownOutcome) : 'aborted'
}

/** The query that finds what is shown under this outcome. */
export function outcomeQuery(outcome: ShownOutcome): string {
  return outcome === 'aborted' ? 'verdict:aborted,reset' : `verdict:${outcome}`
}

/** Paths in a box of 12 × 12: told apart by form alone. `open` is drawn as a line, else filled. */
export const outcomeShapes: Record<ShownOutcome, { path: string; isOpen: boolean }> = {
  accepted: { path: 'M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 0 1 0-9z', isOpen: false },
  marked: { path: 'M2.5 1v10.5M2.5 1.8h7.2l-2 2.6l2 2.6h-7.2', isOpen: true },
  quarantined: { path: 'M1.8 1.8h8.4v8.4h-8.4zM4.3 4.3h3.4v3.4h-3.4z', isOpen: true },
  discarded: { path: 'M1 2.5h10l-5 8z', isOpen: false },
  deferred: { path: 'M6 1.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 0 1 0-9zM6 3.4v2.8l1.9 1.2', isOpen: true },
  refused: { path: 'M2.2 2.2l7.6 7.6M9.8 2.2l-7.6 7.6', isOpen: true },
  aborted: { path: 'M1.2 6h3M7.8 6h3M5.2 9l1.6-6', isOpen: true },
}
