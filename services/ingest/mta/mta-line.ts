/**
 * The words that the adapters for other MTAs' logs share: a line, what it is, and a thread of lines.
 *
 * Why  a message is told by lines that stand far apart, in several files. All that a format must know is how one line
 *      reads and what a thread of lines means; finding the lines of a thread is the same for all (assembler.ts).
 */
import type { Source } from '../../contracts/vocabulary.ts'

export type MtaSource = Exclude<Source, 'tollgate'>

/** Why a line is not understood. Part of the kept reason: never renamed. */
export type UnknownReason = 'no-time' | 'no-format' | 'malformed' | 'ambiguous' | 'too-long' | 'no-beginning'

/** A line of one thread: of a message by its queue id, or of a session by its process. */
export type ThreadLine = {
  raw: string
  /** Of the line as it was written: an erasure may change `raw` while the line waits, and never who it is. */
  digest: string
  timeMs: number
  host: string
  /** Unique for the thread over all hosts. */
  key: string
  /**
   * Whether a thread begins with it: `always`; `alone`, where no thread of the key is open; or `never`: without an open
   * thread its beginning stands in an earlier file.
   */
  begins: 'always' | 'alone' | 'never'
  /** The session that the line tells of as well, or `null`. */
  session: string | null
  record: unknown
}

export type ReadLine =
  | { is: 'thread'; line: Omit<ThreadLine, 'digest'> }
  /** Known, and of no use here. */
  | { is: 'noise' }
  | { is: 'unknown'; reason: UnknownReason }

/** The frame of a line: its time as written, who wrote it, and the text. */
export type LineFrame = { stamp: string; host: string; program: string; text: string }

export const noise: ReadLine = { is: 'noise' }
export const unknown = (reason: UnknownReason): ReadLine => ({ is: 'unknown', reason })

/** A longer line is not read: no MTA writes one, and every step below is linear in this. */
export const maxMtaLineBytes = 65_536
