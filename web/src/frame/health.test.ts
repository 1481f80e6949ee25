import { describe, expect, it } from 'vitest'
import type { Completeness } from '../../../services/contracts/api.ts'
import { behindAfterMs, healthOf } from './health.ts'

const at = '2026-11-24T14:00:00.000Z'
const now = new Date(at).getTime()
const complete: Completeness = { completeUpto: at, gapCount: 0, rejectedLineCount: '0', nodes: [], unnumberedSources: [] }

describe('health', () => {
  it.each([
    [undefined, false, now, 'unknown'],
    [complete, true, now, 'unreachable'],
    [{ ...complete, completeUpto: null }, false, now, 'empty'],
    [complete, false, now + behindAfterMs, 'complete'],
    [complete, false, now + behindAfterMs + 1, 'behind'],
    [{ ...complete, gapCount: 1 }, false, now, 'gaps'],
    [{ ...complete, completeUpto: null, gapCount: 1 }, false, now, 'gaps'],
  ])('of %o, failed %s, at %i is %s', (completeness, hasFailed, nowMs, health) => {
    expect(healthOf(completeness, hasFailed, nowMs)).toBe(health)
  })
})
