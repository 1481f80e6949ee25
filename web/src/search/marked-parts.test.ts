import { describe, expect, it } from 'vitest'
import { parseTraceQuery } from '../../../services/contracts/trace-query.ts'
import { markedParts, visibleFaults } from './marked-parts.ts'

function faultsOf(query: string) {
  const parsed = parseTraceQuery(query)
  return 'faults' in parsed ? parsed.faults : []
}

describe('marking faults', () => {
  it.each(['fron:a to:b', 'to:a verdict:rejected weight:x', 'to:"open', 'to:', '(to:a', 'to:a OR', ')'])(
    'marks something and loses no character of %s',
    (query) => {
      const parts = markedParts(query, faultsOf(query))
      expect(parts.map((part) => part.text).join('')).toBe(query)
      expect(parts.some((part) => part.isFault)).toBe(true)
    },
  )
  it('marks the key that does not exist, and that alone', () => {
    expect(markedParts('to:b fron:a', faultsOf('to:b fron:a'))).toEqual([
      { text: 'to:b ', isFault: false },
      { text: 'fron', isFault: true },
      { text: ':a', isFault: false },
    ])
  })
  it('waits with a fault while the caret is at it', () => {
    const faults = faultsOf('verdict:re to:a')
    expect(visibleFaults(faults, 10)).toEqual([])
    expect(visibleFaults(faults, 15)).toEqual(faults)
  })
})
