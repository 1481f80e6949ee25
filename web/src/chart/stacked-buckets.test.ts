import { describe, expect, it } from 'vitest'
import { shownCounts, stackedBuckets } from './stacked-buckets.ts'

describe('stacked buckets', () => {
  it('lay refused on accepted and leave out what did not happen', () => {
    expect(stackedBuckets([{ outcomes: { refused: 2, accepted: 5, marked: 0 } }])[0]).toEqual({
      total: 7,
      counts: { refused: 2, accepted: 5, marked: 0 },
      parts: [
        { outcome: 'accepted', from: 0, upto: 5 },
        { outcome: 'refused', from: 5, upto: 7 },
      ],
    })
  })
  it('count reset with aborted and lose none', () => {
    expect(shownCounts({ reset: 2, aborted: 3 })).toEqual({ aborted: 5 })
  })
})
