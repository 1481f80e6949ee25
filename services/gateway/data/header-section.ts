/**
 * The header section of a message: collected from the stream up to a bound, unfolded, cut (RFC 5322 §2.2).
 *
 * Owns    where the header ends, and the fields as events carry them and rules see them.
 * Limits  `sectionBytes` are looked at; values are cut to maxHeaderValueBytes, once, before anybody sees them.
 * Why     rules see exactly what is logged, so a replay sees the same (DESIGN §4).
 */
import libmime from 'libmime'
import { maxHeaderValueBytes, type LoggedHeader } from '../../contracts/event.ts'
import { unloggedHeaderNames } from '../../rules/unlogged-headers.ts'

const blankLine = Buffer.from('\r\n\r\n')

/** Takes message octets until the header section is whole. */
export class HeaderCollector {
  readonly #sectionBytes: number
  #collected: Buffer = Buffer.alloc(0)
  #end: number | null = null

  constructor(sectionBytes: number) {
    this.#sectionBytes = sectionBytes
  }

  get isComplete(): boolean {
    return this.#end !== null
  }

  /** The section is longer than what is looked at. */
  get isCut(): boolean {
    return this.#end === this.#sectionBytes
  }

  write(octets: Buffer): void {
    if (this.#end !== null || octets.length === 0) return
    const searchFrom = Math.max(0, this.#collected.length - 3)
    const room = this.#sectionBytes - this.#collected.length
    const taken = octets.length > room ? octets.subarray(0, room) : octets
    this.#collected = this.#collected.length === 0 ? taken : Buffer.concat([this.#collected, taken])
    if (startsWithBlankLine(this.#collected)) this.#end = 0
    else {
      const blank = this.#collected.indexOf(blankLine, searchFrom)
      if (blank >= 0) this.#end = blank + 2
      else if (this.#collected.length >= this.#sectionBytes) this.#end = this.#collected.length
    }
  }

  /** Octets of the section; the blank line behind it is not counted. `null` while it goes on. */
  get endBytes(): number | null {
    return this.#end
  }

  /** The section so far, with its line ends. */
  section(): Buffer {
    return this.#collected.subarray(0, this.#end ?? this.#collected.length)
  }
}

function startsWithBlankLine(octets: Buffer): boolean {
  return octets.length >= 2 && octets[0] === 13 && octets[1] === 10
}

/** Unfolded, not cut. */
export type HeaderField = { name: string; value: string }

/** Fields in their order; a line that is none ends the section, as other servers have it. */
export function parseHeaderSection(section: Buffer): HeaderField[] {
  const fields: HeaderField[] = []
  for (const line of decodedText(section).split('\r\n')) {
    const first = line.charCodeAt(0)
    if (first === 32 || first === 9) {
      const open = fields.at(-1)
      if (open === undefined) return fields
      open.value += ` ${line.trim()}`
      continue
    }
    const colon = line.indexOf(':')
    const name = colon < 0 ? '' : line.slice(0, colon).trimEnd()
    if (!fieldName.test(name)) return fields
    fields.push({ name, value: line.slice(colon + 1).trim() })
  }
  return fields
}

const fieldName = /^[!-9;-~]{1,200}$/

/** UTF-8 where it is valid (RFC 6532), else what old programs meant by 8-bit octets. */
function decodedText(octets: Buffer): string {
  const text = octets.toString('utf8')
  return text.includes('\ufffd') ? octets.toString('latin1') : text
}

/** First value of a field, unfolded and whole, or `null`. */
export function fieldValue(fields: readonly HeaderField[], lowerName: string): string | null {
  const field = fields.find(({ name }) => name.length === lowerName.length && name.toLowerCase() === lowerName)
  return field === undefined ? null : field.value
}

/** The decoded subject (RFC 2047), cut. */
export function subjectOf(fields: readonly HeaderField[]): string | null {
  const value = fieldValue(fields, 'subject')
  if (value === null) return null
  return cutText(printable(value.includes('=?') ? decodedWords(value) : value), maxHeaderValueBytes)
}

export function decodedWords(text: string): string {
  try {
    return libmime.decodeWords(text)
  } catch {
    // A charset that nobody knows: the words as they stand tell more than nothing.
    return text
  }
}

/** Whole characters of at most `maxBytes` octets in UTF-8. */
export function cutText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text
  const octets = Buffer.from(text)
  let end = maxBytes
  while ((octets[end]! & 0xc0) === 0x80) end -= 1
  return octets.toString('utf8', 0, end)
}

/** Without NUL, which no database column of text takes. */
export function printable(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text
}

export type SelectedHeaders = { headers: LoggedHeader[]; isCut: boolean }

/** What is logged of a header section at most. */
const loggedHeaderCount = 100
const loggedHeaderBytes = 16 * 1024
/** Kept before all others where a message has more fields than are logged. */
const firstNames = new Set(
  (
    'from to cc reply-to sender subject date message-id content-type list-id list-unsubscribe in-reply-to ' +
    'auto-submitted precedence return-path user-agent x-mailer received'
  ).split(' '),
)

/** The fields to log, in their order: those that rules ask for and the usual ones first, others while there is room. */
export function selectedHeaders(fields: readonly HeaderField[], asked: ReadonlySet<string>): SelectedHeaders {
  let leftBytes = loggedHeaderBytes
  let leftCount = loggedHeaderCount
  let isCut = false
  const chosen: (LoggedHeader | null)[] = fields.map(() => null)
  const choose = (isWanted: (name: string) => boolean): void => {
    fields.forEach((field, index) => {
      const name = field.name.toLowerCase()
      if (chosen[index] !== null || !isWanted(name)) return
      const value = cutText(printable(field.value), maxHeaderValueBytes)
      const sizeBytes = name.length + Buffer.byteLength(value)
      if (leftCount === 0 || sizeBytes > leftBytes) {
        isCut = true
        return
      }
      leftCount -= 1
      leftBytes -= sizeBytes
      chosen[index] = { name: field.name, value }
    })
  }
  choose((name) => asked.has(name))
  choose((name) => firstNames.has(name))
  choose((name) => !unloggedHeaderNames.test(name))
  return { headers: chosen.filter((header) => header !== null), isCut }
}
