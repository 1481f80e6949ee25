/**
 * The end-of-data scanner: turns what follows 354 into the octets of one message (RFC 5321 §4.1.1.4, §4.5.2), and
 * chunks of BDAT, whose end is told beforehand, into the same.
 *
 * Owns    the end of data, dot-unstuffing, and what a message's octets are; across any split into packets.
 * Leaves  size limits, storing and the reply to the session.
 * Limits  holds no octets between chunks: a state of five values and the counters are all that is carried.
 * Why     exactly CRLF.CRLF ends a message, nothing that looks like it: a lenient scanner beside a strict one is
 *         how mail is smuggled. Every octet search is native; only the few octets behind a line end are looked at.
 */

export type LineEndPolicy = 'strict' | 'normalise'
export type DataFlaw = 'bare-lf' | 'bare-cr' | 'nul'

/** What one chunk added: message octets (possibly none), how much of the chunk was used, whether it was the end. */
export type ScannedChunk = { octets: Buffer; consumedBytes: number; isEnd: boolean }

const LF = 10
const CR = 13
const DOT = 46
const crOctet = Buffer.from('\r')
const lfOctet = Buffer.from('\n')

/** Where the next octet stands. */
type Place = 'in-line' | 'line-start' | 'after-cr' | 'after-dot' | 'after-dot-cr'

export class DataScanner {
  /** Octets of the message so far, line ends included, without dot-stuffing and the final dot line (RFC 1870). */
  messageBytes = 0
  /** In order of their first appearance; under `normalise` they are mended, not listed. */
  readonly flaws: DataFlaw[] = []
  readonly #isStrict: boolean
  /** The end comes by number: a dot is a dot. */
  readonly #isCounted: boolean
  #place: Place = 'line-start'

  constructor(lineEnds: LineEndPolicy, framing: 'dots' | 'counted' = 'dots') {
    this.#isCounted = framing === 'counted'
    this.#isStrict = lineEnds === 'strict'
  }

  scan(chunk: Buffer): ScannedChunk {
    const parts = new Parts(chunk)
    const end = chunk.length
    let at = 0
    let nextCr = -2
    let nextLf = -2
    let isEnd = false
    if (!this.#isStrict) parts.dropAll(0)

    scanning: while (at < end) {
      switch (this.#place) {
        case 'line-start':
          if (this.#isCounted || chunk[at] !== DOT) {
            this.#place = 'in-line'
            continue
          }
          // The dot is stuffing or the end; in neither case is it part of the message.
          parts.drop(at, at + 1)
          at += 1
          this.#place = 'after-dot'
          continue
        case 'after-dot':
          if (chunk[at] === CR) {
            // Whether this CR is content shows with the next octet.
            parts.drop(at, at + 1)
            at += 1
            this.#place = 'after-dot-cr'
          } else {
            this.#place = 'in-line'
          }
          continue
        case 'after-dot-cr':
          if (chunk[at] === LF) {
            parts.drop(at, at + 1)
            at += 1
            isEnd = true
            break scanning
          }
          parts.insert(at, crOctet)
          this.#place = 'after-cr'
          continue
        case 'after-cr':
          if (chunk[at] === LF) {
            at += 1
            this.#place = 'line-start'
          } else {
            this.#meet('bare-cr')
            // Mended to CRLF, but no line start: a client that stuffs dots does so after its own line ends only.
            if (!this.#isStrict) parts.insert(at, lfOctet)
            this.#place = 'in-line'
          }
          continue
        case 'in-line': {
          if (nextLf < at && nextLf !== -1) nextLf = chunk.indexOf(LF, at)
          if (nextCr < at && nextCr !== -1) nextCr = chunk.indexOf(CR, at)
          if (nextCr >= 0 && nextCr === nextLf - 1) {
            at = nextLf + 1
            this.#place = 'line-start'
          } else if (nextCr >= 0 && (nextLf < 0 || nextCr < nextLf)) {
            at = nextCr + 1
            this.#place = 'after-cr'
          } else if (nextLf >= 0) {
            this.#meet('bare-lf')
            if (!this.#isStrict) parts.insert(nextLf, crOctet)
            at = nextLf + 1
          } else {
            at = end
          }
          continue
        }
      }
    }
    if (this.#isStrict) {
      const nul = chunk.indexOf(0)
      if (nul >= 0 && nul < at) this.#meet('nul')
    }
    const octets = parts.upto(at)
    this.messageBytes += octets.length
    return { octets, consumedBytes: at, isEnd }
  }

  /** Behind the last counted octet: what its last line lacks, where that is to be mended. */
  end(): Buffer {
    if (this.#place !== 'after-cr') return Buffer.alloc(0)
    this.#meet('bare-cr')
    if (this.#isStrict) return Buffer.alloc(0)
    this.messageBytes += 1
    return lfOctet
  }

  #meet(flaw: DataFlaw): void {
    if (this.#isStrict && !this.flaws.includes(flaw)) this.flaws.push(flaw)
  }
}

/** Collects what is kept of a chunk: the chunk itself where nothing changes, else one new buffer. */
class Parts {
  readonly #chunk: Buffer
  readonly #parts: Buffer[] = []
  /** Places of octets that are left out wherever they stand, and how many of them are behind us. */
  readonly #unwanted: number[] = []
  #unwantedPassed = 0
  #keptUpto = 0

  constructor(chunk: Buffer) {
    this.#chunk = chunk
  }

  dropAll(octet: number): void {
    for (let at = this.#chunk.indexOf(octet); at >= 0; at = this.#chunk.indexOf(octet, at + 1))
      this.#unwanted.push(at)
  }

  drop(from: number, upto: number): void {
    this.#keep(from)
    this.#keptUpto = upto
  }

  insert(at: number, octets: Buffer): void {
    this.#keep(at)
    this.#parts.push(octets)
  }

  upto(end: number): Buffer {
    this.#keep(end)
    if (this.#parts.length === 0) return this.#chunk.subarray(0, 0)
    return this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
  }

  #keep(upto: number): void {
    while (this.#unwantedPassed < this.#unwanted.length && this.#unwanted[this.#unwantedPassed]! < upto) {
      const at = this.#unwanted[this.#unwantedPassed]!
      this.#unwantedPassed += 1
      if (at > this.#keptUpto) this.#parts.push(this.#chunk.subarray(this.#keptUpto, at))
      this.#keptUpto = at + 1
    }
    if (upto > this.#keptUpto) this.#parts.push(this.#chunk.subarray(this.#keptUpto, upto))
    this.#keptUpto = upto
  }
}
