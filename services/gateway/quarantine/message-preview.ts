/**
 * A message made safe to look at: decoded headers, its text, and the names of what is attached.
 *
 * Owns    bounds on everything, and that what would act on a terminal, or hide, stands there as an escape.
 * Limits  the first `previewBytes` are looked at for text; `textLength`, `headerCount`, `headerLength` are shown.
 * Why     nothing is fetched, nothing is interpreted: of HTML only the text remains (html-text.ts).
 */
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import libmime from 'libmime'
import type { HeldMessageView } from '../../contracts/control.ts'
import { visibleText } from '../../kit/visible-text.ts'
import { charsetText } from '../data/charset-text.ts'
import { decodedWords, fieldValue, HeaderCollector, parseHeaderSection, subjectOf, type HeaderField } from '../data/header-section.ts'
import { MimeWalk } from '../data/mime-walk.ts'
import type { MessageOctets } from '../spool/message-store.ts'
import { htmlText } from './html-text.ts'

export const previewLimits = {
  previewBytes: 1024 * 1024,
  sectionBytes: 256 * 1024,
  headerCount: 200,
  headerLength: 2_000,
  textLength: 65_536,
  titleLength: 300,
  depth: 10,
  parts: 200,
  boundaryLength: 200,
}

export type MessagePreview = Pick<HeldMessageView, 'headers' | 'areHeadersCut' | 'text' | 'textOf' | 'isTextCut' | 'attachments'>

export async function titleOf(content: MessageOctets): Promise<{ from: string | null; subject: string | null }> {
  const fields = parseHeaderSection(sectionOf(await beginningOf(content, 64 * 1024)).section)
  const from = fieldValue(fields, 'from')
  const subject = subjectOf(fields)
  return {
    from: from === null ? null : shortText(decodedWords(from), previewLimits.titleLength),
    subject: subject === null ? null : shortText(subject, previewLimits.titleLength),
  }
}

export async function previewOf(content: MessageOctets): Promise<MessagePreview> {
  const beginning = await beginningOf(content, previewLimits.previewBytes)
  const { section, isCut, bodyFrom } = sectionOf(beginning)
  const fields = parseHeaderSection(section)
  const headers = fields.slice(0, previewLimits.headerCount).map(({ name, value }) => ({
    name: visibleText(name),
    value: shortText(decodedWords(value), previewLimits.headerLength),
  }))
  const found: FoundText = { plain: null, html: null, partCount: 0 }
  findText(fields, beginning.subarray(bodyFrom), 0, found)
  const text = found.plain ?? (found.html === null ? null : htmlText(found.html))
  const isLookedAtWhole = 'octets' in content ? content.octets.length <= beginning.length : content.sizeBytes <= beginning.length
  return {
    headers,
    areHeadersCut: isCut || fields.length > headers.length || fields.some(({ value }) => value.length > previewLimits.headerLength),
    text: text === null ? null : shownText(text),
    textOf: found.plain !== null ? 'plain' : found.html !== null ? 'html' : 'none',
    isTextCut: text !== null && (text.length > previewLimits.textLength || !isLookedAtWhole),
    attachments: await attachmentsOf(content, fields, bodyFrom),
  }
}

type FoundText = { plain: string | null; html: string | null; partCount: number }

async function beginningOf(content: MessageOctets, maxBytes: number): Promise<Buffer> {
  if ('octets' in content) return content.octets.subarray(0, maxBytes)
  const file = await open(content.path)
  try {
    const buffer = Buffer.alloc(Math.min(maxBytes, content.sizeBytes))
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** `bodyFrom`: where the blank line stands that ends the section. */
function sectionOf(octets: Buffer): { section: Buffer; isCut: boolean; bodyFrom: number } {
  const collector = new HeaderCollector(previewLimits.sectionBytes)
  collector.write(octets)
  return { section: collector.section(), isCut: collector.isCut, bodyFrom: collector.endBytes ?? octets.length }
}

async function attachmentsOf(content: MessageOctets, fields: HeaderField[], bodyFrom: number): Promise<MessagePreview['attachments']> {
  const walk = new MimeWalk(fields)
  if ('octets' in content) walk.write(content.octets.subarray(bodyFrom))
  else for await (const block of createReadStream(content.path, { start: bodyFrom, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) walk.write(block)
  walk.end()
  return walk.attachments.map(({ name, type, sizeBytes }) => ({
    name: name === null ? null : visibleText(name),
    type: visibleText(type),
    sizeBytes,
  }))
}

/** `body` begins with the line end of the blank line. The first text of each kind that is no attachment counts. */
function findText(fields: readonly HeaderField[], body: Buffer, depth: number, found: FoundText): void {
  found.partCount += 1
  if (found.plain !== null || found.partCount > previewLimits.parts) return
  const type = parameters(fieldValue(fields, 'content-type') ?? 'text/plain')
  const boundary = type.params['boundary'] ?? ''
  if (type.value.startsWith('multipart/')) {
    if (boundary === '' || boundary.length > previewLimits.boundaryLength || depth >= previewLimits.depth) return
    for (const part of partsOf(body, boundary)) {
      const { section, bodyFrom } = sectionOf(part)
      findText(parseHeaderSection(section), part.subarray(bodyFrom), depth + 1, found)
      if (found.plain !== null || found.partCount > previewLimits.parts) return
    }
    return
  }
  if (parameters(fieldValue(fields, 'content-disposition') ?? '').value === 'attachment') return
  if (type.value !== 'text/plain' && type.value !== 'text/html') return
  const octets = decodedContent(body.subarray(2), fieldValue(fields, 'content-transfer-encoding'))
  const text = charsetText(octets, type.params['charset'] ?? 'utf-8')
  if (type.value === 'text/plain') found.plain = text
  else found.html ??= text
}

function* partsOf(body: Buffer, boundary: string): Generator<Buffer> {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  let at = body.indexOf(delimiter)
  while (at >= 0) {
    const afterDelimiter = at + delimiter.length
    if (body.toString('latin1', afterDelimiter, afterDelimiter + 2) === '--') return
    const lineEnd = body.indexOf('\r\n', afterDelimiter)
    if (lineEnd < 0) return
    const next = body.indexOf(delimiter, lineEnd)
    yield body.subarray(lineEnd + 2, next < 0 ? body.length : next)
    at = next
  }
}

function decodedContent(octets: Buffer, encoding: string | null): Buffer {
  const name = (encoding ?? '').trim().toLowerCase()
  if (name === 'base64') return Buffer.from(octets.toString('latin1'), 'base64')
  if (name !== 'quoted-printable') return octets
  const text = octets.toString('latin1').replace(/=[ \t]{0,100}\r?\n/g, '')
  return Buffer.from(text.replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))), 'latin1')
}

function parameters(value: string): { value: string; params: Record<string, string> } {
  try {
    const parsed = libmime.parseHeaderValue(value)
    return { value: String(parsed.value).trim().toLowerCase(), params: parsed.params }
  } catch {
    return { value: '', params: {} }
  }
}

function shortText(text: string, maxLength: number): string {
  return visibleText(text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`)
}

/** Lines stay lines; everything else that is no sign stands as an escape. */
function shownText(text: string): string {
  const lines = text.slice(0, previewLimits.textLength).replace(/\r\n?/g, '\n').replaceAll('\t', '    ').split('\n')
  return lines.map(visibleText).join('\n')
}
