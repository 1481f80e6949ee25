/** Whether a period may be closed now, from what is in the way, what was ticked and what was typed. */
import type { CloseBlocker } from '../../../../services/contracts/statement.ts'

export type Readiness = 'blocked' | 'not-accepted' | 'not-named' | 'ready'

export function closeReadiness(blockers: readonly CloseBlocker[], accepted: ReadonlySet<string>, typed: string, label: string): Readiness {
  if (blockers.some(({ isAcceptable }) => !isAcceptable)) return 'blocked'
  if (blockers.some(({ name }) => !accepted.has(name))) return 'not-accepted'
  return typed.trim() === label ? 'ready' : 'not-named'
}
