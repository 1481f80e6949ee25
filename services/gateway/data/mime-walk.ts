/**
 * A light walk over a MIME message as it streams by: the name, type and size of each attachment (RFC 2046).
 *
 * Owns    boundaries and part headers, to a bound.
 * Leaves  decoding of content to a listener, where there is one: octets are counted, not looked at.
 * Limits  depth, parts, octets of a part's header; what passes a limit is not listed.
 * Why     a message without parts costs nothing here; boundaries are found by one native search per chunk.
 */
import libmime from 'libmime'
import { type Attachment } from '../../contracts/event.ts'
import {
  cutText,
  decodedWords,
  fieldValue,
  parseHeaderSection,
  printable,
  type HeaderField,
} from './header-section.ts'

export const mimeLimits = {
  depth: 10,
  parts: 200,
  partHeaderBytes: 16 * 1024,
  boundaryLineBytes: 300,
  nameBytes: 255,
}

const dashes = Buffer.from('\r\n--')
const blankLine = Buffer.from('\r\n\r\n')
/** The blank line before a part's content is passed with it and is no content. */
const blankLineBytes = 2

/** Who wants the content of the parts too: still encoded, without the blank line before it. */
export type PartListener = {
  begin(fields: readonly HeaderField[], attachment: Attachment | null): void
  octets(octets: Buffer): void
  end(): void
}

type Part = { attachment: Attachment | null; encoding: string; octets: number; firstLineBytes: number | null }

export class MimeWalk {
  readonly attachments: Attachment[] = []
  readonly #boundaries: string[] = []
  readonly #listener: PartListener | null
  #place: 'body' | 'part-header' | 'nothing'
  #part: Part | null = null
  #partCount = 0
  /** Octets that may belong to a boundary or a part header that is not whole yet. */
  #kept: Buffer = Buffer.alloc(0)

  constructor(fields: readonly HeaderField[], listener: PartListener | null = null) {
    this.#listener = listener
    const type = contentType(fields)
    this.#place = 'nothing'
    if (type.boundary !== null) {
      this.#boundaries.push(type.boundary)
      this.#place = 'body'
    } else {
      this.#beginPart(fields)
      if (this.#part?.attachment !== null || listener !== null) this.#place = 'body'
    }
  }

  /** Message octets behind the header section, the blank line with them: a boundary may follow it at once. */
  write(octets: Buffer): void {
    if (this.#place === 'nothing' || octets.length === 0) return
    let rest = this.#kept.length === 0 ? octets : Buffer.concat([this.#kept, octets])
    this.#kept = rest.subarray(0, 0)
    for (;;) {
      const next = this.#place === 'part-header' ? this.#readPartHeader(rest) : this.#readBody(rest)
      if (next === null) return
      rest = next
    }
  }

  end(): void {
    if (this.#place === 'body') this.#count(this.#kept)
    this.#finishPart()
    this.#place = 'nothing'
  }

  /** What follows the next boundary line, or `null` where more octets are needed. */
  #readBody(octets: Buffer): Buffer | null {
    let at = 0
    for (;;) {
      const found = this.#boundaries.length === 0 ? -1 : octets.indexOf(dashes, at)
      if (found < 0) {
        const tail = this.#boundaries.length === 0 ? octets.length : Math.max(at, octets.length - 3)
        this.#count(octets.subarray(at, tail))
        this.#kept = octets.subarray(tail)
        return null
      }
      const lineEnd = octets.indexOf('\r\n', found + 4)
      if (lineEnd < 0 && octets.length - found < mimeLimits.boundaryLineBytes) {
        this.#count(octets.subarray(at, found))
        this.#kept = octets.subarray(found)
        return null
      }
      const line =
        lineEnd < 0
          ? ''
          : octets.toString('latin1', found + 4, Math.min(lineEnd, found + mimeLimits.boundaryLineBytes)).trimEnd()
      const depth = this.#boundaries.findIndex((boundary) => line === boundary || line === `${boundary}--`)
      if (depth < 0) {
        this.#count(octets.subarray(at, found + 4))
        at = found + 4
        continue
      }
      this.#count(octets.subarray(at, found))
      this.#finishPart()
      const isClosing = line !== this.#boundaries[depth]
      this.#boundaries.length = isClosing ? depth : depth + 1
      if (isClosing) return octets.subarray(lineEnd)
      this.#place = 'part-header'
      return octets.subarray(lineEnd)
    }
  }

  /** `octets` begin with the line end of the boundary line, so that an empty header is a blank line as well. */
  #readPartHeader(octets: Buffer): Buffer | null {
    const blank = octets.indexOf(blankLine)
    if (blank < 0 && octets.length < mimeLimits.partHeaderBytes) {
      this.#kept = octets
      return null
    }
    const end = blank < 0 ? mimeLimits.partHeaderBytes : blank
    const fields = parseHeaderSection(octets.subarray(2, Math.max(2, end)))
    const { boundary } = contentType(fields)
    this.#place = 'body'
    if (boundary !== null && this.#boundaries.length < mimeLimits.depth) this.#boundaries.push(boundary)
    else if (boundary === null && this.#partCount < mimeLimits.parts) this.#beginPart(fields)
    this.#partCount += 1
    return octets.subarray(blank < 0 ? end : blank + 2)
  }

  #count(octets: Buffer): void {
    const part = this.#part
    if (part === null || octets.length === 0) return
    if (this.#listener !== null) {
      const content = part.octets < 0 ? octets.subarray(-part.octets) : octets
      if (content.length > 0) this.#listener.octets(content)
    }
    if (part.firstLineBytes === null && part.octets + octets.length > 0) {
      const start = part.octets < 0 ? -part.octets : 0
      const end = octets.indexOf(13, start)
      if (end >= 0) part.firstLineBytes = Math.max(0, part.octets) + end - start
    }
    part.octets += octets.length
  }

  #beginPart(fields: readonly HeaderField[]): void {
    this.#part = partOf(fields)
    this.#listener?.begin(fields, this.#part.attachment)
  }

  #finishPart(): void {
    const part = this.#part
    this.#part = null
    if (part !== null) this.#listener?.end()
    if (part === null || part.attachment === null) return
    this.attachments.push({ ...part.attachment, sizeBytes: decodedBytes(part) })
  }
}

