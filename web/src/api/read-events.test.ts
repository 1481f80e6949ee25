import { describe, expect, it } from 'vitest'
import { eventOf } from './read-events.ts'

describe('a block of an event stream', () => {
  it.each([
    ['id: 0-4\nevent: row\ndata: {"a":1}', { id: '0-4', name: 'row', data: '{"a":1}' }],
    [': alive\nid: 0-5', { id: '0-5', name: '', data: '' }],
    ['retry: 2000', { id: null, name: '', data: '' }],
    ['data: one\ndata: two', { id: null, name: '', data: 'one\ntwo' }],
  ])('%j', (block, event) => expect(eventOf(block)).toEqual(event))
})
