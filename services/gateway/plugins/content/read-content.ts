/**
 * What a message says, as it streams by: its text parts as plain text, its attachments with name and digest.
 *
 * Limits  `textBytes` of decoded text in all; attached messages are read too, to a depth. An archive (zip) is a file
 *         with a digest: what is in it is not looked at.
 */
import { createHash, type Hash } from 'node:crypto'
import libmime from 'libmime'
import type { Attachment } from '../../../contracts/event.ts'
import { fieldValue, HeaderCollector, parseHeaderSection, type HeaderField } from '../../data/header-section.ts'
import { MimeWalk, type PartListener } from '../../data/mime-walk.ts'
import { oneBlank, plainText } from './plain-text.ts'
import { transferDecoder, type TransferDecoder } from './transfer-decoder.ts'

export type AttachedFile = { name: string | null; type: string; sha256: string }
export type MessageContent = { texts: string[]; files: AttachedFile[]; isTextCut: boolean }

const headerBytes = 64 * 1024
const depthLimit = 5

type Room = { textBytes: number }

export class ContentReader {
  readonly content: MessageContent = { texts: [], files: [], isTextCut: false }
  readonly #room: Room
  readonly #depth: number
  readonly #header = new HeaderCollector(headerBytes)
  #headerOctets = 0
  #walk: MimeWalk | null = null

  constructor(textBytes: number, depth = 0, room: Room = { textBytes }, content: MessageContent | null = null) {
    this.#room = room
    this.#depth = depth
    if (content !== null) this.content = content
  }

  write(octets: Buffer): void {
    if (this.#walk !== null) return this.#walk.write(octets)
    const before = this.#headerOctets
    this.#headerOctets += octets.length
    this.#header.write(octets)
    if (!this.#header.isComplete) return
    this.#open()
    this.#walk!.write(octets.subarray(Math.max(0, this.#header.endBytes! - before)))
  }

  end(): MessageContent {
    if (this.#walk === null) this.#open()
    this.#walk!.end()
    return this.content
  }

  #open(): void {
    const fields = parseHeaderSection(this.#header.section())
    const subject = fieldValue(fields, 'subject')
    if (subject !== null) this.content.texts.push(oneBlank(libmime.decodeWords(subject)))
    this.#walk = new MimeWalk(fields, this.#listener())
  }

  #listener(): PartListener {
    let part: Part | null = null
    return {
      begin: (fields, attachment) => {
        part = this.#partOf(fields, attachment)
      },
      octets: (octets) => part?.write(octets),
      end: () => {
        part?.end()
        part = null
      },
    }
  }

  #partOf(fields: readonly HeaderField[], attachment: Attachment | null): Part {
    const { value, params } = libmime.parseHeaderValue(fieldValue(fields, 'content-type') ?? '')
    const type = String(value).trim().toLowerCase()
    const decoder = transferDecoder((fieldValue(fields, 'content-transfer-encoding') ?? '').trim().toLowerCase())
    if (type === 'message/rfc822' && this.#depth < depthLimit) {
      const inner = new ContentReader(0, this.#depth + 1, this.#room, this.content)
      return { write: (octets) => inner.write(decoder.write(octets)), end: () => (inner.write(decoder.end()), void inner.end()) }
    }
    const isText = type === '' || type.startsWith('text/')
    const file = attachment === null ? null : new FilePart(decoder, attachment, this.content)
    return isText ? new TextPart(decoder, file, this.#room, this.content, type, String(params['charset'] ?? '').toLowerCase()) : file!
  }
}

type Part = { write(octets: Buffer): void; end(): void }

class FilePart implements Part {
  readonly #hash: Hash = createHash('sha256')
  readonly #decoder: TransferDecoder
  readonly #attachment: Attachment
  readonly #content: MessageContent

  constructor(decoder: TransferDecoder, attachment: Attachment, content: MessageContent) {
    this.#decoder = decoder
    this.#attachment = attachment
    this.#content = content
  }

  write(octets: Buffer): void {
    this.takeDecoded(this.#decoder.write(octets))
  }

  takeDecoded(octets: Buffer): void {
    this.#hash.update(octets)
  }

  end(): void {
    this.takeDecoded(this.#decoder.end())
    this.#content.files.push({ name: this.#attachment.name, type: this.#attachment.type, sha256: this.#hash.digest('hex') })
  }
}

/** Text, which may be an attached file as well. */
class TextPart implements Part {
  readonly #decoder: TransferDecoder
  readonly #file: FilePart | null
  readonly #room: Room
  readonly #content: MessageContent
  readonly #type: string
  readonly #charset: string
  #kept: Buffer[] = []

  constructor(decoder: TransferDecoder, file: FilePart | null, room: Room, content: MessageContent, type: string, charset: string) {
    this.#decoder = decoder
    this.#file = file
    this.#room = room
    this.#content = content
    this.#type = type
    this.#charset = charset
  }

  write(octets: Buffer): void {
    this.#take(this.#decoder.write(octets))
  }

  end(): void {
    this.#take(this.#decoder.end())
    this.#file?.end()
    this.#content.texts.push(plainText(Buffer.concat(this.#kept), this.#type, this.#charset))
  }

  #take(decoded: Buffer): void {
    this.#file?.takeDecoded(decoded)
    const kept = decoded.subarray(0, this.#room.textBytes)
    this.#room.textBytes -= kept.length
    if (kept.length > 0) this.#kept.push(kept)
    if (kept.length < decoded.length) this.#content.isTextCut = true
  }
}