/** Octets of the content: of base64 as many as its lines encode, if all are as long as the first. */
function decodedBytes({ encoding, octets, firstLineBytes }: Part): number {
  const encoded = Math.max(0, octets)
  if (encoding !== 'base64') return encoded
  const lineBytes = (firstLineBytes ?? encoded) + 2
  const lineEnds = Math.ceil(encoded / lineBytes) - (encoded % lineBytes === 0 ? 0 : 1)
  return Math.floor(((encoded - 2 * Math.max(0, lineEnds)) * 3) / 4)
}

function partOf(fields: readonly HeaderField[]): Part {
  const { type, name } = contentType(fields)
  const disposition = parameters(fieldValue(fields, 'content-disposition'))
  const fileName = disposition.params['filename'] ?? name
  const isText = type === '' || type.startsWith('text/') || type.startsWith('multipart/')
  const isAttachment = disposition.value === 'attachment' || fileName !== null || !isText
  const attachment = {
    name: fileName === null ? null : cutText(printable(decodedWords(fileName)), mimeLimits.nameBytes),
    type: cutText(printable(type), 127),
    sizeBytes: 0,
  }
  const encoding = (fieldValue(fields, 'content-transfer-encoding') ?? '').trim().toLowerCase()
  return { attachment: isAttachment ? attachment : null, encoding, octets: -blankLineBytes, firstLineBytes: null }
}

function contentType(fields: readonly HeaderField[]): { type: string; boundary: string | null; name: string | null } {
  const value = fieldValue(fields, 'content-type')
  if (value === null) return { type: '', boundary: null, name: null }
  const { value: type, params } = parameters(value)
  const boundary = type.startsWith('multipart/') ? (params['boundary'] ?? null) : null
  return { type, boundary: boundary === '' ? null : boundary, name: params['name'] ?? null }
}

function parameters(value: string | null): { value: string; params: Record<string, string> } {
  if (value === null) return { value: '', params: {} }
  try {
    const parsed = libmime.parseHeaderValue(value)
    return { value: String(parsed.value).trim().toLowerCase(), params: parsed.params }
  } catch {
    return { value: '', params: {} }
  }
}
