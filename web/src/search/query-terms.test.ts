import { describe, expect, it } from 'vitest'
import { queryWithin, term, termAtCaret, withExclusion, withTerm } from './query-terms.ts'

const day = { preset: '24h' } as const

describe('term', () => {
  it.each([
    ['from', 'ann@corp.test', 'from:ann@corp.test'],
    ['subject', 'two words', 'subject:"two words"'],
    ['subject', 'a "quoted" one', 'subject:"a \\"quoted\\" one"'],
    ['from', '', 'from:""'],
  ])('writes %s of %s as %s', (key, value, text) => {
    expect(term(key, value)).toBe(text)
  })
})

describe('adding a term', () => {
  it('narrows alternatives as a whole, not the last of them', () => {
    expect(withTerm('from:a OR from:b', 'verdict:refused')).toBe('(from:a OR from:b) verdict:refused')
  })
  it('leaves a query alone that has the term already', () => {
    expect(withTerm('verdict:refused from:a', 'verdict:refused')).toBe('verdict:refused from:a')
  })
  it('does not take a longer term for the same', () => {
    expect(withTerm('from:ab', 'from:a')).toBe('from:ab from:a')
  })
  it('excludes by a minus', () => {
    expect(withExclusion(' to:b ', 'from:a')).toBe('to:b -from:a')
  })
})

describe('the range of the top line', () => {
  it('holds for a query that names no time', () => {
    expect(queryWithin('to:a', day)).toBe('to:a after:-24h')
    expect(queryWithin('', day)).toBe('after:-24h')
    expect(queryWithin('to:a OR to:b', day)).toBe('(to:a OR to:b) after:-24h')
  })
  it('gives way to a time in the query', () => {
    expect(queryWithin('to:a before:2026-11-01', day)).toBe('to:a before:2026-11-01')
    expect(queryWithin('(after:-7d to:a)', day)).toBe('(after:-7d to:a)')
  })
  it('is not fooled by a quoted word that looks like a time or an alternative', () => {
    expect(queryWithin('subject:"after:all OR nothing"', day)).toBe('subject:"after:all OR nothing" after:-24h')
  })
})

describe('the term at the caret', () => {
  it.each([
    ['|', null, '', ''],
    ['ver|', null, 'ver', 'ver'],
    ['to:a -ver|', null, 'ver', 'ver'],
    ['(ver|)', null, 'ver', 'ver'],
    ['verdict:|', 'verdict', '', ''],
    ['to:a verdict:re|fu from:b', 'verdict', 're', 'refu'],
    ['subject:"two wo|rds" to:a', 'subject', '"two wo', '"two words"'],
  ])('of %s has key %s and typed text %s', (marked, key, typed, replaced) => {
    const caret = marked.indexOf('|')
    const query = marked.replace('|', '')
    const found = termAtCaret(query, caret)
    expect(found).toMatchObject({ key, typed })
    expect(query.slice(found.from, found.upto)).toBe(replaced)
  })
})
