/** Sets of sequence numbers as sorted, half-open, disjoint ranges: int8multirange on this side of the wire. */

export type SeqRange = { from: number; upto: number }
export type SeqRanges = readonly SeqRange[]

/** Reads Postgres' text, `{[1,5),[7,9)}`; a multirange of int8 always arrives half-open. */
export function parseSeqRanges(text: string): SeqRanges {
  return Array.from(text.matchAll(/\[(\d+),(\d+)\)/g), (match) => ({ from: Number(match[1]), upto: Number(match[2]) }))
}

export function formatSeqRanges(ranges: SeqRanges): string {
  return `{${ranges.map((range) => `[${range.from},${range.upto})`).join(',')}}`
}

export function rangesOf(seqs: Iterable<number>): SeqRanges {
  return union([], Array.from(seqs, (seq) => ({ from: seq, upto: seq + 1 })))
}

export function union(left: SeqRanges, right: SeqRanges): SeqRanges {
  const merged: SeqRange[] = []
  for (const range of [...left, ...right].sort((a, b) => a.from - b.from)) {
    const last = merged.at(-1)
    if (last !== undefined && range.from <= last.upto) last.upto = Math.max(last.upto, range.upto)
    else merged.push({ ...range })
  }
  return merged
}

/** What of [from, upto) is not in the set. */
export function holesWithin(ranges: SeqRanges, from: number, upto: number): SeqRanges {
  const holes: SeqRange[] = []
  let next = from
  for (const range of ranges) {
    if (range.upto <= next) continue
    if (range.from >= upto) break
    if (range.from > next) holes.push({ from: next, upto: range.from })
    next = range.upto
  }
  if (next < upto) holes.push({ from: next, upto })
  return holes
}

export function holdsSeq(ranges: SeqRanges, seq: number): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (ranges[middle]!.upto <= seq) low = middle + 1
    else high = middle
  }
  return low < ranges.length && ranges[low]!.from <= seq
}
