/** Sets of ids of ingest batches, as sorted half-open ranges: what a live view has seen. */
export type BatchRange = { from: number; upto: number }
export type BatchRanges = readonly BatchRange[]

export function rangesWith(ranges: BatchRanges, added: BatchRange): BatchRanges {
  const merged: BatchRange[] = []
  let current = { ...added }
  for (const range of ranges) {
    if (range.upto < current.from) merged.push(range)
    else if (range.from > current.upto) {
      merged.push(current)
      current = { ...range }
    } else current = { from: Math.min(range.from, current.from), upto: Math.max(range.upto, current.upto) }
  }
  return [...merged, current]
}

export function rangesWithout(ranges: BatchRanges, removed: BatchRanges): BatchRanges {
  let rest: BatchRange[] = [...ranges]
  for (const hole of removed) {
    rest = rest.flatMap((range) =>
      hole.upto <= range.from || hole.from >= range.upto
        ? [range]
        : [
            { from: range.from, upto: hole.from },
            { from: hole.upto, upto: range.upto },
          ].filter((part) => part.from < part.upto),
    )
  }
  return rest
}

export function sizeOfRanges(ranges: BatchRanges): number {
  return ranges.reduce((sum, range) => sum + range.upto - range.from, 0)
}

/** Behind the last one. */
export function endOfRanges(ranges: BatchRanges): number {
  return ranges.at(-1)?.upto ?? 0
}

/** Between 0 and the end. */
export function holesOfRanges(ranges: BatchRanges): BatchRanges {
  return rangesWithout([{ from: 0, upto: endOfRanges(ranges) }], ranges)
}
