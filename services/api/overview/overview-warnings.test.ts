import { describe, expect, it } from 'vitest'
import type { Completeness } from '../../contracts/api.ts'
import { silentAfterMs, unmeteredAfterMs, warningsOf, type WarningFacts } from './overview-warnings.ts'

const nowMs = Date.UTC(2026, 10, 24, 12)
const node = (change: Partial<Completeness['nodes'][number]> = {}) => ({
  node: 'gateway-1',
  newestAt: new Date(nowMs).toISOString(),
  gapCount: 0,
  ...change,
})
const facts = (change: Partial<WarningFacts> = {}, completeness: Partial<Completeness> = {}): WarningFacts => ({
  completeness: {
    completeUpto: new Date(nowMs).toISOString(),
    gapCount: 0,
    rejectedLineCount: '0',
    unnumberedSources: [],
    nodes: [node()],
    ...completeness,
  },
  stoppedNodes: new Set(),
  oldestUnmeteredMs: null,
  nowMs,
  ...change,
})
const newestAgo = (ms: number) => ({ nodes: [node({ newestAt: new Date(nowMs - ms).toISOString() })] })

describe('warnings', () => {
  it.each<[string, WarningFacts, RegExp | null]>([
    ['all is well', facts(), null],
    ['nothing was ever ingested', facts({}, { completeUpto: null, nodes: [] }), null],
    ['a gap is open', facts({}, { gapCount: 1, nodes: [node({ gapCount: 1 })] }), /a part missing/],
    ['gaps are open', facts({}, { gapCount: 3, nodes: [node({ gapCount: 3 })] }), /3 parts missing/],
    ['the tail is just not late', facts({}, newestAgo(silentAfterMs)), null],
    [
      'the tail is late',
      facts({}, newestAgo(silentAfterMs + 1)),
      /Nothing was ingested from gateway-1 for 2 minutes/,
    ],
    [
      'the gateway said that it stops',
      facts({ stoppedNodes: new Set(['gateway-1']) }, newestAgo(silentAfterMs + 1)),
      null,
    ],
    ['a line was rejected', facts({}, { rejectedLineCount: '9007199254740993' }), /^9007199254740993 lines/],
    ['metering is just not late', facts({ oldestUnmeteredMs: nowMs - unmeteredAfterMs }), null],
    ['metering is late', facts({ oldestUnmeteredMs: nowMs - 3 * 86_400_000 }), /3 days ago is not metered/],
  ])('when %s', (_case, given, text) => {
    const warnings = warningsOf(given)
    expect(warnings.length).toBe(text === null ? 0 : 1)
    if (text !== null) {
      expect(warnings[0]!.text).toMatch(text)
      expect(warnings[0]!.remedy).toMatch(/\w/)
    }
  })
})
