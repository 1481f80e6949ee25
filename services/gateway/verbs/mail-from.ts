/**
 * MAIL FROM: opens a transaction (RFC 5321 §4.1.1.2, SIZE of RFC 1870, BODY of RFC 6152, RFC 6531).
 *
 * Owns    order, syntax, parameters and the declared size of one MAIL command.
 * Leaves  what rules say of the sender to the stage; writing the reply and the event to session.ts.
 * Limits  limits.messageBytes by SIZE=, limits.pathBytes.
 * Fails   never throws: every client mistake is a reply with an enhanced status code.
 */
import type { NetworkClass } from '../../contracts/vocabulary.ts'
import { tooLarge, type Limits } from '../limits.ts'
import { reply, type Reply } from '../session/reply.ts'
import { returnRequest, type ReturnRequest } from './dsn-parameters.ts'
import { isMailbox, parsePathArgument } from './path.ts'

export type MailFrom = { sender: string; declaredSizeBytes: number | null; is8BitMime: boolean; isSmtpUtf8: boolean; dsn: ReturnRequest | null }
/** `tooLarge` is a transaction that ended at MAIL; the other refusals are none. */
export type MailFromOutcome = { mail: MailFrom; reply: Reply; isTooLarge: boolean } | { mail: null; reply: Reply }

export const senderOk = reply(250, '2.1.0', 'Sender ok')

/** `isAuthOffered`: then the client may say on whose behalf it writes (RFC 4954 §5); nobody is believed that. */
export type MailFromState = { hasHelo: boolean; isOpen: boolean; networkClass: NetworkClass; isAuthOffered: boolean; hasReports: boolean }

export function mailFrom(state: MailFromState, argument: string, limits: Limits): MailFromOutcome {
  if (!state.hasHelo) return refuse(503, '5.5.1', 'Say EHLO first')
  if (state.isOpen) return refuse(503, '5.5.1', 'A transaction is already open')
  const path = /^FROM:(.*)$/is.exec(argument)?.[1]
  const parsed = path === undefined ? null : parsePathArgument(path, limits.pathBytes)
  if (parsed === null) return refuse(501, '5.5.4', 'Syntax: MAIL FROM:<address>')
  const parameters = readParameters(parsed.parameters, state)
  if ('code' in parameters) return { mail: null, reply: parameters }
  if (!parsed.isAscii && !parameters.isSmtpUtf8) return refuse(553, '5.6.7', 'This address needs SMTPUTF8')
  // An odd sender is no reason to refuse a device (SYSTEMS P5); a display name or nothing comes as an odd path.
  const isOdd = parsed.address !== '' && !isMailbox(parsed.address)
  if (isOdd && (state.networkClass !== 'device' || !/^[\x20-\x7e]*$/.test(parsed.address))) {
    return refuse(553, '5.1.7', 'Malformed sender address')
  }
  const mail = { sender: parsed.address, ...parameters }
  const isTooLarge = (parameters.declaredSizeBytes ?? 0) > limits.messageBytes
  return { mail, isTooLarge, reply: isTooLarge ? tooLarge(limits) : senderOk }
}

function readParameters(
  parameters: ReadonlyMap<string, string | null>,
  { isAuthOffered, hasReports }: MailFromState,
): Omit<MailFrom, 'sender'> | Reply {
  const read: Omit<MailFrom, 'sender'> = { declaredSizeBytes: null, is8BitMime: false, isSmtpUtf8: false, dsn: null }
  for (const [name, value] of parameters) {
    if (name === 'SIZE') {
      if (value === null || !/^\d{1,15}$/.test(value)) return reply(501, '5.5.4', 'SIZE needs a number')
      read.declaredSizeBytes = Number(value)
    } else if (name === 'BODY') {
      const body = value?.toUpperCase()
      if (body !== '7BIT' && body !== '8BITMIME') return reply(501, '5.5.4', 'BODY is 7BIT or 8BITMIME')
      read.is8BitMime = body === '8BITMIME'
    } else if (name === 'SMTPUTF8' && value === null) read.isSmtpUtf8 = true
    else if ((name === 'RET' || name === 'ENVID') && hasReports) {
      read.dsn = returnRequest(parameters.get('RET'), parameters.get('ENVID'))
      if (read.dsn === null) return reply(501, '5.5.4', 'RET is FULL or HDRS, and ENVID is text of at most 100 characters')
    } else if (name === 'AUTH' && value !== null && isAuthOffered) continue
    else return reply(555, '5.5.4', 'Unknown parameter of MAIL')
  }
  return read
}

function refuse(code: number, enhanced: string, text: string): MailFromOutcome {
  return { mail: null, reply: reply(code, enhanced, text) }
}
