/** DATA (RFC 5321 §4.1.1.4): whether the message may come. */
import { reply, type Reply } from '../session/reply.ts'
import type { Transaction } from '../session/transaction.ts'

export function startData(transaction: Transaction | null, acceptedCount: number, argument: string): Reply {
  if (argument.trim() !== '') return reply(501, '5.5.4', 'DATA takes no argument')
  if (transaction === null) return reply(503, '5.5.1', 'Send MAIL FROM first')
  if (transaction.recipients.length === 0) return reply(503, '5.5.1', 'Send RCPT TO first')
  // The transaction stays open: the client may still name a recipient that exists.
  if (acceptedCount === 0) return reply(554, '5.5.1', 'No valid recipients')
  return reply(354, null, 'End data with <CR><LF>.<CR><LF>')
}
