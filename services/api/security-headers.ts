/**
 * Headers on every answer.
 *
 * Why  the application is one origin without inline code, so the strictest policy holds: a subject or a rule name
 *      that slipped through as markup could still run nothing. API answers are never stored: they hold people's mail.
 */
import type { ApiServer } from './api-server.ts'

export const contentSecurityPolicy = [
  "default-src 'self'",
  "base-uri 'none'",
  "connect-src 'self'",
  "font-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "img-src 'self' data:",
  "object-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
].join('; ')

export function addSecurityHeaders(server: ApiServer): void {
  server.addHook('onSend', async (request, reply, payload) => {
    // A page that carries its own style has a policy of its own, which allows nothing but that.
    if (!reply.hasHeader('content-security-policy')) reply.header('content-security-policy', contentSecurityPolicy)
    reply.header('x-content-type-options', 'nosniff')
    reply.header('x-frame-options', 'DENY')
    reply.header('referrer-policy', 'no-referrer')
    reply.header('cross-origin-opener-policy', 'same-origin')
    reply.header('cross-origin-resource-policy', 'same-origin')
    if (request.protocol === 'https') reply.header('strict-transport-security', 'max-age=31536000')
    if (!reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    return payload
  })
}
