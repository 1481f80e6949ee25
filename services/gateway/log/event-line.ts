/**
 * One event as its line: completed with its place in the log, and cut where it would be too long.
 *
 * Limits  maxLineBytes. Matched text, header values and attachments are cut, recipients never: who bills from the
 *         log must find each of them. That they fit is seen to at RCPT (limits.recipientOctetsPerTransaction).
 */
import type { EventBody, TransactionEnded } from '../../contracts/event.ts'
import { maxLineBytes } from '../../contracts/event.ts'

export type LinePlace = { tenantId: string; node: string; boot: string; seq: number; at: string }

/** The line with its line end. Throws where even the cut event is too long. */
export function eventLine(body: EventBody, place: LinePlace): string {
  const line = encoded(body, place)
  if (isShortEnough(line)) return line
  if (body.kind === 'policy.loaded') {
    const short = encoded({ ...body, content: { cut: true, lineBytes: Buffer.byteLength(line) } }, place)
    if (isShortEnough(short)) return short
  }
  if (body.kind === 'transaction.ended') {
    let cut = body
    for (const step of cuts) {
      cut = step(cut)
      const shorter = encoded(cut, place)
      if (isShortEnough(shorter)) return shorter
    }
  }
  throw new Error(`an event of kind ${body.kind} has ${Buffer.byteLength(line)} octets, more than a line may have`)
}

/** The body's own keys follow the place: one concatenation instead of a copied object. */
function encoded(body: EventBody, { tenantId, node, boot, seq, at }: LinePlace): string {
  const json = JSON.stringify(body)
  return `{"tenantId":"${tenantId}","node":"${node}","boot":"${boot}","seq":${seq},"at":"${at}",${json.slice(1)}\n`
}

function isShortEnough(line: string): boolean {
  // No character takes more than three octets per UTF-16 unit.
  return line.length * 3 <= maxLineBytes || Buffer.byteLength(line) <= maxLineBytes
}

type Transaction = EventBody<TransactionEnded>

/** From what is missed least to what is missed most. */
const cuts: readonly ((event: Transaction) => Transaction)[] = [
  (event) =>
    cutOf(event, 'evaluations.hits.matchedText', {
      evaluations: event.evaluations.map((one) => ({
        ...one,
        hits: one.hits.map((hit) => ({ ...hit, matchedText: null })),
      })),
    }),
  (event) => cutOf(event, 'attachments', { attachments: event.attachments.slice(0, 10) }),
  (event) =>
    cutOf(event, 'headers', {
      headers: event.headers.slice(0, 20).map(({ name, value }) => ({ name, value: value.slice(0, 100) })),
    }),
  (event) =>
    cutOf(event, 'evaluations.hits', {
      evaluations: event.evaluations.map((one) => ({ ...one, hits: one.hits.slice(0, 1) })),
    }),
  (event) => cutOf(event, 'evaluations', { evaluations: event.evaluations.filter((one) => one.recipient === null) }),
  (event) =>
    cutOf(event, 'recipients.reply.text', {
      recipients: event.recipients.map((one) => ({ ...one, reply: { ...one.reply, text: '' } })),
    }),
]

function cutOf(event: Transaction, field: string, change: Partial<Transaction>): Transaction {
  return {
    ...event,
    ...change,
    truncated: event.truncated.includes(field) ? event.truncated : [...event.truncated, field],
  }
}
