import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { sha256Hex } from './sha256.ts'

const expected = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex')

it('gives the digest of the standard at every length around its block limits', () => {
  for (let length = 0; length <= 130; length += 1) {
    const text = 'x'.repeat(length)
    expect(sha256Hex(text)).toBe(expected(text))
  }
})

it('gives the digest of any text in UTF-8', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => sha256Hex(text) === expected(text)),
  )
})
