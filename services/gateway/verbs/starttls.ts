/** STARTTLS (RFC 3207): whether TLS may begin now. */
import { reply, type Reply } from '../session/reply.ts'

/** 220: the next octets are the handshake. */
export function starttls(state: { isOffered: boolean; isSecured: boolean; isExtended: boolean }, argument: string): Reply {
  if (argument.trim() !== '') return reply(501, '5.5.4', 'STARTTLS takes no argument')
  if (state.isSecured) return reply(503, '5.5.1', 'TLS is in use already')
  if (!state.isOffered) return reply(502, '5.5.1', 'TLS is not offered here')
  if (!state.isExtended) return reply(503, '5.5.1', 'Say EHLO first')
  return reply(220, '2.0.0', 'Go ahead')
}
