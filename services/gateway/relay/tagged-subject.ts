/**
 * The mark in the subject: `[SPAM] ` before what the sender wrote.
 *
 * Owns    the Subject fields of a header block: every one, since mail programs disagree on which of two counts.
 * Why     the sender's octets stay as they are, encoded words and folds included: the tag is put in front of them.
 *         A subject that already carries the tag keeps it once, in replies and after a second gateway too.
 */
import libmime from 'libmime'

const maxLineBytes = 998

/** `octets` begin with a header block; the tag is printable text without line ends. */
export function withTaggedSubject(octets: Buffer, tag: string): Buffer {
  const cleanTag = tag.replace(/[\r\n\0]+/g, ' ').trim()
  if (cleanTag === '') return octets
  const parts: Buffer[] = []
  let copiedUpto = 0
  let hasSubject = false
  for (const field of fieldsOf(octets)) {
    const colon = octets.indexOf(0x3a, field.from)
    hasSubject = true
    const value = octets.toString('utf8', colon + 1, field.upto)
    if (decoded(value).includes(cleanTag)) continue
    parts.push(octets.subarray(copiedUpto, colon + 1), Buffer.from(tagBefore(cleanTag, value, colon - field.from + 1)))
    copiedUpto = colon + 1
  }
  if (!hasSubject) parts.push(Buffer.from(`Subject: ${encodedTag(cleanTag, false)}\r\n`))
  if (parts.length === 0) return octets
  parts.push(octets.subarray(copiedUpto))
  return Buffer.concat(parts)
}

/** The Subject fields with their folded lines, each up to its last line end. */
function* fieldsOf(octets: Buffer): Generator<{ from: number; upto: number }> {
  let from = 0
  let subjectFrom = -1
  while (from < octets.length) {
    const end = octets.indexOf(0x0a, from)
    const upto = end < 0 ? octets.length : end + 1
    const first = octets[from]!
    const isFolded = first === 0x20 || first === 0x09
    if (!isFolded) {
      if (subjectFrom >= 0) yield { from: subjectFrom, upto: from }
      subjectFrom = /^subject[ \t]*:/i.test(octets.toString('latin1', from, Math.min(upto, from + 40))) ? from : -1
      if (first === 0x0d || first === 0x0a) return
    }
    from = upto
  }
  if (subjectFrom >= 0) yield { from: subjectFrom, upto: octets.length }
}

function decoded(value: string): string {
  return libmime.decodeWords(value.replace(/\r?\n(?=[ \t])/g, '').trim())
}

/** What goes between the colon and the value as it stands. */
function tagBefore(tag: string, value: string, nameBytes: number): string {
  const startsEncoded = /^\s*=\?[^?\s]+\?[bq]\?/i.test(value)
  const word = encodedTag(tag, startsEncoded)
  const separator = /^[ \t\r\n]/.test(value) ? '' : ' '
  const firstLineBytes = nameBytes + Buffer.byteLength(word) + 2 + Buffer.byteLength(value.split('\n', 1)[0]!)
  return firstLineBytes > maxLineBytes ? ` ${word}\r\n${separator}` : ` ${word}${separator}`
}

/** White space between two encoded words is not shown (RFC 2047 §6.2), so the blank then goes into ours. */
function encodedTag(tag: string, isBeforeEncodedWord: boolean): string {
  if (/^[\x20-\x7e]*$/.test(tag)) return tag
  return libmime.encodeWord(isBeforeEncodedWord ? `${tag} ` : tag, 'B')
}
