/**
 * AUTH (RFC 4954) with PLAIN (RFC 4616) and LOGIN: takes credentials out of one command, or out of what follows 334.
 *
 * Owns    order and syntax of the exchange.
 * Leaves  whether the password is right to submission/submission-users.ts.
 * Why     a listener that is not for submission does not know the verb: there a password has nothing to open, and it
 *         should not be sent in the first place.
 * Fails   never throws: every client mistake is a reply, and none of them repeats what was sent.
 */
import { reply, type Reply } from '../session/reply.ts'

export type Credentials = { user: string; password: string }
/** What the next line is the answer to. */
export type AuthExchange = { wants: 'plain' } | { wants: 'login-user' } | { wants: 'login-password'; user: string }
export type AuthOutcome =
  | { reply: Reply }
  | { exchange: AuthExchange; challenge: string }
  | { credentials: Credentials }

export type AuthState = {
  isSubmission: boolean
  isSecured: boolean
  isExtended: boolean
  isOpen: boolean
  isAuthenticated: boolean
}

export const authMechanisms = ['PLAIN', 'LOGIN'] as const

export function auth(state: AuthState, argument: string): AuthOutcome {
  if (!state.isSubmission) return refuse(502, '5.5.1', 'AUTH is not offered here')
  if (!state.isSecured) return refuse(538, '5.7.11', 'Use STARTTLS first: no password goes in the clear')
  if (!state.isExtended) return refuse(503, '5.5.1', 'Say EHLO first')
  if (state.isAuthenticated) return refuse(503, '5.5.1', 'You are logged in already')
  if (state.isOpen) return refuse(503, '5.5.1', 'Not within a transaction')
  const [mechanism = '', initial, ...rest] = argument.trim().split(/ +/)
  if (mechanism === '' || rest.length > 0) return refuse(501, '5.5.4', 'Syntax: AUTH PLAIN, or AUTH LOGIN')
  switch (mechanism.toUpperCase()) {
    case 'PLAIN':
      return initial === undefined ? { exchange: { wants: 'plain' }, challenge: '' } : ofPlain(initial)
    case 'LOGIN':
      return initial === undefined ? { exchange: { wants: 'login-user' }, challenge: 'VXNlcm5hbWU6' } : ofUser(initial)
    default:
      return refuse(504, '5.5.4', 'Only PLAIN and LOGIN are known')
  }
}

/** The line that answers a challenge. */
export function continueAuth(exchange: AuthExchange, line: string): AuthOutcome {
  if (line === '*') return refuse(501, '5.7.0', 'Log-in given up')
  if (exchange.wants === 'plain') return ofPlain(line)
  if (exchange.wants === 'login-user') return ofUser(line)
  const password = decoded(line)
  return password === null ? unreadable() : { credentials: { user: exchange.user, password } }
}

/** Who acts for another by name is nobody that is known here. */
function ofPlain(text: string): AuthOutcome {
  const fields = decoded(text)?.split('\0')
  if (fields?.length !== 3) return unreadable()
  const [actsFor, user, password] = fields as [string, string, string]
  if (actsFor !== '' && actsFor !== user) return refuse(535, '5.7.8', 'Nobody may act for another here')
  return { credentials: { user, password } }
}

function ofUser(text: string): AuthOutcome {
  const user = decoded(text)
  if (user === null || user === '') return unreadable()
  return { exchange: { wants: 'login-password', user }, challenge: 'UGFzc3dvcmQ6' }
}

/** `=` stands for nothing at all (RFC 4954 §4). */
function decoded(text: string): string | null {
  if (text === '=') return ''
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return null
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(text, 'base64'))
  } catch {
    return null
  }
}

function unreadable(): AuthOutcome {
  return refuse(501, '5.5.2', 'Malformed log-in')
}

function refuse(code: number, enhanced: string, text: string): AuthOutcome {
  return { reply: reply(code, enhanced, text) }
}
