/**
 * Puts the lines of each message together again, over files in any order.
 *
 * Owns    which lines are one thread, what is unfinished where a file ends, and that a line that is read again is
 *         recognised.
 * Leaves  what a line says and a thread means to the adapter of its format; storing to store-mta.ts.
 * Why     an unfinished thread is its raw lines. They are carried to the next file, or the next run, and read again
 *         there. A line that is already among them is the same line of a copy. Lines whose thread began before the
 *         file wait until the file with its beginning is read; nothing is made of them before.
 * Limits  in memory are the threads that are not finished: the queue of the MTA. What no line spoke of for
 *         `mostSilenceMs` of log time, and after another file, is given up: a message as far as it is known, lines
 *         without a beginning as not understood.
 */
import { hash } from 'node:crypto'
import type { TollgateEvent } from '../../contracts/event.ts'
import type { LogClock } from './log-clock.ts'
import { unknown, type LineFrame, type MtaSource, type ReadLine, type ThreadLine } from './mta-line.ts'

export type Applied = 'open' | 'finished' | 'orphan'
export type Emit = (event: TollgateEvent) => void

/** What a format makes of the lines of one message or session. */
export interface MtaThread {
  /** `finished`: no more lines are expected. `orphan`: it did not begin with its first line after all. */
  apply(line: ThreadLine, emit: Emit): Applied
  /** Nothing more will come: events as far as they are known. `by`: the line of another that shows it. */
  giveUp(emit: Emit, by?: ThreadLine): void
  /** Of a session: the lines that belong to the message that begins now. */
  takeContext?(): readonly ThreadLine[]
}

export type MtaAdapter = {
  source: MtaSource
  frame(raw: string): LineFrame | null
  read(frame: LineFrame, raw: string, timeMs: number): ReadLine
  /** `line` is the first of the thread's own, and is not applied yet. */
  openThread(line: ThreadLine, links: ThreadLinks): MtaThread
}

export type ThreadLinks = {
  /** Hands a line on to another open thread, which keeps it. */
  send(key: string, line: ThreadLine): void
  /** Which of the equal lines of this moment it is, from 0. */
  ordinalOf(line: ThreadLine): number
}

/** Time, line, and whether the line is the thread's own and not handed on from its session. */
export type CarriedLine = readonly [timeMs: number, raw: string, isOwn: boolean, digest: string]
export type CarriedThread = { key: string; host: string; hasBeginning: boolean; lines: CarriedLine[] }

type OpenThread = { key: string; host: string; thread: MtaThread; lines: CarriedLine[]; lastMs: number; unmatched: Map<string, number> }

/** After so long without a line a session is over, whatever its end was. Postfix itself waits for five minutes. */
const sessionSilenceMs = 3_600_000
/** Longer than any MTA tries to deliver. */
export const mostSilenceMs = 30 * 86_400_000
const dayMs = 86_400_000

export type AssemblerOptions = {
  nowMs?: () => number
  /** The line without the addresses that were erased after it was written. */
  clean?: (raw: string, timeMs: number) => string
  /** Lines whose beginning never came. */
  onForsaken?: (lines: readonly CarriedLine[]) => void
}

type Tail = CarriedThread & { digests: Set<string> }

export class Assembler {
  readonly #adapter: MtaAdapter
  readonly #clock: LogClock
  readonly #emit: Emit
  readonly #options: AssemblerOptions
  #open = new Map<string, OpenThread>()
  /** Unfinished ones of earlier files that no line of this file spoke of yet. */
  #heads = new Map<string, CarriedThread>()
  #tails = new Map<string, Tail>()
  /** Those that waited already when this file began. */
  #waited = new Set<string>()
  /** Sessions that began after the first line of this file: it may be a copy in which they are read again. */
  #aside = new Map<string, CarriedThread>()
  #hostsOfFile = new Set<string>()
  #ordinals = new Map<string, number>()
  #ordinalMs = 0
  #newestMs = new Map<string, number>()
  #changed = new Set<string>()

