/**
 * Every limit of an SMTP session with its reply: what a client may cost.
 *
 * Why  in one file, so that an operator who reads a reply in a log finds what to change, and nothing is unbounded
 *      by oversight. Those that a deployment may need differently come from the configuration.
 */
import type { Config } from '../kit/config.ts'
import { reply, type Reply } from './session/reply.ts'

export type Limits = Config['smtp']['limits'] & {
  /** A command with its line end; RFC 5321 §4.5.3.1.4 asks for 512, SMTPUTF8 and ESMTP parameters for more. */
  commandLineBytes: number
  /** A path between its angle brackets; twice RFC 5321 §4.5.3.1.3, for the long reverse-paths of list servers. */
  pathBytes: number
  /** What the recipients of one transaction may take up in its event, so that they are never cut there. */
  recipientOctetsPerTransaction: number
  /** What is looked at of a header section. */
  headerSectionBytes: number
  /** Received headers from which on a message counts as looping (RFC 5321 §6.3). */
  hops: number
  /** What a client may send ahead while it waits for a reply, before it is no longer read. */
  aheadBytes: number
  /** How long a stop waits for open transactions. */
  stopSeconds: number
  /** How long a public remote must wait for its greeting; who talks before it is refused. 0: no wait, no check. */
  greetingDelayMs: number
}

export function limitsOf(config: Config): Limits {
  const { limits, greetingDelayMs } = config.smtp
  return { ...fixedLimits, ...limits, greetingDelayMs }
}

export const fixedLimits = {
  commandLineBytes: 2_048,
  pathBytes: 512,
  recipientOctetsPerTransaction: 512 * 1024,
  headerSectionBytes: 64 * 1024,
  hops: 50,
  aheadBytes: 64 * 1024,
  stopSeconds: 10,
  greetingDelayMs: 0,
}

/** For the person at the panel of a scanner as much as for an administrator. */
export function tooLarge(limits: Limits): Reply {
  return reply(
    552,
    '5.3.4',
    `Message too large: at most ${inMegabytes(limits.messageBytes)} are accepted here, send it in smaller parts`,
  )
}

export function tooManyRecipients(): Reply {
  return reply(452, '4.5.3', 'Too many recipients, send the rest separately')
}

export function tooManyTransactions(): Reply {
  return reply(421, '4.7.0', 'Enough messages for one connection, connect again for more')
}

export function tooManyErrors(): Reply {
  return reply(421, '4.7.0', 'Too many errors')
}

export function tooManyBadRecipients(): Reply {
  return reply(421, '4.7.0', 'Too many unknown recipients')
}

export function tooManySessions(): Reply {
  return reply(421, '4.7.0', 'Too many connections, try again later')
}

export function tooManySessionsOfNetwork(): Reply {
  return reply(421, '4.7.0', 'Too many connections from your network, try again later')
}

export function lineTooLong(): Reply {
  return reply(500, '5.5.6', 'Line too long')
}

export function idleTooLong(): Reply {
  return reply(421, '4.4.2', 'Idle for too long, closing the connection')
}

export function dataTookTooLong(): Reply {
  return reply(421, '4.4.2', 'The message took too long, closing the connection')
}

export function mailLoop(): Reply {
  return reply(554, '5.4.6', 'Too many hops: this mail goes in a circle')
}

export function noProxyOfOurs(): Reply {
  return reply(554, '5.5.1', 'You are not listed as a proxy here')
}

export function logInFirst(isSecured: boolean): Reply {
  return reply(530, '5.7.0', isSecured ? 'Log in first' : 'Use STARTTLS and log in first')
}

export function notLoggedIn(why: 'wrong' | 'too-many-failures' | 'busy'): Reply {
  if (why === 'wrong') return reply(535, '5.7.8', 'Name or password is wrong')
  if (why === 'busy') return reply(454, '4.7.0', 'Too many log-ins at the moment, try again later')
  return reply(454, '4.7.0', 'Too many failed log-ins from your network, try again later')
}

export function notYourAddress(): Reply {
  return reply(553, '5.7.1', 'You may not send as this address')
}

export function talkedTooEarly(): Reply {
  return reply(554, '5.5.1', 'Wait for the greeting before you speak')
}

function inMegabytes(sizeBytes: number): string {
  return sizeBytes >= 1_000_000 ? `${Math.floor(sizeBytes / 100_000) / 10} MB` : `${sizeBytes} octets`
}
