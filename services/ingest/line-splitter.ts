/**
 * Cuts a stream of octets into lines at LF.
 *
 * Limits  a line longer than `maxLineBytes` is kept up to that length and counted; memory stays bounded.
 * Why     on octets, so that positions are those of the file and a line of broken UTF-8 is kept whole.
 */
import { maxLineBytes } from '../contracts/event.ts'

export type Line = {
  /** Without the LF. */
  octets: Buffer
  /** Where it begins in the file. */
  positionBytes: number
  /** Its whole length; more than `octets.length` where it was cut. */
  lengthBytes: number
}

const lf = 0x0a

export class LineSplitter {
  #parts: Buffer[] = []
  #keptBytes = 0
  #lineStart: number
  #position: number

  constructor(startBytes = 0) {
    this.#lineStart = startBytes
    this.#position = startBytes
  }

  /** Where the first line begins that is not complete yet: everything before it was given out. */
  get completeBytes(): number {
    return this.#lineStart
  }

  push(chunk: Buffer): Line[] {
    const lines: Line[] = []
    let from = 0
    for (let at = chunk.indexOf(lf); at !== -1; at = chunk.indexOf(lf, from)) {
      this.#keep(chunk.subarray(from, at))
      this.#position += at - from
      lines.push(this.#take())
      this.#position += 1
      this.#lineStart = this.#position
      from = at + 1
    }
    this.#keep(chunk.subarray(from))
    this.#position += chunk.length - from
    return lines
  }

  /** What stands after the last LF, or `null`. */
  rest(): Line | null {
    return this.#position === this.#lineStart ? null : this.#take()
  }

  #keep(part: Buffer): void {
    const kept = part.subarray(0, maxLineBytes - this.#keptBytes)
    if (kept.length === 0) return
    this.#parts.push(kept)
    this.#keptBytes += kept.length
  }

  #take(): Line {
    const octets = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#keptBytes)
    this.#parts = []
    this.#keptBytes = 0
    return { octets, positionBytes: this.#lineStart, lengthBytes: this.#position - this.#lineStart }
  }
}