  constructor(adapter: MtaAdapter, clock: LogClock, emit: Emit, carried: readonly CarriedThread[] = [], options: AssemblerOptions = {}) {
    this.#adapter = adapter
    this.#clock = clock
    this.#emit = emit
    this.#options = options
    for (const thread of carried) {
      if (thread.hasBeginning) this.#heads.set(thread.key, thread)
      else this.#tails.set(thread.key, { ...thread, digests: new Set(thread.lines.map(([timeMs, , , digest]) => `${timeMs} ${digest}`)) })
    }
    this.#waited = new Set(this.#tails.keys())
  }

  /** What the line is; threads are told of theirs. */
  push(raw: string): ReadLine {
    const frame = this.#adapter.frame(raw)
    if (frame === null) return unknown('no-format')
    const timeMs = this.#clock.timeMsOf(frame.stamp)
    if (timeMs === null) return unknown('no-time')
    const clean = this.#options.clean?.(raw, timeMs) ?? raw
    const read = this.#adapter.read(clean === raw ? frame : (this.#adapter.frame(clean) ?? frame), clean, timeMs)
    if (read.is === 'unknown') return read
    if (!this.#hostsOfFile.has(frame.host)) this.#beginHost(frame.host, timeMs)
    // One line of a clock that ran ahead makes nothing old.
    const isPossible = timeMs <= (this.#options.nowMs ?? Date.now)() + dayMs
    if (isPossible && timeMs > (this.#newestMs.get(frame.host) ?? 0)) this.#newestMs.set(frame.host, timeMs)
    if (read.is === 'thread') this.#routeAll({ ...read.line, digest: digestOf(raw) })
    return read
  }

  /** Newest time by host, of the lines that were understood. */
  get newestMs(): ReadonlyMap<string, number> {
    return this.#newestMs
  }

  /** A file ends: what waited for its beginning may have it now. `isFinal`: no other file tells more. */
  endFile(isFinal: boolean): void {
    // A copy that follows has the same lines, and must find the same ordinals.
    this.#ordinals.clear()
    for (const [key, open] of this.#open) this.#heads.set(key, headOf(open))
    this.#open.clear()
    for (const [key, session] of this.#aside) if (!this.#heads.has(key)) this.#heads.set(key, session)
    this.#aside.clear()
    this.#hostsOfFile.clear()
    for (const tail of [...this.#tails.values()]) {
      const head = this.#heads.get(tail.key)
      inOrderOfTime(tail)
      if (head === undefined || head.lines.at(-1)![0] > tail.lines[0]![0]) continue
      this.#tails.delete(tail.key)
      this.#changed.add(tailKey(tail.key))
      for (const line of tail.lines) {
        const read = this.#readAgain(line)
        if (read !== null) this.#routeAll(read)
      }
    }
    for (const [key, open] of this.#open) this.#heads.set(key, headOf(open))
    this.#open.clear()
    for (const head of [...this.#heads.values()]) {
      if (isFinal || this.#isSilent(head)) this.#giveUp(head)
    }
    for (const key of this.#waited) this.#forsakeIfOld(key)
    this.#waited = new Set(this.#tails.keys())
  }

  /** The unfinished threads that are not as they were last time, and the keys of those that are gone. */
  takeChanges(): { stored: CarriedThread[]; removed: { key: string; hasBeginning: boolean }[] } {
    const stored: CarriedThread[] = []
    const removed: { key: string; hasBeginning: boolean }[] = []
    for (const changed of this.#changed) {
      const hasBeginning = changed.startsWith('h')
      const key = changed.slice(1)
      const open = hasBeginning ? this.#open.get(key) : undefined
      const thread = open !== undefined ? headOf(open) : hasBeginning ? (this.#heads.get(key) ?? this.#aside.get(key)) : this.#tails.get(key)
      if (thread !== undefined && !hasBeginning) inOrderOfTime(thread)
      if (thread === undefined) removed.push({ key, hasBeginning })
      else stored.push(thread)
    }
    this.#changed.clear()
    return { stored, removed }
  }

  /** How many messages wait for later lines, and how many lines for the beginning of their message. */
  get unfinished(): { threadCount: number; lineCount: number } {
    let lineCount = 0
    for (const tail of this.#tails.values()) lineCount += tail.lines.length
    return { threadCount: this.#open.size + this.#heads.size + this.#aside.size, lineCount }
  }

  /** A line of a message may tell something to its session as well, and that after the message has begun. */
  #routeAll(line: ThreadLine): void {
    this.#route(line)
    if (line.session !== null && line.session !== line.key) this.#route({ ...line, key: line.session, begins: 'alone' })
  }

  #route(line: ThreadLine): void {
    const { key } = line
    let open = this.#open.get(key) ?? this.#resumed(line)
    if (open !== undefined && isMatched(open, line.digest)) return
    if (open !== undefined && (line.begins === 'always' || isOverdue(open, line))) {
      open.thread.giveUp(this.#emit, line)
      this.#forget(key)
      open = undefined
    }
    if (open === undefined) {
      if (line.begins === 'never' || (line.begins === 'alone' && this.#tails.has(key))) {
        this.#keepTail(key, line.host, [line.timeMs, line.raw, true, line.digest])
        return
      }
      open = this.#opened(line)
    }
    this.#apply(open, line, true)
  }

  #opened(line: ThreadLine): OpenThread {
    const links = this.#links()
    const thread = this.#adapter.openThread(line, links)
    const open: OpenThread = { key: line.key, host: line.host, thread, lines: [], lastMs: line.timeMs, unmatched: new Map() }
    this.#open.set(line.key, open)
    if (this.#aside.get(line.key)?.lines[0]![3] === line.digest) this.#aside.delete(line.key)
    for (const earlier of this.#contextFor(line)) this.#apply(open, earlier, false)
    return open
  }

  #contextFor(line: ThreadLine): readonly ThreadLine[] {
    if (line.session === null || line.session === line.key) return []
    const session = this.#open.get(line.session) ?? this.#resumed({ ...line, key: line.session, begins: 'alone' })
    return session?.thread.takeContext?.() ?? []
  }

  /** `isReading()`: while carried lines are read again, nothing is handed on: it was when they came. */
  #links(isReading: () => boolean = () => false): ThreadLinks {
    return {
      send: (key, line) => {
        if (isReading()) return
        const open = this.#open.get(key) ?? this.#resumed({ ...line, key, begins: 'never' })
        if (open !== undefined && !isMatched(open, line.digest)) this.#apply(open, line, false)
      },
      ordinalOf: (line) => {
        if (line.timeMs !== this.#ordinalMs) this.#ordinals.clear()
        this.#ordinalMs = line.timeMs
        const ordinal = this.#ordinals.get(line.digest) ?? 0
        this.#ordinals.set(line.digest, ordinal + 1)
        return ordinal
      },
    }
  }

  #apply(open: OpenThread, line: ThreadLine, isOwn: boolean): void {
    open.lines.push([line.timeMs, line.raw, isOwn, line.digest])
    open.lastMs = Math.max(open.lastMs, line.timeMs)
    this.#changed.add(headKey(open.key))
    const applied = open.thread.apply(line, this.#emit)
    if (applied === 'open') return
    this.#forget(open.key)
    if (applied === 'orphan') for (const kept of open.lines) this.#keepTail(open.key, open.host, kept)
  }

  #forget(key: string): void {
    this.#open.delete(key)
    this.#changed.add(headKey(key))
  }

  /** The thread of an earlier file that this line goes on with; it must not have begun after the line. */
  #resumed(line: ThreadLine): OpenThread | undefined {
    const head = this.#heads.get(line.key)
    if (head === undefined || head.lines[0]![0] > line.timeMs) return undefined
    // One that begins in the same second may be an earlier one of the same process, in a copy that is read again.
    if (line.begins === 'always' && head.lines[0]![0] === line.timeMs && !head.lines.some(([, , , digest]) => digest === line.digest)) return undefined
    return this.#resume(head)
  }

  #resume(head: CarriedThread): OpenThread | undefined {
    this.#heads.delete(head.key)
    const own = head.lines.find(([, , isOwn]) => isOwn) ?? head.lines[0]!
    const first = this.#readAgain(own)
    if (first === null) return undefined
    let isReading = true
    const thread = this.#adapter.openThread({ ...first, key: head.key }, this.#links(() => isReading))
    const open: OpenThread = {
      key: head.key, host: head.host, thread, lines: [...head.lines], lastMs: head.lines.at(-1)![0], unmatched: new Map(),
    }
    this.#open.set(head.key, open)
    for (const carried of head.lines) {
      const line = this.#readAgain(carried)
      // Its events are stored already: they went with the lines, in one transaction.
      if (line !== null) thread.apply(line, () => {})
      open.unmatched.set(carried[3], (open.unmatched.get(carried[3]) ?? 0) + 1)
    }
    isReading = false
    return open
  }

  #readAgain([timeMs, raw, , digest]: CarriedLine): ThreadLine | null {
    const frame = this.#adapter.frame(raw)
    if (frame === null) return null
    const read = this.#adapter.read(frame, raw, timeMs)
    return read.is === 'thread' ? { ...read.line, digest } : null
  }

  #keepTail(key: string, host: string, line: CarriedLine): void {
    let tail = this.#tails.get(key)
    if (tail === undefined) this.#tails.set(key, (tail = { key, host, hasBeginning: false, lines: [], digests: new Set() }))
    const identity = `${line[0]} ${line[3]}`
    if (tail.digests.has(identity)) return
    tail.digests.add(identity)
    tail.lines.push(line)
    this.#changed.add(tailKey(key))
  }

  #forsakeIfOld(key: string): void {
    const tail = this.#tails.get(key)
    if (tail === undefined || (this.#newestMs.get(tail.host) ?? 0) - tail.lines.at(-1)![0] <= mostSilenceMs) return
    this.#tails.delete(key)
    this.#changed.add(tailKey(key))
    this.#options.onForsaken?.(tail.lines)
  }

  /**
   * A process serves many sessions in one second, with lines that are equal to the octet. Read again from a copy, each is
   * told from the others by its order alone, so that a carried one must not take the lines of those before it.
   */
  #beginHost(host: string, firstMs: number): void {
    this.#hostsOfFile.add(host)
    for (const [key, head] of this.#heads) {
      if (head.host !== host || head.lines[0]![0] <= firstMs || !this.#isSession(head)) continue
      this.#heads.delete(key)
      this.#aside.set(key, head)
      this.#changed.add(headKey(key))
    }
  }

  #isSession(head: CarriedThread): boolean {
    return this.#readAgain(head.lines[0]!)?.session === head.key
  }

  #isSilent(head: CarriedThread): boolean {
    const silenceMs = (this.#newestMs.get(head.host) ?? 0) - head.lines.at(-1)![0]
    return silenceMs > mostSilenceMs || (silenceMs > sessionSilenceMs && this.#isSession(head))
  }

  #giveUp(head: CarriedThread): void {
    const open = this.#resume(head)
    open?.thread.giveUp(this.#emit)
    this.#forget(head.key)
  }
}

/** Stable: lines of one second stay in the order of their file. */
function inOrderOfTime(tail: CarriedThread): void {
  if (tail.lines.some(([timeMs], index) => index > 0 && timeMs < tail.lines[index - 1]![0])) tail.lines.sort((a, b) => a[0] - b[0])
}

const digestOf = (raw: string): string => hash('sha256', raw, 'base64url').slice(0, 27)

const headKey = (key: string): string => `h${key}`
const tailKey = (key: string): string => `t${key}`

function headOf(open: OpenThread): CarriedThread {
  return { key: open.key, host: open.host, hasBeginning: true, lines: open.lines }
}

/** A session of the same process, so long ago that it must be over. */
function isOverdue(open: OpenThread, line: ThreadLine): boolean {
  return line.session === line.key && line.timeMs - open.lastMs > sessionSilenceMs
}

/** Whether the line is one that was carried, read again from a copy. */
function isMatched(open: OpenThread, digest: string): boolean {
  const count = open.unmatched.get(digest) ?? 0
  if (count === 0) return false
  open.unmatched.set(digest, count - 1)
  return true
}
