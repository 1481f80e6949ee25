/**
 * Takes the octets of one message as they arrive and feeds all who want them: spool, digest, header, MIME walk.
 *
 * Owns    what the message is (octets, size, digest, header fields, attachments) once its end is seen.
 * Leaves  what to answer to the session; refusing to whoever asks `flaw`.
 * Limits  after `maxBytes`, or the first flaw, octets are only counted: nothing more is kept or hashed.
 */
import { createHash, type Hash } from 'node:crypto'
import type { Attachment } from '../../contracts/event.ts'
import type { SpooledMessage } from '../spool/spool-contract.ts'
import { DataScanner, type DataFlaw, type LineEndPolicy } from './data-scanner.ts'
import { HeaderCollector, parseHeaderSection, type HeaderField } from './header-section.ts'
import { MimeWalk } from './mime-walk.ts'

export type Received = {
  consumedBytes: number
  isEnd: boolean
  /** Wait for it before the next chunk. */ wait: Promise<void> | null
}

export class MessageReceiver {
  readonly spooled: SpooledMessage
  /** The disk failed while the message came in. */
  spoolFailure: Error | null = null
  readonly #scanner: DataScanner
  readonly #header: HeaderCollector
  readonly #maxBytes: number
  readonly #hash: Hash = createHash('sha256')
  #mime: MimeWalk | null = null
  #fields: HeaderField[] | null = null
  #isDropped = false

  constructor(
    spooled: SpooledMessage,
    options: { lineEnds: LineEndPolicy; framing?: 'dots' | 'counted'; maxBytes: number; headerSectionBytes: number },
  ) {
    this.spooled = spooled
    this.#scanner = new DataScanner(options.lineEnds, options.framing)
    this.#header = new HeaderCollector(options.headerSectionBytes)
    this.#maxBytes = options.maxBytes
  }

  get messageBytes(): number {
    return this.#scanner.messageBytes
  }

  get isTooLarge(): boolean {
    return this.#scanner.messageBytes > this.#maxBytes
  }

  get flaw(): DataFlaw | null {
    return this.#scanner.flaws[0] ?? null
  }

  get isHeaderComplete(): boolean {
    return this.#header.isComplete
  }

  get isHeaderCut(): boolean {
    return this.#header.isCut
  }

  /** The header fields, as far as they came. */
  get fields(): readonly HeaderField[] {
    return this.#fields ?? parseHeaderSection(this.#header.section())
  }

  get attachments(): readonly Attachment[] {
    return this.#mime?.attachments ?? []
  }

  receive(chunk: Buffer): Received {
    const before = this.#scanner.messageBytes
    const { octets, consumedBytes, isEnd } = this.#scanner.scan(chunk)
    const wait = octets.length > 0 ? this.#take(octets, before) : null
    if (isEnd) this.#mime?.end()
    return { consumedBytes, isEnd, wait }
  }

  /** Behind the last counted chunk. A promise: wait for it. */
  end(): Promise<void> | null {
    const before = this.#scanner.messageBytes
    const octets = this.#scanner.end()
    const wait = octets.length > 0 ? this.#take(octets, before) : null
    if (this.flaw !== null) this.drop()
    this.#mime?.end()
    return wait
  }

  #take(octets: Buffer, offset: number): Promise<void> | null {
    this.#readStructure(octets, offset)
    if (this.#isDropped || this.flaw !== null || this.isTooLarge || this.spoolFailure !== null) {
      this.drop()
      return null
    }
    this.#hash.update(octets)
    return this.#spool(octets)
  }

  /** sha256 of the message. Once, after its end. */
  digest(): string {
    return this.#hash.digest('hex')
  }

  /** Keeps nothing of this message, before or after its end. */
  drop(): void {
    if (this.#isDropped) return
    this.#isDropped = true
    this.spooled.abort()
  }

  #spool(octets: Buffer): Promise<void> | null {
    const written = this.spooled.write(octets)
    if (written === undefined) return null
    return written.catch((error: Error) => {
      this.spoolFailure = error
    })
  }

  #readStructure(octets: Buffer, offset: number): void {
    if (!this.#header.isComplete) {
      this.#header.write(octets)
      if (!this.#header.isComplete) return
      this.#fields = parseHeaderSection(this.#header.section())
      this.#mime = new MimeWalk(this.#fields)
      const end = this.#header.endBytes!
      this.#mime.write(octets.subarray(Math.max(0, end - offset)))
    } else if (!this.#isDropped) this.#mime?.write(octets)
  }
}
