/**
 * BDAT (RFC 3030): one chunk of the message, as many octets as it says, and whether it is the last.
 *
 * Owns    order and syntax of one BDAT command.
 * Leaves  taking the octets to dialog.ts: a refused chunk comes all the same, and is read over.
 * Why     where the number cannot be read, nobody can tell where the next command begins: the connection has to end.
 */
import { reply, type Reply } from '../session/reply.ts'
import type { Transaction } from '../session/transaction.ts'

export type Bdat = { sizeBytes: number; isLast: boolean; refusal: Reply | null }

/** `null`: no number of octets. */
export function bdat(transaction: Transaction | null, acceptedCount: number, argument: string): Bdat | null {
  const match = /^(\d{1,15})( +LAST)?$/i.exec(argument.trimEnd())
  if (match === null) return null
  return { sizeBytes: Number(match[1]), isLast: match[2] !== undefined, refusal: refusalOf(transaction, acceptedCount) }
}

function refusalOf(transaction: Transaction | null, acceptedCount: number): Reply | null {
  if (transaction === null) return reply(503, '5.5.1', 'Send MAIL FROM first')
  if (transaction.recipients.length === 0) return reply(503, '5.5.1', 'Send RCPT TO first')
  return acceptedCount === 0 ? reply(554, '5.5.1', 'No valid recipients') : null
}

export const malformedBdat = reply(501, '5.5.4', 'Syntax: BDAT size, or BDAT size LAST')

/** RCPT and DATA behind the first chunk (RFC 3030 §3). */
export const withinChunks = reply(503, '5.5.1', 'BDAT has begun: send the rest of it, or RSET')
