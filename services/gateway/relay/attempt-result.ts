/** What one try to hand a message on came to, also where it never reached a next hop. */
import type { Tls } from '../../contracts/event.ts'
import type { DeliveryJob, RecipientResult, TransactionResult } from './deliver-message.ts'

/** `startedAtUs`: `null` where nothing was tried. */
export type AttemptResult = TransactionResult & { startedAtUs: number | null; tls: Tls | null }

function everyRecipient(job: DeliveryJob, result: RecipientResult): AttemptResult {
  return { results: job.recipients.map(() => result), sentBytes: 0, startedAtUs: null, tls: null }
}

export function deferredAll(job: DeliveryJob, error: string): AttemptResult {
  return everyRecipient(job, { outcome: 'deferred', reply: null, error })
}

export function failedAll(job: DeliveryJob, error: string): AttemptResult {
  return everyRecipient(job, { outcome: 'failed', reply: null, error })
}
