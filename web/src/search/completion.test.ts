import { describe, expect, it } from 'vitest'
import { parseTraceQuery } from '../../../services/contracts/trace-query.ts'
import { traceKeyNames } from '../../../services/contracts/trace-keys.ts'
import { suggestionsFor } from './completion.ts'

const offered = (marked: string, known = {}) =>
  suggestionsFor(marked.replace('|', ''), marked.indexOf('|'), known).map((one) => one.text)

describe('completion', () => {
  it('offers every key where nothing is typed', () => {
    expect(offered('to:a |')).toEqual(traceKeyNames.map((key) => `${key}:`))
  })
  it('offers the keys that begin with what is typed', () => {
    expect(offered('-re|')[0]).toBe('reason:')
  })
  it('offers the words of a closed list, after a comma too', () => {
    expect(offered('verdict:ref|')).toEqual(['refused'])
    expect(suggestionsFor('verdict:refused,de', 18)[0]!.query).toBe('verdict:refused,deferred ')
  })
  it('offers values seen elsewhere', () => {
    expect(offered('rule:spam|', { rule: ['spam-words', 'no-mx'] })).toEqual(['spam-words'])
  })
  it('keeps what stands behind the caret and puts the caret where typing goes on', () => {
    expect(suggestionsFor('verdict:ref to:a', 11)[0]).toMatchObject({ query: 'verdict:refused to:a', caret: 15 })
    expect(suggestionsFor('ver to:a', 3)[0]).toMatchObject({ query: 'verdict: to:a', caret: 8 })
  })
  it('offers nothing inside a quote', () => {
    expect(offered('"ver|')).toEqual([])
  })
  it('never offers a value that the parser refuses', () => {
    for (const key of traceKeyNames) {
      for (const { query } of suggestionsFor(`${key}:`, key.length + 1)) {
        expect(parseTraceQuery(query)).toHaveProperty('query')
      }
    }
  })
})
