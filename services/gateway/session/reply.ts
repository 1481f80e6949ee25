/** SMTP replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034). */
import type { Reply } from '../../contracts/event.ts'

export type { Reply }

export function reply(code: number, enhanced: string | null, text: string): Reply {
  return { code, enhanced, text }
}

/** The octets of a reply, on one line. Text from a rule or a next hop must not be able to end it early. */
export function replyLine({ code, enhanced, text }: Reply): string {
  return enhanced === null ? `${code} ${oneLine(text)}\r\n` : `${code} ${enhanced} ${oneLine(text)}\r\n`
}

export function multilineReply(code: number, lines: readonly string[]): string {
  return lines.map((line, index) => `${code}${index === lines.length - 1 ? ' ' : '-'}${line}\r\n`).join('')
}

/** 4xx or 5xx. */
export function isRefusal(answer: Reply): boolean {
  return answer.code >= 400
}

export function isTemporary(answer: Reply): boolean {
  return answer.code >= 400 && answer.code < 500
}

function oneLine(text: string): string {
  return /[\r\n\0]/.test(text) ? text.replace(/[\r\n\0]+/g, ' ') : text
}
