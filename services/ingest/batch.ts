/**
 * Lines on their way into the database: what one database transaction loads.
 *
 * Owns    decoding the lines as they come, and how much a batch holds.
 * Limits  two batches live at a time, one filled and one loaded: their buffers are used in turn.
 * Why     the rows are encoded here, while the batch before is being loaded: then the server never waits for us.
 */
import type { SegmentOpened } from '../contracts/event.ts'
import { CopyRows } from './copy-rows.ts'
import { isRejected, keptLine, type KeptLine, type LineDecoder, type RejectedLine } from './decode-line.ts'
import type { Line } from './line-splitter.ts'
import type { RecipientIds } from './recipient-id.ts'

/** How far a file is read, under the identity of its segment. Only saves reading again. */
export type SegmentPosition = {
  node: string
  boot: string
  segment: number
  previousSeq: number
  positionBytes: number
}

export type Batch = {
  lines: KeptLine[]
  rejected: RejectedLine[]
  /** The rows of all `lines`. */
  rows: CopyRows
  position: SegmentPosition | null
  fileName: string
}

export type BatchLimits = {
  events: number
  sizeBytes: number
  /**
   * Share of both for the first batch, doubled with each until it is whole: the database gets its first rows while the
   * rest is decoded. 1 where it is left out.
   */
  firstShare?: number
}

export type BatchBuilderOptions = {
  tenantId: string
  recipientIds: RecipientIds
  decode: LineDecoder
  limits: BatchLimits
  fileName: string
  /** The header of the file, where reading does not begin at it. */
  header: SegmentOpened | null
}

export class BatchBuilder {
  #options: BatchBuilderOptions
  #header: SegmentOpened | null
  /** Whether positions in this file are those of one segment. */
  #isOneSegment: boolean
  #sizeBytes = 0
  /** Of the limits, for the batch that is being filled. */
  #share: number
  #batch: Batch
  #otherRows: CopyRows

  constructor(options: BatchBuilderOptions) {
    this.#options = options
    this.#header = options.header
    this.#share = options.limits.firstShare ?? 1
    this.#isOneSegment = options.header !== null
    this.#batch = this.#emptyWith(new CopyRows(options.tenantId, options.recipientIds))
    this.#otherRows = new CopyRows(options.tenantId, options.recipientIds)
  }

  get isEmpty(): boolean {
    return this.#sizeBytes === 0
  }

  get isFull(): boolean {
    const { events, sizeBytes } = this.#options.limits
    const lineCount = this.#batch.lines.length + this.#batch.rejected.length
    return this.#sizeBytes >= sizeBytes * this.#share || lineCount >= events * this.#share
  }

  add(line: Line): void {
    this.#sizeBytes += line.octets.length + 64
    if (line.octets.length === 0 && line.lengthBytes === 0) return
    const decoded = this.#options.decode(line, { hasHeader: this.#header !== null })
    if (isRejected(decoded)) {
      this.#batch.rejected.push(decoded)
      return
    }
    if (decoded.event.kind === 'segment.opened') {
      const isFirst = line.positionBytes === 0
      this.#isOneSegment = isFirst || (this.#isOneSegment && isSameSegment(decoded.event, this.#header))
      this.#header = decoded.event
    }
    const fault = this.#batch.rows.add(decoded)
    if (fault === null) this.#batch.lines.push(keptLine(decoded))
    else this.#batch.rejected.push(rejectedRow(decoded, fault))
  }

  reject(line: RejectedLine): void {
    this.#sizeBytes += line.line.length + 64
    this.#batch.rejected.push(line)
  }

  /**
   * The batch so far; the one taken before must be loaded, for its rows are written over from now on.
   * `completeBytes`: everything in the file before it is in this batch or an earlier one.
   */
  take(completeBytes: number): Batch {
    const batch = this.#batch
    if (this.#isOneSegment && this.#header !== null) {
      const { node, boot, segment, previousSeq } = this.#header
      batch.position = { node, boot, segment, previousSeq, positionBytes: completeBytes }
    }
    this.#otherRows.clear()
    this.#batch = this.#emptyWith(this.#otherRows)
    this.#otherRows = batch.rows
    this.#sizeBytes = 0
    this.#share = Math.min(1, this.#share * 2)
    return batch
  }

  #emptyWith(rows: CopyRows): Batch {
    return { lines: [], rejected: [], rows, position: null, fileName: this.#options.fileName }
  }
}

export function rejectedRow(line: KeptLine, detail: string, reason: 'row' | 'conflict' = 'row'): RejectedLine {
  const { node, boot, seq } = line.event
  return { reason, detail, line: line.line, digest: line.digest, positionBytes: line.positionBytes, place: { node, boot, seq } }
}

function isSameSegment(header: SegmentOpened, other: SegmentOpened | null): boolean {
  return other !== null && header.node === other.node && header.boot === other.boot && header.segment === other.segment
}
