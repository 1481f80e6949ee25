/**
 * Messages of the demo as octets: real header sections and MIME structure around filler.
 *
 * Limits  filler lines never begin with a dot and end with CRLF, so nothing has to be stuffed.
 */
import type { MessagePlan } from './session-plan.ts'

export type Letter = {
  atMs: number
  /** Display form: `Anna Holm <anna@example.org>`. */
  from: string
  to: string
  subject: string
  /** Without it the message has none. */
  messageId: string | null
  extraHeaders?: readonly string[]
  textBytes: number
  attachments?: readonly LetterAttachment[]
}

/** `content` null: filler of `sizeBytes` octets, as base64 on the wire. */
export type LetterAttachment = { name: string; type: string; sizeBytes: number; content?: string }

export function composeMessage(letter: Letter): MessagePlan {
  const attachments = letter.attachments ?? []
  const boundary = `=_demo_${letter.atMs.toString(36)}`
  const headers = [
    ...(letter.messageId === null ? [] : [`Message-ID: <${letter.messageId}>`]),
    `Date: ${new Date(letter.atMs).toUTCString().replace('GMT', '+0000')}`,
    `From: ${letter.from}`,
    `To: ${letter.to}`,
    `Subject: ${encodedSubject(letter.subject)}`,
    ...(letter.extraHeaders ?? []),
    'MIME-Version: 1.0',
    attachments.length === 0 ? 'Content-Type: text/plain; charset=utf-8' : `Content-Type: multipart/mixed; boundary="${boundary}"`,
  ]
  const parts: Uint8Array[] = [Buffer.from(`${headers.join('\r\n')}\r\n\r\n`)]
  if (attachments.length > 0) parts.push(Buffer.from(`--${boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n`))
  parts.push(...slicesOf(textFiller, letter.textBytes))
  for (const { name, type, sizeBytes, content } of attachments) {
    const head = `\r\n--${boundary}\r\nContent-Type: ${type}; name="${name}"\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename="${name}"\r\n\r\n`
    parts.push(Buffer.from(head))
    if (content === undefined) parts.push(...slicesOf(base64Filler, base64Length(sizeBytes)))
    else parts.push(Buffer.from(`${Buffer.from(content).toString('base64')}\r\n`))
  }
  if (attachments.length > 0) parts.push(Buffer.from(`\r\n--${boundary}--\r\n`))
  return { parts, sizeBytes: parts.reduce((sum, part) => sum + part.length, 0) }
}

/** RFC 2047, in words short enough for its limit of 75; plain text stays as it is. */
export function encodedSubject(subject: string): string {
  if (/^[\x20-\x7e]*$/.test(subject)) return subject
  const words: string[] = []
  let word = ''
  for (const character of subject) {
    if (Buffer.byteLength(word + character) > 42) {
      words.push(word)
      word = ''
    }
    word += character
  }
  return [...words, word].map((text) => `=?utf-8?B?${Buffer.from(text).toString('base64')}?=`).join('\r\n ')
}

const lineBytes = 78
const fillerLines = 840

/** Whole lines, and a last shorter one, so that the body has exactly the wanted length. */
function slicesOf(filler: Buffer, wantedBytes: number): Buffer[] {
  const slices: Buffer[] = []
  let rest = Math.max(2, Math.round(wantedBytes))
  for (; rest >= filler.length; rest -= filler.length) slices.push(filler)
  const tail = rest - (rest % lineBytes)
  if (tail > 0) slices.push(filler.subarray(0, tail))
  if (rest % lineBytes >= 2) slices.push(filler.subarray(lineBytes - (rest % lineBytes), lineBytes))
  return slices
}

function base64Length(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 57) * lineBytes
}

const words =
  'the of and to in we for is on that with as it at our by you this be from have your not or are an will can all please ' +
  'meeting project report week team order delivery offer price customer contract invoice plan question answer number date'

const textFiller = fillerOf((line) => {
  const list = words.split(' ')
  let text = ''
  for (let index = line * 7; text.length < 76; index += 1 + (line % 3)) text += `${list[index % list.length]!} `
  return text.slice(0, 76)
})

const base64Filler = fillerOf((line) => Buffer.from(Array.from({ length: 57 }, (_, index) => (line * 131 + index * 197) % 251)).toString('base64'))

function fillerOf(line: (index: number) => string): Buffer {
  return Buffer.from(Array.from({ length: fillerLines }, (_, index) => `${line(index)}\r\n`).join(''))
}
