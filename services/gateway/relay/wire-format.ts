/**
 * A message as it goes over the wire: lines end in CRLF and nothing else, lines that begin with a dot get another.
 *
 * Why  the session already refuses or normalises bare CR and LF; doing it here too means that whatever is in the
 *      spool, the next hop sees one end of data and it is ours.
 */

const cr = 0x0d
const lf = 0x0a
const dot = 0x2e
const crBuffer = Buffer.from('\r')
const lfBuffer = Buffer.from('\n')
const dotBuffer = Buffer.from('.')

/** Takes the message in pieces of any size; `push` returns buffers that may be parts of the piece itself. */
export class WireFormat {
  #previous = lf
  #isLineStart = true

  push(octets: Buffer): Buffer[] {
    const parts: Buffer[] = []
    let copiedUpto = 0
    let previous = this.#previous
    let isLineStart = this.#isLineStart
    const insert = (before: number, octet: Buffer) => {
      if (before > copiedUpto) parts.push(octets.subarray(copiedUpto, before))
      parts.push(octet)
      copiedUpto = before
    }
    for (let index = 0; index < octets.length; index += 1) {
      const octet = octets[index]!
      if (octet > dot) {
        // Most octets: nothing to look at but a bare CR before it.
        if (previous === cr) insert(index, lfBuffer)
        isLineStart = false
        previous = octet
        continue
      }
      if (octet === lf) {
        if (previous !== cr) insert(index, crBuffer)
        isLineStart = true
      } else {
        if (previous === cr) {
          insert(index, lfBuffer)
          isLineStart = true
        }
        if (octet === dot && isLineStart) insert(index, dotBuffer)
        isLineStart = false
      }
      previous = octet
    }
    this.#previous = previous
    this.#isLineStart = isLineStart
    if (copiedUpto === 0 && parts.length === 0) return [octets]
    if (copiedUpto < octets.length) parts.push(octets.subarray(copiedUpto))
    return parts
  }

  /** What ends the data: the dot line, after whatever the last line lacks. */
  end(): string {
    if (this.#previous === cr) return '\n.\r\n'
    return this.#isLineStart ? '.\r\n' : '\r\n.\r\n'
  }
}
