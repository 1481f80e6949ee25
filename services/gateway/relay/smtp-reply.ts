/**
 * Replies of a next hop out of whatever pieces the network makes of them (RFC 5321 §4.2).
 *
 * Limits  `maxReplyBytes` per reply; more is no SMTP server.
 * Fails   throws an Error that quotes the line that is no reply.
 */
import type { Reply } from '../../contracts/event.ts'

export const maxReplyBytes = 16_384

export class ReplyReader {
  #rest: Buffer = Buffer.alloc(0)
  #lines: string[] = []
  #replyBytes = 0

  /** Replies completed by these octets, in their order. */
  push(octets: Buffer): Reply[] {
    const buffer = this.#rest.length === 0 ? octets : Buffer.concat([this.#rest, octets])
    const replies: Reply[] = []
    let offset = 0
    for (;;) {
      const end = buffer.indexOf(0x0a, offset)
      if (end < 0) break
      const hasCr = end > offset && buffer[end - 1] === 0x0d
      const reply = this.#takeLine(buffer.toString('utf8', offset, hasCr ? end - 1 : end))
      if (reply !== null) replies.push(reply)
      offset = end + 1
    }
    this.#rest = buffer.subarray(offset)
    if (this.#replyBytes + this.#rest.length > maxReplyBytes) throw new Error('the next hop sent an endless reply')
    return replies
  }

  /** Whether octets wait that are no whole reply yet. */
  get isEmpty(): boolean {
    return this.#rest.length === 0 && this.#lines.length === 0
  }

  #takeLine(line: string): Reply | null {
    const match = /^([2-5]\d\d)(?:([ -])(.*))?$/s.exec(line)
    if (match === null) throw new Error(`the next hop sent something that is no reply: ${line.slice(0, 100)}`)
    this.#lines.push(match[3] ?? '')
    this.#replyBytes += line.length
    if (match[2] === '-') return null
    const lines = this.#lines
    this.#lines = []
    this.#replyBytes = 0
    return replyOf(Number(match[1]), lines)
  }
}

/** The status code of RFC 2034 stands at the start of every line, and is told once. */
function replyOf(code: number, lines: readonly string[]): Reply {
  const enhanced = /^([245]\.\d{1,3}\.\d{1,3})(?= |$)/.exec(lines[0] ?? '')?.[1] ?? null
  const texts = enhanced === null ? lines : lines.map((line) => (line.startsWith(enhanced) ? line.slice(enhanced.length).trimStart() : line))
  return { code, enhanced, text: texts.join('\n') }
}

export function replyText(reply: Reply): string {
  return [reply.code, reply.enhanced, reply.text].filter((part) => part !== null && part !== '').join(' ')
}
