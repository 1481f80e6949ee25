/** The verbs that change nothing but the session's own state (RFC 5321 §4.1.1.5-10). */
import { reply, type Reply } from '../session/reply.ts'

export function rset(argument: string): Reply {
  return argument.trim() === '' ? reply(250, '2.0.0', 'Ok') : reply(501, '5.5.4', 'RSET takes no argument')
}

/** An argument is allowed and ignored. */
export function noop(): Reply {
  return reply(250, '2.0.0', 'Ok')
}

/** Whether an address exists is told at RCPT only. */
export function vrfy(argument: string): Reply {
  if (argument.trim() === '') return reply(501, '5.5.4', 'Syntax: VRFY address')
  return reply(252, '2.5.0', 'Send mail to find out')
}

export function expn(): Reply {
  return reply(502, '5.5.1', 'Lists are not shown')
}

export function help(): Reply {
  return reply(214, '2.0.0', 'EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS AUTH QUIT')
}

export function quit(): Reply {
  return reply(221, '2.0.0', 'Goodbye')
}

export function unknownVerb(): Reply {
  return reply(500, '5.5.2', 'Unknown command')
}
