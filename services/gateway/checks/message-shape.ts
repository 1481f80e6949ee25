/**
 * Tells messages whose canonicalisation would cost far more than their size: lists of lines that are copied for each
 * line, buffers for each blank line, patterns that begin anew at each octet.
 */
const headerBytesLimit = 64 * 1024
const headerLineLimit = 2_000
const fieldBytesLimit = 4 * 1024
const lineBytesLimit = 256 * 1024
const blankLineLimit = 100_000

const LF = 10
const isBlank = (octet: number): boolean => octet === 32 || octet === 9 || octet === 13

export type HeaderPart = 'more' | 'too long' | { head: Buffer; body: Buffer }

/** Gathers the header section with the empty line behind it. */
export class HeaderPiece {
  #octets: Buffer = Buffer.alloc(0)

  get octets(): Buffer {
    return this.#octets
  }

  take(octets: Uint8Array): HeaderPart {
    const searchFrom = Math.max(0, this.#octets.length - 3)
    this.#octets = this.#octets.length === 0 ? Buffer.from(octets) : Buffer.concat([this.#octets, octets])
    const startsBlank = this.#octets[0] === 13 && this.#octets[1] === LF
    const end = startsBlank ? 2 : this.#octets.indexOf('\r\n\r\n', searchFrom) + 4
    if (end > headerBytesLimit || (end < 4 && !startsBlank && this.#octets.length > headerBytesLimit))
      return 'too long'
    return end < 4 && !startsBlank
      ? 'more'
      : { head: this.#octets.subarray(0, end), body: this.#octets.subarray(end) }
  }
}

/** What makes a header section unfit, or `null`. */
export function headerFault(head: Buffer): string | null {
  const lines = head.toString('latin1').split('\n')
  if (lines.length > headerLineLimit) return 'the header has too many lines'
  let fieldBytes = 0
  let isRead = false
  for (const line of lines) {
    if (line === '\r') break
    if (!/^\s/.test(line)) {
      fieldBytes = 0
      isRead = /^(from|dkim-signature|content-type|return-path|arc-[a-z-]+)\s*:/i.test(line)
    }
    fieldBytes += line.length
    if (isRead && fieldBytes > fieldBytesLimit) return 'a field of the header is too long'
  }
  return null
}

/** Watches the body go by. */
export class BodyShape {
  #lineBytes = 0
  #isLineBlank = true
  #blankLines = 0

  /** What makes it unfit, or `null`. */
  take(octets: Uint8Array): string | null {
    for (let at = 0; at < octets.length; at += 1) {
      const octet = octets[at]!
      if (octet !== LF) {
        this.#lineBytes += 1
        if (!isBlank(octet)) this.#isLineBlank = false
        continue
      }
      this.#blankLines = this.#isLineBlank ? this.#blankLines + 1 : 0
      if (this.#blankLines > blankLineLimit) return 'too many blank lines'
      if (this.#lineBytes > lineBytesLimit) return 'a line is too long'
      this.#lineBytes = 0
      this.#isLineBlank = true
    }
    return this.#lineBytes > lineBytesLimit ? 'a line is too long' : null
  }
}
