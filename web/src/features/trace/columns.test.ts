import { describe, expect, it } from 'vitest'
import { columnsFrom, columnsText, defaultColumns } from './columns.ts'

describe('columns in the URL', () => {
  it('come back from their text, in their own order', () => {
    expect(columnsFrom('reply,time,from')).toEqual(['time', 'from', 'reply'])
    expect(columnsText(columnsFrom('reply,time,from'))).toBe('time,from,reply')
  })
  it('leave the URL alone when they are the default ones or none', () => {
    expect(columnsText(defaultColumns)).toBeNull()
    expect(columnsText([])).toBeNull()
  })
  it('are the default ones for text that names none', () => {
    expect(columnsFrom('nonsense,,')).toEqual(defaultColumns)
  })
})
