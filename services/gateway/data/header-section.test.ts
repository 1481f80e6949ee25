import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HeaderCollector, cutText, parseHeaderSection, selectedHeaders, subjectOf } from './header-section.ts'

const collect = (message: string, cuts: readonly number[] = [], sectionBytes = 65_536): HeaderCollector => {
  const octets = Buffer.from(message, 'latin1')
  const collector = new HeaderCollector(sectionBytes)
  const places = [0, ...[...cuts].map((cut) => cut % (octets.length + 1)).sort((a, b) => a - b)]
  places.forEach((from, index) => collector.write(octets.subarray(from, places[index + 1] ?? octets.length)))
  return collector
}
const fields = (text: string) => parseHeaderSection(Buffer.from(text))

describe('the header section', () => {
  it('ends at the first blank line, wherever packets are split', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 4 }), (cuts) => {
        const collector = collect('A: 1\r\nB: 2\r\n\r\nC: 3\r\n\r\n', cuts)
        expect(collector.section().toString()).toBe('A: 1\r\nB: 2\r\n')
        expect(collector.endBytes).toBe(12)
      }),
    )
    expect(collect('\r\nbody').endBytes).toBe(0)
    expect(collect('A: 1\r\n').isComplete).toBe(false)
  })

  it('is looked at up to its bound, and says so', () => {
    const collector = collect(`A: ${'x'.repeat(200)}\r\n\r\n`, [], 100)
    expect([collector.isComplete, collector.isCut, collector.section().length]).toEqual([true, true, 100])
  })

  it('is unfolded, and ends at the first line that is no field', () => {
    expect(fields('Subject: one\r\n two\r\n\tthree\r\nX: y\r\n')).toEqual([
      { name: 'Subject', value: 'one two three' },
      { name: 'X', value: 'y' },
    ])
    expect(fields('A: 1\r\nno field\r\nB: 2\r\n')).toEqual([{ name: 'A', value: '1' }])
    expect(fields(' folded first\r\nB: 2\r\n')).toEqual([])
  })

  it('decodes the subject, in any charset, and leaves what cannot be decoded', () => {
    expect(subjectOf(fields('Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?Q?_aus_K=F6ln?=\r\n'))).toBe(
      'Grüße aus Köln',
    )
    expect(subjectOf(fields('Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?=\r\n'))).toBe('日本')
    expect(subjectOf(fields('Subject: =?x-nobody-knows?Q?a?=\r\n'))).not.toBeNull()
    expect(subjectOf(parseHeaderSection(Buffer.from('Subject: K\xf6ln\r\n', 'latin1')))).toBe('Köln')
    expect(subjectOf(fields('From: a\r\n'))).toBeNull()
  })

  it('cuts values to whole characters', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 60 }),
        fc.integer({ min: 4, max: 60 }),
        (text, maxBytes) => {
          const cut = cutText(text, maxBytes)
          expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(maxBytes)
          expect(Buffer.from(text).toString().startsWith(cut)).toBe(true)
        },
      ),
    )
  })

  it('logs the usual fields and those that rules ask for before all others', () => {
    const many = Array.from({ length: 150 }, (_, index) => `X-Junk-${index}-a: ${'j'.repeat(500)}\r\n`).join('')
    const { headers, isCut } = selectedHeaders(
      fields(`${many}DKIM-Signature: long\r\nFrom: a@b\r\nX-Asked: yes\r\n`),
      new Set(['x-asked']),
    )
    expect(headers.map(({ name }) => name)).toEqual(expect.arrayContaining(['From', 'X-Asked']))
    expect(headers.map(({ name }) => name)).not.toContain('DKIM-Signature')
    expect(headers.length).toBeLessThanOrEqual(100)
    expect(isCut).toBe(true)
    expect(selectedHeaders(fields(`Subject: ${'ü'.repeat(600)}\r\n`), new Set()).headers[0]!.value).toBe(
      'ü'.repeat(500),
    )
  })
})
