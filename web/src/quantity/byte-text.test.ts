import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exactCountText, shortByteText, unitByteText } from './byte-text.ts'

const MB = 1_000_000
const MiB = 1_048_576

describe('short text', () => {
  it.each([
    ['0', MB, '0 B'],
    ['999', MB, '999 B'],
    ['1000', MB, '1 kB'],
    ['48213', MB, '48.2 kB'],
    ['999949', MB, '1 MB'],
    ['1234567', MB, '1.2 MB'],
    ['1234567890123', MB, '1.2 TB'],
    ['1024', MiB, '1 KiB'],
    ['1536', MiB, '1.5 KiB'],
    ['1048576', MiB, '1 MiB'],
  ])('shows %s octets in the family of unit %i as %s', (octets, unitBytes, text) => {
    expect(shortByteText('en', octets, unitBytes)).toBe(text)
  })
})

describe('text in the unit of the bill', () => {
  it.each([
    ['0', MB, '0.000 MB'],
    ['499', MB, '0.000 MB'],
    ['500', MB, '0.001 MB'],
    ['1234567890', MB, '1,234.568 MB'],
    ['-1500', MB, '-0.002 MB'],
    ['-499', MB, '0.000 MB'],
    ['1048576', MiB, '1.000 MiB'],
  ])('shows %s octets of unit %i as %s', (octets, unitBytes, text) => {
    expect(unitByteText('en', octets, unitBytes)).toBe(text)
  })

  it('is exact beyond 2^53', () => {
    expect(unitByteText('en', '9007199254740993000000', MB)).toBe('9,007,199,254,740,993.000 MB')
    expect(exactCountText('en', '9007199254740993')).toBe('9,007,199,254,740,993')
  })

  it('never differs from the octets by more than half a thousandth of the unit', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n }), (octets) => {
        const shown = BigInt(unitByteText('en', octets, MB).replace(/[^\d]/g, '')) * 1000n
        const difference = shown > octets ? shown - octets : octets - shown
        expect(difference <= 500n).toBe(true)
      }),
    )
  })
})
