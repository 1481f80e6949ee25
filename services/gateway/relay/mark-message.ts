/**
 * What a message carries of the gateway's judgement when it goes on: the tag in its subject, and no mark but ours.
 *
 * Owns    that a Subject which a DKIM signature covers keeps its octets unless the setting says otherwise, and that a
 *         header field which poses as a mark of ours loses its name.
 * Why     header fields in front break no signature, so where the subject may not change, `X-Tollgate-Mark` tells the
 *         tag. A posing field is renamed, not removed: nothing of a message is lost. It is renamed even where the
 *         sender signed it: a filter that believes it does more harm than a signature that fails.
 * Limits  what stands in the octets given (header-first.ts). Where the header section goes on behind them, nobody knows
 *         whether a signature follows, or a Subject: the subject then keeps its octets.
 */
import libmime from 'libmime'
import { markHeaderName } from '../../rules/marks.ts'
import { parseHeaderSection } from '../data/header-section.ts'
import type { StoredMessage } from '../spool/message-store.ts'
import { withTaggedSubject } from './tagged-subject.ts'

export const subjectMarkings = ['always', 'unless-signed', 'never'] as const

export type Marking = {
  tag: string | null
  subject: (typeof subjectMarkings)[number]
  /** Lower-case names of fields that only the gateway may set. */
  reservedNames: readonly string[]
}

const originalPrefix = 'X-Original-'
const noMarking: Marking = { tag: null, subject: 'never', reservedNames: [] }

/**
 * A message that an operator let go is sent as it was received. What we signed ourselves is sent as it was signed: with
 * its tag.
 */
export function markingOf({ envelope, state }: StoredMessage, recipients: readonly number[], subject: Marking['subject']): Marking {
  if (coversSubject(Buffer.from(envelope.prependedHeaders))) return { tag: envelope.subjectTag, subject: 'always', reservedNames: [] }
  const isFreed = state.freed !== undefined && recipients.every((position) => state.freed?.includes(position))
  return isFreed ? noMarking : { tag: envelope.subjectTag, subject, reservedNames: envelope.reservedNames ?? [] }
}

/**
 * `octets` begin with the header section of a message of `sizeBytes`; `addedHeaders` go before everything else: a
 * folded line that a message may begin with is then no part of them.
 */
export function markedMessage(octets: Buffer, marking: Marking, sizeBytes = octets.length): { octets: Buffer; addedHeaders: string } {
  const { tag, subject } = marking
  const clean = withRenamedFields(octets, marking.reservedNames)
  if (tag === null) return { octets: clean, addedHeaders: '' }
  const section = clean.subarray(0, headerEnd(clean))
  const isCut = section.length === clean.length && octets.length < sizeBytes
  const isKept = subject === 'never' || isCut || (subject === 'unless-signed' && coversSubject(section))
  if (isKept) return { octets: clean, addedHeaders: markHeader(tag) }
  const tagged = withTaggedSubject(clean, tag)
  const addedBytes = tagged.length - clean.length
  const isAdded = addedBytes > 0 && tagged.subarray(addedBytes).equals(clean)
  return isAdded ? { octets: clean, addedHeaders: tagged.toString('utf8', 0, addedBytes) } : { octets: tagged, addedHeaders: '' }
}

function markHeader(tag: string): string {
  const text = tag.replace(/[\r\n\0]+/g, ' ').trim()
  if (text === '') return ''
  return `${markHeaderName}: ${/^[\x20-\x7e]*$/.test(text) ? text : libmime.encodeWord(text, 'B')}\r\n`
}

/** Whether a signature in the section is one over the Subject (RFC 6376 §3.5: the tag `h` lists the fields). */
function coversSubject(section: Buffer): boolean {
  return parseHeaderSection(section).some(({ name, value }) => {
    if (name.toLowerCase() !== 'dkim-signature') return false
    const signed = value.split(';').find((part) => /^\s*h\s*=/i.test(part))
    return signed !== undefined && signed.slice(signed.indexOf('=') + 1).toLowerCase().split(':').some((one) => one.trim() === 'subject')
  })
}

function headerEnd(octets: Buffer): number {
  if (octets[0] === 0x0d && octets[1] === 0x0a) return 0
  const blank = octets.indexOf('\r\n\r\n')
  return blank < 0 ? octets.length : blank + 2
}

function withRenamedFields(octets: Buffer, reservedNames: readonly string[]): Buffer {
  if (reservedNames.length === 0) return octets
  const names = new Set(reservedNames)
  const end = headerEnd(octets)
  const parts: Buffer[] = []
  let copiedUpto = 0
  for (let from = 0; from < end; ) {
    const lineEnd = octets.indexOf(0x0a, from)
    const name = fieldNameAt(octets, from, lineEnd < 0 ? end : lineEnd)
    if (name !== null && names.has(name)) {
      parts.push(octets.subarray(copiedUpto, from), Buffer.from(originalPrefix))
      copiedUpto = from
    }
    from = lineEnd < 0 ? end : lineEnd + 1
  }
  if (parts.length === 0) return octets
  parts.push(octets.subarray(copiedUpto))
  return Buffer.concat(parts)
}

/** Lower-case; `null` for a folded line and for what is no field. Blanks before the colon hide no name. */
function fieldNameAt(octets: Buffer, from: number, lineEnd: number): string | null {
  const colon = octets.subarray(from, Math.min(lineEnd, from + 200)).indexOf(0x3a)
  if (colon <= 0) return null
  const name = octets.toString('latin1', from, from + colon)
  return /^[ \t]/.test(name) ? null : name.trimEnd().toLowerCase()
}
