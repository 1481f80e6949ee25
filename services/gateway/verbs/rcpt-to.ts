/**
 * RCPT TO: names one recipient of the open transaction (RFC 5321 §4.1.1.3).
 *
 * Owns    order, syntax and count of one RCPT command.
 * Leaves  who may receive to policy, rules to the stage; writing the reply and the event to session.ts.
 * Limits  limits.recipientsPerTransaction and limits.recipientOctetsPerTransaction; beyond them 452, so that the
 *         client sends the rest separately.
 * Fails   never throws: every client mistake is a reply with an enhanced status code.
 */
import { tooManyRecipients, type Limits } from '../limits.ts'
import { reply, type Reply } from '../session/reply.ts'
import type { Transaction } from '../session/transaction.ts'
import { notifyRequest, type NotifyRequest } from './dsn-parameters.ts'
import { isMailbox, parsePathArgument } from './path.ts'

export type RcptToOutcome = { address: string; request: NotifyRequest } | { reply: Reply }

export function rcptTo(
  transaction: Transaction | null,
  argument: string,
  limits: Limits,
  hasReports: boolean,
): RcptToOutcome {
  if (transaction === null) return refuse(503, '5.5.1', 'Send MAIL FROM first')
  const path = /^TO:(.*)$/is.exec(argument)?.[1]
  const parsed = path === undefined ? null : parsePathArgument(path, limits.pathBytes)
  if (parsed === null) return refuse(501, '5.5.4', 'Syntax: RCPT TO:<address>')
  for (const name of parsed.parameters.keys()) {
    if (hasReports && (name === 'NOTIFY' || name === 'ORCPT')) continue
    return refuse(555, '5.5.4', 'Unknown parameter of RCPT')
  }
  const request = notifyRequest(parsed.parameters.get('NOTIFY'), parsed.parameters.get('ORCPT'))
  if (request === null) return refuse(501, '5.5.4', 'NOTIFY is NEVER, or of SUCCESS, FAILURE and DELAY; ORCPT is rfc822;address')
  const isPostmaster = parsed.address.toLowerCase() === 'postmaster'
  if (!isPostmaster && !isMailbox(parsed.address)) return refuse(501, '5.1.3', 'Malformed recipient address')
  if (!parsed.isAscii && !transaction.isSmtpUtf8) return refuse(553, '5.6.7', 'This address needs SMTPUTF8')
  const isFull =
    transaction.recipients.length >= limits.recipientsPerTransaction ||
    transaction.recipientOctets >= limits.recipientOctetsPerTransaction
  return isFull ? { reply: tooManyRecipients() } : { address: parsed.address, request }
}

/** What a recipient takes up in the event at most, its reply and the names of its fields included. */
export function recipientOctets(address: string): number {
  return 2 * Buffer.byteLength(address) + 400
}

function refuse(code: number, enhanced: string, text: string): RcptToOutcome {
  return { reply: reply(code, enhanced, text) }
}
