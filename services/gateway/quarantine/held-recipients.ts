/** Which recipients of a message are held, and why: what the states of the spool mean to an operator. */
import type { HeldRecipient } from '../../contracts/control.ts'
import type { StoredMessage } from '../spool/message-store.ts'

export type HeldPosition = HeldRecipient & { position: number }

/** Of a message that is held as a whole all who did not get it; of one under delivery those whom a rule keeps back. */
export function heldRecipients({ envelope, state }: StoredMessage): HeldPosition[] {
  return envelope.recipients.flatMap(({ address, heldByRuleId, isClone }, position): HeldPosition[] => {
    const recipient = state.recipients[position]!
    if (recipient === 'delivered' || (!state.isHeld && recipient !== 'held')) return []
    if (recipient === 'failed' || recipient === 'expired') {
      // A clone that went nowhere is nobody's mail.
      return isClone === true ? [] : [{ position, address, reason: 'undeliverable', ruleId: null }]
    }
    return [{ position, address, reason: 'rule', ruleId: heldByRuleId ?? envelope.heldByRuleId ?? null }]
  })
}

export function heldAtMs({ envelope, state }: StoredMessage): number {
  return state.heldAtMs ?? envelope.acceptedAtMs
}
