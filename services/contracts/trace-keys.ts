/** The keys of the trace query language and the closed word lists that some of them take (DESIGN §6). */
import { outcomes, reasons, stages } from './vocabulary.ts'

/** Each key with one line of help and an example; the order is the one in which the UI offers them. */
export const traceKeys = {
  from: { help: 'sender address; * is a wildcard, <> the empty sender', example: 'from:*@partner.test' },
  to: { help: 'recipient address, refused ones too; * is a wildcard', example: 'to:ann@corp.test' },
  subject: { help: 'words anywhere in the subject', example: 'subject:"quarterly report"' },
  verdict: { help: 'how it ended', example: 'verdict:refused,deferred' },
  reason: { help: 'why the message or one of its recipients ended so', example: 'reason:unknown-recipient' },
  stage: { help: 'where in the SMTP dialog it ended', example: 'stage:rcpt' },
  rule: { help: 'a rule that hit, shadow ones too', example: 'rule:spam-words' },
  weight: { help: 'final weight', example: 'weight:3..8' },
  size: { help: 'octets received, else declared; k M G are 1000s, Ki Mi Gi 1024s', example: 'size:>1M' },
  client: { help: 'who pays; house is nobody', example: 'client:acme' },
  domain: { help: 'domain of the sender or of a recipient, without its subdomains', example: 'domain:corp.test' },
  ip: { help: 'address or network of the remote', example: 'ip:203.0.113.0/24' },
  country: { help: 'country of the remote, two letters', example: 'country:de' },
  helo: { help: 'name the remote gave; * is a wildcard', example: 'helo:*.partner.test' },
  hop: { help: 'host that delivery was tried to; * is a wildcard', example: 'hop:inner.corp.test' },
  id: {
    help: 'exact transaction id; overrides every other term',
    example: 'id:019abc12-3456-7def-8901-23456789abcd',
  },
  queue: {
    help: 'exact queue id; overrides every other term',
    example: 'queue:019abc12-3456-7def-8901-23456789abcd',
  },
  msgid: { help: 'Message-ID header; * is a wildcard', example: 'msgid:<1234@partner.test>' },
  after: { help: 'ended at or after: -7d, today, 2026-11-01, 2026-11-01T14:00', example: 'after:-7d' },
  before: { help: 'ended before: -1h, today, 2026-11-01, 2026-11-01T14:00', example: 'before:2026-11-01' },
  has: { help: 'something it has', example: 'has:attachment' },
} as const
export type TraceKey = keyof typeof traceKeys
export const traceKeyNames = Object.keys(traceKeys) as TraceKey[]

export const traceHas = {
  attachment: 'at least one attachment',
  auth: 'the remote had logged in',
  declared: 'a declared size (SIZE=)',
  delivery: 'at least one delivery attempt',
  duplicate: 'recognised as a duplicate of another message',
  failed: 'a recipient whose delivery failed or expired',
  queued: 'accepted, and delivery not finished',
  refused: 'at least one refused or deferred recipient',
  rule: 'a rule that hit with effect',
  shadow: 'a shadow rule that hit',
} as const
export type TraceHas = keyof typeof traceHas

/** Keys that take words of a closed list; several are joined by commas and mean any of them. */
export const traceWordLists: Record<'verdict' | 'stage' | 'reason' | 'has', readonly string[]> = {
  verdict: outcomes,
  stage: stages,
  reason: reasons,
  has: Object.keys(traceHas),
}

/** The known word that was most likely meant, or `null` where none is near. */
export function nearestWord(word: string, known: readonly string[]): string | null {
  const lower = word.toLowerCase()
  let nearest: string | null = null
  let least = Math.max(1, Math.floor(lower.length / 3)) + 1
  for (const candidate of known) {
    if (lower.length >= 3 && candidate.startsWith(lower)) return candidate
    const distance = editDistance(lower, candidate)
    if (distance < least && distance < candidate.length) {
      least = distance
      nearest = candidate
    }
  }
  return nearest
}

/** Insertions, deletions, replacements and swaps of neighbours; long words are cut, as nothing known is as long. */
function editDistance(from: string, to: string): number {
  const word = from.slice(0, 40)
  let beforePrevious: number[] = []
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let row = 1; row <= word.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = previous[column - 1]! + (word[row - 1] === to[column - 1] ? 0 : 1)
      let best = Math.min(previous[column]! + 1, current[column - 1]! + 1, replaced)
      const isSwap = row > 1 && column > 1 && word[row - 1] === to[column - 2] && word[row - 2] === to[column - 1]
      if (isSwap) best = Math.min(best, beforePrevious[column - 2]! + 1)
      current.push(best)
    }
    beforePrevious = previous
    previous = current
  }
  return previous[to.length]!
}
