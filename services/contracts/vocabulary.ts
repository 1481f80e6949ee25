/**
 * The closed word lists that every folder and every event shares.
 *
 * A word is never renamed or re-meant; a new meaning is a new word (DESIGN §3, compatibility).
 */

/** The events of an SMTP dialog at which rules run, in the order in which they happen. */
export const stages = ['connect', 'helo', 'mail', 'rcpt', 'header', 'complete'] as const
export type Stage = (typeof stages)[number]

/** How a mail transaction ended. `reset` is shown as aborted. */
export const outcomes = [
  'accepted',
  'marked',
  'deferred',
  'refused',
  'discarded',
  'quarantined',
  'aborted',
  'reset',
] as const
export type Outcome = (typeof outcomes)[number]

/** How one RCPT ended. Discarded and quarantined recipients were answered 250 and count as accepted ones. */
export const recipientOutcomes = ['accepted', 'refused', 'deferred', 'discarded', 'quarantined'] as const
export type RecipientOutcome = (typeof recipientOutcomes)[number]

/** Why a transaction or a recipient ended as it did; `null` beside it means: nothing special. */
export const reasons = [
  'relay-denied',
  'unknown-recipient',
  'directory-unavailable',
  'client-blocked',
  'client-balance-exhausted',
  'client-quota',
  'client-expired',
  'client-not-started',
  'rule',
  'weight',
  'size-limit',
  'recipient-limit',
  'too-many-errors',
  'protocol-violation',
  'early-talker',
  'sender-denied',
  'connection-limit',
  'timeout',
  'client-gone',
  'server-stopping',
  'storage',
  'mail-loop',
  'duplicate',
  'plugin-unavailable',
] as const
export type Reason = (typeof reasons)[number]

export const networkClasses = ['public', 'device', 'trusted'] as const
export type NetworkClass = (typeof networkClasses)[number]

/** Whether a recipient stands inside the listed domains or outside them. */
export const directions = ['inbound', 'outbound'] as const
export type Direction = (typeof directions)[number]

/** How traffic of one message is counted: in full for each recipient, or split among them (BILLING, metering 2). */
export const meteringModes = ['full', 'split'] as const
export type MeteringMode = (typeof meteringModes)[number]

/** What wrote the event: our gateway, or the log of another MTA. */
export const sources = ['tollgate', 'postfix', 'haraka', 'exim'] as const
export type Source = (typeof sources)[number]

export const roles = ['admin', 'operator', 'accountant', 'viewer', 'client'] as const
export type Role = (typeof roles)[number]
